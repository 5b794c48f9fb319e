"""Files encrypted with Ansible Vault, as a whole or value by value: read, replaced without a moment of half a file.

Several files are replaced all or none: each is checked before the first is replaced.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestr import atomic_file
from orchestr.errors import InputError, OrchestrError
from orchestr.inventory.position import Position
from orchestr.paths import unreadable
from orchestr.vault.format import HEADER, check_header, is_vault
from orchestr.vault.inline import has_values, reencrypt, reveal_values
from orchestr.vault.key import VaultKey

_PRIVATE = 0o700  # what decrypting in place leaves of a file's mode


@dataclass(frozen=True)
class Change:
    """New content for a file. ``path`` follows links; ``before`` is the content read before, None for a new file."""

    path: Path
    before: bytes | None
    after: bytes
    mode: int


def read(path: Path) -> bytes:
    """Return the content of a file; raises InputError."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise unreadable(path, problem) from None


def is_encrypted(data: bytes) -> bool:
    """Return True if a file with this content is encrypted as a whole."""
    return data.lstrip().startswith(HEADER.encode())


def decrypt_content(path: Path, data: bytes, key: VaultKey) -> bytes:
    """Return the plain content of a file encrypted as a whole; raises InputError."""
    text = _text(path, data)
    if not is_vault(text):
        step = f"to see its !vault values: orchestr secrets view {path}; --string NAME of encrypt makes new ones"
        if not has_values(text):
            step = "nothing in it is encrypted; orchestr secrets encrypt FILE does it"
        raise InputError("is not encrypted as a whole", file=path, line=1, column=1, next_step=step)
    return key.decrypt_bytes(text, Position(str(path), 1, 1))


def view_content(path: Path, data: bytes, key: VaultKey) -> bytes:
    """Return the plain content of an encrypted file, or of a YAML file with its ``!vault`` values in the clear.

    Raises InputError when nothing in it is encrypted.
    """
    text = _text(path, data)
    if is_vault(text) or not has_values(text):
        return decrypt_content(path, data, key)
    return reveal_values(text, str(path), key).encode()


def encrypt_file(path: Path, key: VaultKey, label: str | None = None) -> Change:
    """Return the change that encrypts a whole file; raises InputError when it is encrypted already."""
    before = read(path)
    if is_encrypted(before):
        step = "orchestr secrets rekey FILE changes the password, orchestr secrets edit FILE the content"
        raise InputError("is encrypted already", file=path, next_step=step)
    return Change(path.resolve(), before, key.encrypt(before, label).encode(), _mode(path))


def decrypt_file(path: Path, key: VaultKey) -> Change:
    """Return the change that decrypts a whole file; only its owner may read it then."""
    before = read(path)
    return Change(path.resolve(), before, decrypt_content(path, before, key), _mode(path) & _PRIVATE)


def rekey_file(path: Path, key: VaultKey, new: VaultKey, label: str | None = None) -> tuple[Change, int]:
    """Return the change that makes ``new`` a file's password, and how many texts in it that concerns.

    A file encrypted as a whole is one text; in a YAML file it is every ``!vault`` value, and all else stays as it is,
    byte for byte. A text keeps its label unless there is a new one. Raises InputError.
    """
    before = read(path)
    text = _text(path, before)
    if is_vault(text):
        inside = decrypt_content(path, before, key)
        after, count = new.encrypt(inside, label or check_header(text)), 1
    elif has_values(text):
        after, count = reencrypt(text, str(path), key, new, label)
    else:
        raise InputError("nothing in it is encrypted", file=path, next_step="orchestr secrets encrypt FILE does it")
    return Change(path.resolve(), before, after.encode(), _mode(path)), count


def replace_all(changes: Sequence[Change]) -> None:
    """Write the changes: all, or none when a file can't be written or has changed since it was read.

    Raises InputError, or OrchestrError when a file could not be put back. Each file is replaced in one step; should
    the machine stop between two, one is old and one is new, and both are whole.
    """
    done: list[Change] = []
    try:
        with contextlib.ExitStack() as stack:
            waiting = [(change, stack.enter_context(_beside(change))) for change in changes]
            for change, temporary in waiting:
                if change.before is not None and read(change.path) != change.before:
                    raise InputError("has changed since it was read", file=change.path, next_step="type it again")
                _put(temporary, change.path)
                done.append(change)
    except BaseException:
        _put_back(done)
        raise


def _put_back(done: Sequence[Change]) -> None:
    for change in done:
        if change.before is None:
            continue
        try:
            with _beside(Change(change.path, None, change.before, change.mode)) as temporary:
                _put(temporary, change.path)
        except (OSError, InputError):
            raise OrchestrError(f"{change.path} has its new content, others are as they were") from None


def _put(temporary: Path, path: Path) -> None:
    try:
        atomic_file.put(temporary, path, is_durable=True)
    except OSError as problem:
        raise unreadable(path, problem, "can't be replaced") from None


@contextlib.contextmanager
def _beside(change: Change) -> Iterator[Path]:
    """Give the path of a new file with a change's content, mode and owner, in the same directory."""
    try:
        status = change.path.stat()
        owner = (status.st_uid, status.st_gid)
    except OSError:
        owner = None  # a new file
    new = atomic_file.beside(change.path, change.after, mode=change.mode, owner=owner, is_durable=True)
    with contextlib.ExitStack() as stack:
        try:
            temporary = stack.enter_context(new)
        except OSError as problem:
            raise unreadable(change.path, problem, "can't be written") from None
        yield temporary


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        step = "orchestr secrets encrypt FILE encrypts any file"
        raise InputError("is not encrypted, and no text", file=path, next_step=step) from None
