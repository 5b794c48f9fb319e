"""Edit a file that is encrypted as a whole: in the clear only in memory, or in a directory of the user alone."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestr.errors import InputError, OrchestrError
from orchestr.paths import state_directory
from orchestr.vault.files import Change, decrypt_content, read, replace_all
from orchestr.vault.format import check_header
from orchestr.vault.key import VaultKey

DEFAULT_EDITOR = "vi"
_PATIENCE_S = 5.0
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it


def edit(path: Path, key: VaultKey, environment: Mapping[str, str]) -> bool:
    """Edit the content of ``path`` in $EDITOR and encrypt it again; return True if it was changed.

    The label and the mode of the file are kept. An editor that fails changes nothing. Where the file can't be written
    the new content is kept, encrypted, and the error says where. Raises InputError or OrchestrError.
    """
    before = read(path)
    inside = decrypt_content(path, before, key)
    if not os.access(path.resolve().parent, os.W_OK):
        raise InputError("its directory can't be written to", file=path, next_step=f"see: ls -ld {path.parent}")
    label = check_header(before.decode())
    with private_directory(environment) as directory:
        copy = directory / path.name
        _write(copy, inside)
        _run_editor(_editor(environment), copy)
        after = read(copy)
    if after == inside:
        return False
    text = key.encrypt(after, label).encode()
    try:
        replace_all([Change(path.resolve(), before, text, path.stat().st_mode & 0o777)])
    except (InputError, OSError) as problem:
        kept = _keep(path, text)
        step = f"what you wrote is in {kept}, encrypted: orchestr secrets view {kept}"
        raise OrchestrError(str(problem).partition("\n")[0], next_step=step) from None
    return True


@contextlib.contextmanager
def private_directory(environment: Mapping[str, str]) -> Iterator[Path]:
    """Give a new directory (0700), in memory where the system has that; it is removed with its content at the end."""
    directory = Path(tempfile.mkdtemp(prefix="orchestr-", dir=_place(environment)))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _place(environment: Mapping[str, str]) -> Path | None:
    """Return a directory that is not on a disk; None leaves the choice to the system."""
    for directory in (Path(environment.get("XDG_RUNTIME_DIR") or "/nonexistent"), _SHARED_MEMORY):
        if directory.is_absolute() and directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
            return directory
    return None


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def _editor(environment: Mapping[str, str]) -> list[str]:
    text = environment.get("EDITOR") or DEFAULT_EDITOR
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or shutil.which(words[0]) is None:
        raise InputError(f"editor not found: {text!r}", next_step="set EDITOR, as in: export EDITOR=nano")
    return words


def _run_editor(words: list[str], path: Path) -> None:
    with _ctrl_c_for_the_editor():
        process = subprocess.Popen([*words, str(path)])
        try:
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    if code:
        what = f"the editor {words[0]!r} ended with {code}; nothing was changed"
        raise OrchestrError(what, next_step="type it again")


@contextlib.contextmanager
def _ctrl_c_for_the_editor() -> Iterator[None]:
    """Ctrl-C reaches every process at the terminal; in an editor it does not mean that editing is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: None)  # SIG_IGN the editor would inherit
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _keep(path: Path, text: bytes) -> Path:
    """Write an encrypted text into the state directory; return its path."""
    directory = state_directory() / "edited"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=path.suffix or ".yml", dir=directory)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text)
    return Path(name)
