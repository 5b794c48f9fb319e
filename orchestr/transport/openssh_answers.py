"""The answers of ``ssh -G``, asked for as seldom as is safe: a process costs more than a login's own cryptography.

Many hosts differ in nothing but their address. Their answers can differ only if something in ssh_config looks at the
address, so ssh is asked with ``-v``, which names every file it read. When none of them, and no argument, does look
(``Host`` other than ``*``, ``Match``, ``HostName``, ``Canonical…``, a ``%`` token), one answer holds for all.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

#: Words of ssh_config, or of an argument, that make an answer one address's own; ``Host *`` is looked at apart.
_LOOKS_AT_ADDRESS = re.compile(r"%|\b(?:host(?:name)?|match|canonical\w*|tag|include)\b", re.IGNORECASE)
_OF_EVERY_HOST = re.compile(r"^\s*(?:#.*|Host[ \t]+\*\s*|Include\b[^%]*)$", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")  # addresses that ssh uses unchanged
_READ = "debug1: Reading configuration data "
_VERSION = "OpenSSH_"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Answer:
    """The output of ``ssh -vG``."""

    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The lines of stderr that are not messages of ``-v``."""
        lines = self.stderr.splitlines()
        return "\n".join(line for line in lines if not line.startswith(("debug", _VERSION))).strip()

    def holds_for_all(self, arguments: Iterable[str]) -> bool:
        """Return True if the answer is the same for every plain address; False in doubt."""
        lines = self.stderr.splitlines()
        if not any(line.startswith(_VERSION) for line in lines):  # made silent, or not OpenSSH: the files are not known
            return False
        files = [line.removeprefix(_READ) for line in lines if line.startswith(_READ)]
        return not any(map(_LOOKS_AT_ADDRESS.search, arguments)) and not any(map(_looks_at_address, files))

    def for_address(self, address: str, asked: str) -> str:
        """Return the lines with ``address`` instead of the address that ssh was asked for."""
        own = {f"{keyword} {asked}": f"{keyword} {address}" for keyword in ("host", "hostname")}
        return "\n".join(own.get(line, line) for line in self.stdout.splitlines())


def _looks_at_address(file: str) -> bool:
    try:
        lines = Path(file).read_text(errors="replace").splitlines()
    except OSError:
        return True
    return any(_LOOKS_AT_ADDRESS.search(line) and not _OF_EVERY_HOST.match(line) for line in lines)


@dataclass
class Once(Generic[Value]):
    """Does each piece of work once, also when several threads ask for it at the same time; failures are not kept."""

    _done: dict[Hashable, Future[Value]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, work: Callable[[], Value]) -> Value:
        """Return the result of ``work`` for ``key``, done here or in the thread that asked first. Raises its error."""
        with self._lock:
            known = self._done.get(key)
            if known is None:
                mine = self._done[key] = Future()
        if known is not None:
            return known.result()
        try:
            mine.set_result(work())
        except BaseException as error:
            with self._lock:
                del self._done[key]
            mine.set_exception(error)
            raise
        return mine.result()


def is_plain(address: str) -> bool:
    """Return True if ssh uses the address unchanged: no capitals, no ``user@``, no IPv6 literal."""
    return _ADDRESS.fullmatch(address) is not None
