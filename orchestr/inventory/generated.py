"""``!generated``: random secrets, made once, on first use, and kept beside the inventory.

    livekit_api_secret: !generated livekit_api_secret
    redis_password: !generated {name: redis/password, length: 48, characters: hex}

One is a file ``.orchestr/secrets/NAME`` (0600) beside the inventory, or beside the ``group_vars`` the tag is in: all
inventories in one directory share it, so that an upgrade from one to the other keeps the passwords. It is a vault
text when a vault password was named. ``plan`` writes nothing: it works with a temporary text.
"""

from __future__ import annotations

import re
import secrets
import stat
import string
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestr import atomic_file
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, shown
from orchestr.secret import Secret
from orchestr.vault.format import is_vault

ALPHABETS = {"letters_and_digits": string.ascii_letters + string.digits, "hex": "0123456789abcdef"}
DEFAULT_LENGTH, SHORTEST, LONGEST = 32, 8, 1024
PLACE = Path(".orchestr") / "secrets"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_GITIGNORE = "# Secrets. To commit them: orchestr secrets encrypt, then remove this file.\n*\n"
_SHAPE = "write: !generated NAME, or !generated {name: NAME, length: 48, characters: hex}"


@dataclass(frozen=True)
class Request:
    """A secret to generate: its name, its length and its alphabet (a key of ALPHABETS)."""

    name: str
    length: int = DEFAULT_LENGTH
    characters: str = "letters_and_digits"

    def text(self) -> str:
        """Return a fresh one."""
        return "".join(secrets.choice(ALPHABETS[self.characters]) for _ in range(self.length))


class Passwords(Protocol):
    """The vault passwords that kept secrets are encrypted with; implemented by `VaultKey`."""

    @property
    def is_given(self) -> bool:
        """Whether a password was named."""

    @property
    def first_label(self) -> str | None:
        """The label of the first password that was named."""

    def encrypt(self, data: bytes, label: str | None = None) -> str:
        """Return ``data`` as a vault text."""

    def decrypt(self, text: str, position: Position) -> str:
        """Return the plain text of a vault text."""


class GeneratedSecret(Secret):
    """A ``!generated`` value; ``path`` is the file it is kept in."""

    __slots__ = ("_store", "path")

    def __init__(self, store: GeneratedSecrets, path: Path) -> None:
        self._store = store
        self.path = path
        super().__init__("")  # last: from here on other threads may ask for the known text

    def reveal(self) -> str:
        """Return the text; it is made now if it does not exist."""
        return self._store.text(self.path)

    def known_text(self) -> str:
        """Return the text, "" when it was not used yet."""
        return self._store.known(self.path) or ""


