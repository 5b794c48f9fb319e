"""The sources of secrets: ``!vault``, ``!env``, ``!file``, ``!command``, ``!generated``; fetched when first used."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestr.inventory.closest import closest
from orchestr.inventory.generated import read_request
from orchestr.inventory.position import Position
from orchestr.once import Once
from orchestr.secret import Secret
from orchestr.vault import format as vault
from orchestr.vault.key import VaultKey
from orchestr.vault.passwords import PASSWORD_VARIABLE

COMMAND_TIMEOUT_S = 60.0
_STDERR_TAIL = 300


class DeferredSecret(Secret):
    """A Secret whose text is fetched the first time it is revealed, then kept.

    ``source`` names its source in words (never the text); ``reveal`` raises InputError at the place
    the tag was written when the source fails.
    """

    __slots__ = ("_fetch", "_fetched", "position", "source")

    def __init__(self, fetch: Callable[[], str], source: str, position: Position) -> None:
        self._fetch = fetch
        self._fetched: Once[str] = Once()
        self.source = source
        self.position = position
        super().__init__("")  # last: from here on other threads may ask for the known text

    def reveal(self) -> str:
        """Return the text, fetching it first when this is the first use."""
        return self._fetched.get("", self._fetch)

    def known_text(self) -> str:
        """Return the text, "" when it was not fetched yet."""
        return self._fetched.known("") or ""


class VaultSecret(DeferredSecret):
    """A ``!vault`` value; ``ciphertext`` is the text in the file, safe to show."""

    __slots__ = ("ciphertext",)

    def __init__(self, ciphertext: str, fetch: Callable[[], str], position: Position) -> None:
        super().__init__(fetch, "!vault", position)
        self.ciphertext = ciphertext


class SecretSources:
    """Make the Secret of each tag; paths are taken from ``directory``, that of the file the tag is in."""

    def __init__(self, directory: Path, key: VaultKey) -> None:
        self.directory = directory
        self.key = key

    def vault(self, text: str, position: Position) -> Secret:
        """``!vault``: the header is checked now, the text decrypted when used."""
        try:
            vault.check_header(text)
        except vault.VaultError as problem:
            raise position.error(str(problem), next_step=vault.RESTORE) from None
        return VaultSecret(text, lambda: self.key.decrypt(text, position), position)

    def env(self, name: str, position: Position) -> Secret:
        """``!env NAME``: the controller's own environment variable."""
        return DeferredSecret(lambda: _read_env(name, position), f"!env {name}", position)

    def file(self, path: str, position: Position) -> Secret:
        """``!file PATH``: a file's text without its last newline."""
        full = self.directory / Path(path).expanduser()
        return DeferredSecret(lambda: _read_file(full, position), f"!file {path}", position)

    def generated(self, value: str | Mapping[Any, Any], position: Position) -> Secret:
        """``!generated NAME``: made once, and kept beside the inventory."""
        return self.key.generated.secret(read_request(value, position), self.directory, position)

    def command(self, argv: Sequence[str], position: Position) -> Secret:
        """``!command [PROGRAM, ARGUMENT, ...]``: its output without the last newline; no shell."""
        fixed = list(argv)
        return DeferredSecret(lambda: _run(fixed, self.directory, position), f"!command {fixed[0]}", position)


def _read_env(name: str, position: Position) -> str:
    if name in os.environ:
        return os.environ[name]
    raise position.error(
        f"the environment variable {name!r} is not set",
        suggestion=closest(name, os.environ),
        next_step=f"set it before running orchestr: export {name}=…",
    )


def _read_file(path: Path, position: Position) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        step = "!file takes a path beside the file it is written in, or an absolute one"
        raise position.error(f"can't read the secret file {path}: {_reason(problem)}", next_step=step) from None
    return text.removesuffix("\n").removesuffix("\r")


def _run(argv: list[str], directory: Path, position: Position) -> str:
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            env={name: value for name, value in os.environ.items() if name != PASSWORD_VARIABLE},
        )
        text = done.stdout.decode()
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired) as problem:
        step = f"try it yourself, in {directory}: {shlex.join(argv)}"
        raise position.error(f"the command {argv[0]!r} gave no secret: {_reason(problem)}", next_step=step) from None
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip()[-_STDERR_TAIL:]
        step = f"try it yourself, in {directory}: {shlex.join(argv)}"
        raise position.error(f"the command {argv[0]!r} exited with {done.returncode}: {tail}", next_step=step)
    return text.removesuffix("\n").removesuffix("\r")


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if isinstance(problem, subprocess.TimeoutExpired):
        return f"still running after {problem.timeout:g} s"
    return "it is not UTF-8 text" if isinstance(problem, UnicodeDecodeError) else str(problem)


__all__ = ["DeferredSecret", "SecretSources", "VaultKey", "VaultSecret"]
