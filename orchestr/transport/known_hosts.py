"""known_hosts read as OpenSSH reads it, and the check of an offered key against the recorded ones.

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
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.errors import HostKeyError
from orchestr.transport.file_version import version_of

if TYPE_CHECKING:
    from orchestr.transport.openssh_config import Target

#: Values of StrictHostKeyChecking that would accept unknown keys, as ``ssh -G`` prints them and as users write them.
UNSAFE_CHECKING = {"false": "no", "accept-new": "accept-new"}
_BLANKS = re.compile(r"[ \t\r]+")  # of ASCII alone: another character is part of a word
NO_FILE_STEP = "remove UserKnownHostsFile=/dev/null from ansible_ssh_common_args or ~/.ssh/config"


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
    def location(self) -> str:
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
    return tuple(parse(file, Path(file).read_bytes().decode(errors="replace")))


def parse(file: str, text: str) -> Iterator[RecordedKey]:
    """Yield the well-formed lines of a known_hosts file; as in ssh, a line ends at a line feed and nowhere else."""
    for number, line in enumerate(text.split("\n"), start=1):
        key = _parse(line, file, number)
        if key is not None:
            yield key


def _parse(line: str, file: str, number: int) -> RecordedKey | None:
    words = [word for word in _BLANKS.split(line) if word]
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
    """Return True if a line's name field names ``host`` (``name`` or ``[name]:port``)."""
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
        recorded = base64.b64decode(digest)
        computed = hmac.new(base64.b64decode(salt), host.lower().encode(), hashlib.sha1).digest()
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(computed, recorded)


class KnownHosts:
    """The recorded keys of one target, and the check of offered ones."""

    def __init__(self, target: Target) -> None:
        self.target = target
        files = (*target.user_known_hosts_files, *target.global_known_hosts_files)
        lines = read(files)
        self._revoked = [key for key in lines if key.marker == "@revoked"]
        self._authorities = self._named(lines, target.known_as, "@cert-authority")
        self.keys = self._named(lines, target.known_as, "")
        self._without_port = self._named(lines, target.hostname, "") if self._may_drop_port() else []

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
        self._refuse_revoked([offered])
        if any(key.base64 == offered.base64 for key in (*self.keys, *self._without_port)):
            return
        if self.keys:
            raise self._changed(offered)
        raise self._unknown(offered)

    def refuse_change(self, offered: Sequence[OfferedKey]) -> None:
        """Return when recording the keys contradicts no recorded one. Raises HostKeyError: revoked or changed."""
        self._refuse_revoked(offered)
        recorded = {key.base64 for key in self.keys}
        if self.keys and offered and not any(key.base64 in recorded for key in offered):
            raise self._changed(offered[0])
        for key in offered:
            if key.base64 not in recorded and any(old.type == key.type for old in self.keys):
                raise self._changed(key)

    def _refuse_revoked(self, offered: Sequence[OfferedKey]) -> None:
        for key in self._revoked:
            for offer in offered:
                if key.base64 == offer.base64 and matches(key.names, self.target.known_as):
                    raise self._error("is REVOKED", offer, [key], "do not connect; the key was withdrawn on purpose")

    def _changed(self, offered: OfferedKey) -> HostKeyError:
        """Return the error of a known host without its recorded key; another type is no excuse, as in OpenSSH."""
        same_type = [key for key in self.keys if key.type == offered.type]
        return self._error("has CHANGED", offered, same_type or self.keys, self._trust(" --replace HOST"))

    def _unknown(self, offered: OfferedKey) -> HostKeyError:
        if self._authorities:
            lines = ", ".join(key.location for key in self._authorities)
            note = f"is unknown (@cert-authority lines, here {lines}, are not supported)"
            return self._error(note, offered, [], self._trust())
        return self._error("is unknown", offered, [], self._trust())

    def _trust(self, option: str = "") -> str:
        command = f"orchestr trust INVENTORY --limit HOST{option}"
        if not self.target.user_known_hosts_files:
            return f"{NO_FILE_STEP}, then: {command}"
        return (
            "compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then: "
            f"{command}"
        )

    def _error(self, verdict: str, offered: OfferedKey, recorded: Sequence[RecordedKey], step: str) -> HostKeyError:
        lines = [
            f"the host key of {self.target.known_as} {verdict}",
            f"  offered   {offered.fingerprint} ({offered.type})",
        ]
        lines += [f"  recorded  {key.fingerprint} ({key.type}) at {key.location}" for key in recorded]
        if not recorded:
            files = ", ".join(self.target.user_known_hosts_files) or "no known_hosts file"
            lines.append(f"  recorded  none in {files}")
        if self.target.strict_host_key_checking in UNSAFE_CHECKING:
            option = f"StrictHostKeyChecking {UNSAFE_CHECKING[self.target.strict_host_key_checking]}"
            lines.append(f"  {option} has no effect: orchestr always checks host keys")
        return HostKeyError("\n".join(lines), host=self.target.name, next_step=step)