class GeneratedSecrets:
    """All ``!generated`` values of an inventory. Nothing is written before ``begin_writing``."""

    def __init__(self, key: Passwords) -> None:
        self.made: list[Path] = []
        self._key = key
        self._requests: dict[Path, tuple[Request, Position]] = {}
        self._texts: dict[Path, str] = {}
        self._imagined: set[Path] = set()
        self._is_writing = False
        self._lock = threading.RLock()

    def secret(self, request: Request, directory: Path, position: Position) -> Secret:
        """Return the Secret of a tag in a file in ``directory``. Raises InputError when two tags of a name differ."""
        path = home(directory) / PLACE / request.name
        other, where = self._requests.setdefault(path, (request, position))
        if other != request:
            step = "give one of the two another name, or write both alike"
            raise position.error(f"{request.name!r} is defined otherwise at {where}", next_step=step)
        return GeneratedSecret(self, path)

    def begin_writing(self) -> None:
        """Keep each generated secret from now on, those made up so far too."""
        with self._lock:
            self._is_writing = True
            for path in sorted(self._imagined):
                self._texts[path] = self._kept(path, self._texts[path])
            self._imagined.clear()

    def text(self, path: Path) -> str:
        """Return one secret's text: the kept one, else a fresh one. Raises InputError."""
        with self._lock:
            if path not in self._texts:
                self._texts[path] = self._read(path) if path.exists() else self._fresh(path)
            return self._texts[path]

    def known(self, path: Path) -> str | None:
        """Return one secret's text if it was used already."""
        return self._texts.get(path)

    def missing(self) -> dict[str, Path]:
        """Return the secrets without a file yet: name → path."""
        return {request.name: path for path, (request, _) in sorted(self._requests.items()) if not path.exists()}

    def present(self) -> dict[str, Path]:
        """Return the secrets with a file: name → path."""
        return {request.name: path for path, (request, _) in sorted(self._requests.items()) if path.exists()}

    def notes(self) -> Iterator[str]:
        """Yield a line on the secrets made in this run, and one on those that a run would make."""
        if made := ", ".join(self._requests[path][0].name for path in self.made):
            yield f"generated now, and kept beside the inventory in {PLACE}: {made}"
        if imagined := ", ".join(self._requests[path][0].name for path in sorted(self._imagined)):
            yield f"not generated yet, run does it: {imagined}"

    def _fresh(self, path: Path) -> str:
        text = self._requests[path][0].text()
        if self._is_writing:
            return self._kept(path, text)
        self._imagined.add(path)
        return text

    def _kept(self, path: Path, text: str) -> str:
        """Keep ``text`` unless another process was first; return the kept text."""
        data = f"{text}\n".encode()
        if self._key.is_given:
            data = self._key.encrypt(data, self._key.first_label).encode()
        try:
            is_ours = _create(path, data)
        except OSError as problem:
            what = f"can't keep a generated secret in {path}: {problem.strerror}"
            raise self._requests[path][1].error(what, next_step=f"see: ls -ld {path.parent}") from None
        if is_ours:
            self.made.append(path)
        return text if is_ours else self._read(path)

    def _read(self, path: Path) -> str:
        position = self._requests[path][1]
        try:
            text = path.read_text(encoding="utf-8")
            mode = stat.S_IMODE(path.stat().st_mode)
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
            what = f"can't read the generated secret {path}: {reason}"
            raise position.error(what, next_step=f"check owner and mode: ls -ld {path}") from None
        if is_vault(text):
            text = self._key.decrypt(text, Position(str(path), 1, 1))
        elif mode & 0o077:
            what = f"others can read the generated secret {path} (mode {mode:04o})"
            raise position.error(what, next_step=f"chmod 600 {path}")
        if not text.strip():
            step = "put the secret back, or remove the file to have a new one generated"
            raise position.error(f"the generated secret {path} is empty", next_step=step)
        return text.removesuffix("\n").removesuffix("\r")


def home(directory: Path) -> Path:
    """Return the directory that ``.orchestr/secrets`` is in, for a tag in a file in ``directory``.

    >>> home(Path("/p/inventories/group_vars/all")), home(Path("/p/inventories"))
    (PosixPath('/p/inventories'), PosixPath('/p/inventories'))
    """
    whole = directory.absolute()
    for parent in (whole, *whole.parents):
        if parent.name in ("group_vars", "host_vars"):
            return parent.parent
    return whole


def read_request(value: str | Mapping[Any, Any], position: Position) -> Request:
    """Return the request of a tag; raises InputError at ``position``."""
    given = {"name": value} if isinstance(value, str) else dict(value)
    known = ("name", "length", "characters")
    for key in given:
        if key not in known:
            raise position.error(f"!generated has no {key!r}", suggestion=closest(str(key), known), next_step=_SHAPE)
    name, length = str(given.get("name") or "").strip(), given.get("length", DEFAULT_LENGTH)
    if not _NAME.fullmatch(name):
        step = "letters, digits, '_', '.', '-', and '/' between parts; no template"
        raise position.error(f"{name!r} is not a valid name for a generated secret", next_step=step)
    if isinstance(length, bool) or not isinstance(length, int) or not SHORTEST <= length <= LONGEST:
        what = f"!generated: length is a number from {SHORTEST} to {LONGEST}, found {shown(length)}"
        raise position.error(what, next_step=_SHAPE)
    characters = str(given.get("characters", "letters_and_digits"))
    if characters not in ALPHABETS:
        near, step = closest(characters, ALPHABETS), f"characters is one of: {', '.join(ALPHABETS)}"
        raise position.error(f"!generated has no characters {characters!r}", suggestion=near, next_step=step)
    return Request(name, length, characters)


def _create(path: Path, data: bytes) -> bool:
    """Make a file that is whole from its first moment; return False when there is one already."""
    _make_directory(path.parent)
    return atomic_file.create(path, data)


def _make_directory(directory: Path) -> None:
    """Make ``.orchestr`` with a ``.gitignore`` of everything; taking that out is the user's decision."""
    root = next(parent for parent in (directory, *directory.parents) if parent.name == PLACE.parts[0])
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        (root / ".gitignore").write_text(_GITIGNORE, encoding="utf-8")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)


__all__ = ["GeneratedSecret", "GeneratedSecrets", "Request", "home", "read_request"]
