"""known_hosts read as OpenSSH reads it, and judged: is the key this server offers the one we were told about?

Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Names may be lists, have wildcards and negations, be hashed
(``|1|salt|hash``), or carry a port (``[host]:port``). A line may be marked ``@revoked`` or ``@cert-authority``.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import functools
import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.errors import HostKeyError
from orchestr.transport.file_version import version_of

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings
    from orchestr.transport.openssh_config import Target


@dataclass(frozen=True)
class OfferedKey:
    """A public host key: its type (``ssh-ed25519``), base64 text and fingerprint as ``ssh-keygen -l`` prints it."""

    type: str
    base64: str
    fingerprint: str


@dataclass(frozen=True)
class RecordedKey:
    """One line of a known_hosts file."""

    names: str
    type: str
    base64: str
    file: str
    line: int
    marker: str = ""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.base64)

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def fingerprint(key_base64: str) -> str:
    """Return ``SHA256:…`` of a public key, as ``ssh-keygen -l`` prints it."""
    digest = hashlib.sha256(base64.b64decode(key_base64)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def read(files: Iterable[str]) -> list[RecordedKey]:
    """Return every well-formed line of the files that exist; ssh skips malformed ones too."""
    return [key for file in files for key in _read_one(file)]


def _read_one(file: str) -> Sequence[RecordedKey]:
    """Return a file's lines, read once while it stays as it is: a run asks for every host."""
    version = version_of(file)
    try:
        return _read_version(file, version) if version else ()
    except OSError:
        return ()


@functools.lru_cache(maxsize=64)
def _read_version(file: str, version: tuple[int, ...]) -> tuple[RecordedKey, ...]:
    return tuple(_parsed(file, Path(file).read_text(errors="replace")))


def _parsed(file: str, text: str) -> Iterator[RecordedKey]:
    for number, line in enumerate(text.splitlines(), start=1):
        key = _parse(line, file, number)
        if key is not None:
            yield key


def _parse(line: str, file: str, number: int) -> RecordedKey | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or not _is_base64(words[2]):
        return None
    return RecordedKey(words[0], words[1], words[2], file, number, marker)


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def matches(names: str, host: str) -> bool:
    """Tell whether a line's name field names ``host`` (``name`` or ``[name]:port``)."""
    if names.startswith("|1|"):
        return _matches_hashed(names, host)
    patterns = names.lower().split(",")
    host = host.lower()
    if any(pattern.startswith("!") and _matches_pattern(pattern[1:], host) for pattern in patterns):
        return False
    return any(_matches_pattern(pattern, host) for pattern in patterns if not pattern.startswith("!"))


def _matches_pattern(pattern: str, host: str) -> bool:
    """Match ``*`` and ``?`` only: brackets are part of ``[host]:port`` here, not a character class."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == host  # nearly always, and a pattern is compiled anew for each name
    return fnmatch.fnmatchcase(host, pattern.replace("[", "[[]"))


def _matches_hashed(names: str, host: str) -> bool:
    try:
        _, _, salt, digest = names.split("|")
        wanted = base64.b64decode(digest)
        made = hmac.new(base64.b64decode(salt), host.lower().encode(), hashlib.sha1).digest()
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(made, wanted)


class KnownHosts:
    """The recorded keys of one target, and the judgement of an offered one."""

    def __init__(self, target: Target) -> None:
        self.target = target
        files = (*target.user_known_hosts_files, *target.global_known_hosts_files)
        everything = read(files)
        self._revoked = [key for key in everything if key.marker == "@revoked"]
        self._authorities = self._named(everything, target.known_as, "@cert-authority")
        self.keys = self._named(everything, target.known_as, "")
        self._without_port = self._named(everything, target.hostname, "") if self._may_drop_port() else []

    def _may_drop_port(self) -> bool:
        """OpenSSH also takes a key recorded without the port, as long as nothing is recorded with it."""
        return not self.keys and not self.target.host_key_alias and self.target.port != 22

    @staticmethod
    def _named(keys: Iterable[RecordedKey], name: str, marker: str) -> list[RecordedKey]:
        return [key for key in keys if key.marker == marker and matches(key.names, name)]

    @property
    def types(self) -> tuple[str, ...]:
        """The key types recorded for this host: ask for these first, so that another type does not look changed."""
        return tuple(dict.fromkeys(key.type for key in (*self.keys, *self._without_port)))

    def check(self, offered: OfferedKey) -> None:
        """Return when the offered key is the recorded one. Raises HostKeyError: revoked, changed or unknown."""
        for key in self._revoked:
            if key.base64 == offered.base64 and matches(key.names, self.target.known_as):
                raise self._error("is REVOKED", offered, [key], "do not connect; the key was withdrawn on purpose")
        if any(key.base64 == offered.base64 for key in (*self.keys, *self._without_port)):
            return
        if self.keys:
            raise self._changed(offered)
        raise self._unknown(offered)

    def refuse_change(self, offered: OfferedKey) -> None:
        """Return when recording the key contradicts no recorded one. Raises HostKeyError: revoked or changed."""
        if offered.type in self.types or offered.base64 in {key.base64 for key in self._revoked}:
            self.check(offered)

    def _changed(self, offered: OfferedKey) -> HostKeyError:
        same_type = [key for key in self.keys if key.type == offered.type]
        if same_type:
            return self._error("has CHANGED", offered, same_type, self._trust(" --replace"))
        return self._error("is of a type not recorded", offered, self.keys, self._trust())

    def _unknown(self, offered: OfferedKey) -> HostKeyError:
        if self._authorities:
            lines = ", ".join(key.place for key in self._authorities)
            note = f"is unknown (@cert-authority lines, here {lines}, are not supported)"
            return self._error(note, offered, [], self._trust())
        return self._error("is unknown", offered, [], self._trust())

    def _trust(self, option: str = "") -> str:
        return (
            "compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then: "
            f"orchestr trust INVENTORY --limit HOST{option}"
        )

    def _error(self, what: str, offered: OfferedKey, recorded: Sequence[RecordedKey], next_step: str) -> HostKeyError:
        lines = [
            f"the host key of {self.target.known_as} {what}",
            f"  offered   {offered.fingerprint} ({offered.type})",
        ]
        lines += [f"  recorded  {key.fingerprint} ({key.type}) at {key.place}" for key in recorded]
        if not recorded:
            files = ", ".join(self.target.user_known_hosts_files) or "no known_hosts file"
            lines.append(f"  recorded  none in {files}")
        return HostKeyError("\n".join(lines), host=self.target.name, next_step=next_step)


def recorded(settings: ConnectionSettings) -> list[RecordedKey]:
    """Return the keys that known_hosts has for a host of the inventory."""
    from orchestr.transport.openssh_config import target_of

    return KnownHosts(target_of(settings)).keys


def scan(settings: ConnectionSettings, timeout_s: float = 15.0) -> list[OfferedKey]:
    """Return the host keys a server offers, one per type, without logging in to it. Raises UnreachableError."""
    from orchestr.transport.ssh_scan import scan as ask

    return ask(settings, timeout_s)


def record(settings: ConnectionSettings, keys: Sequence[OfferedKey], *, replace: bool = False) -> Path:
    """Add keys to the host's first UserKnownHostsFile and return its path; ``replace`` drops its other keys there.

    The file is written anew beside the old one and renamed: 0600 in a 0700 directory. A relative path is relative to
    the current directory, as in ssh. Raises HostKeyError when a recorded key differs and ``replace`` is not asked.
    """
    from orchestr.transport.openssh_config import target_of

    target = target_of(settings)
    if not target.user_known_hosts_files:
        raise HostKeyError(
            f"ssh_config gives {target.name} no UserKnownHostsFile to record its key in",
            host=target.name,
            next_step="set UserKnownHostsFile in ~/.ssh/config or in ansible_ssh_common_args",
        )
    known = KnownHosts(target)
    for key in keys if not replace else ():
        known.refuse_change(key)
    path = Path(target.user_known_hosts_files[0])
    _write(path.resolve(), _renewed(_lines(path), target.known_as, keys, replace=replace))
    return path


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="surrogateescape").splitlines() if path.exists() else []


def _renewed(lines: Sequence[str], name: str, keys: Sequence[OfferedKey], *, replace: bool) -> list[str]:
    """Return the lines with ``keys`` under ``name``; old keys of that name stay unless they are replaced."""
    parsed = [(line, _parse(line, "", 0)) for line in lines]
    own = [key for _, key in parsed if key and not key.marker and matches(key.names, name)]
    if replace:
        kept = [line if key not in own else _without(line, name) for line, key in parsed]
        wanted = list(keys)
    else:
        kept = list(lines)
        wanted = [key for key in keys if key.base64 not in {old.base64 for old in own}]
    return [line for line in kept if line is not None] + [f"{name} {key.type} {key.base64}" for key in wanted]


def _without(line: str, name: str) -> str | None:
    """Return the line without that one name, None when it named nothing else (or only hashed it, or by a pattern)."""
    names, rest = re.split(r"\s+", line.strip(), maxsplit=1)
    others = [part for part in names.split(",") if part.lower() != name.lower()]
    kept = [part for part in others if not matches(part.lstrip("!"), name)]
    return f"{','.join(kept)} {rest}" if kept and not names.startswith("|1|") else None


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", errors="surrogateescape") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
