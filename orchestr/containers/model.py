"""The parts of a container service: ports, mounts, health, limits, networks. Plain values that know no host.

They suit both a compose file (one machine) and a stack file (a swarm); each renderer uses the values it supports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestr.containers.checked import Checked
from orchestr.errors import InputError

_PORT = re.compile(
    r"(?:(?:(?P<address>\[[0-9a-fA-F:]+\]|[0-9.]+):)?(?P<published>\d+(?:-\d+)?):)?(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp|sctp))?"
)


@dataclass(frozen=True)
class Port(Checked):
    """Published ports: ``published`` on the host goes to ``target`` in the container; ranges are inclusive pairs."""

    target: tuple[int, int]
    published: tuple[int, int]
    address: str = ""
    protocol: str = "tcp"

    @classmethod
    def parse(cls, text: str) -> Port:
        """Read compose's short form: ``"443:443"``, ``"127.0.0.1:8080:80/tcp"``, ``"50000-50020:50000-50020/udp"``."""
        match = _PORT.fullmatch(text)
        if match is None or match["published"] is None:
            raise InputError(
                f"{text!r} is not a published port", next_step="write HOST:CONTAINER, 127.0.0.1:8080:80 or 53:53/udp"
            )
        port = cls(_range(match["target"]), _range(match["published"]), (match["address"] or "").strip("[]"))
        port = cls(port.target, port.published, port.address, match["protocol"] or "tcp")
        if port.count != port.target[1] - port.target[0] + 1 or port.count < 1 or max(port.published) > 65535:
            raise InputError(
                f"{text!r} does not publish as many ports as the container has",
                next_step="write two ranges of the same length: 50000-50020:50000-50020",
            )
        return port

    @property
    def count(self) -> int:
        return self.published[1] - self.published[0] + 1

    def overlaps(self, other: Port) -> bool:
        """Return True if both publish the same port of the host."""
        anywhere = ("", "0.0.0.0", "::")  # noqa: S104
        same_address = self.address == other.address or self.address in anywhere or other.address in anywhere
        apart = self.published[1] < other.published[0] or other.published[1] < self.published[0]
        return self.protocol == other.protocol and same_address and not apart

    def __str__(self) -> str:
        address = f"[{self.address}]:" if ":" in self.address else f"{self.address}:" if self.address else ""
        protocol = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{address}{_span(self.published)}:{_span(self.target)}{protocol}"


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _span(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}"


@dataclass(frozen=True)
class Mount(Checked):
    """Something at ``target`` in the container: a host's file or directory, a named volume, or memory (tmpfs)."""

    type: Literal["bind", "volume", "tmpfs"]
    source: str
    target: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read compose's short form: ``"/opt/x:/etc/x:ro"`` or ``"data:/data"``."""
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        if not source or not target or mode not in ("", "ro", "rw"):
            raise InputError(f"{text!r} is not a mount", next_step="write SOURCE:TARGET or SOURCE:TARGET:ro")
        return cls("bind" if source[0] in "/.~" else "volume", source, target, mode == "ro")


@dataclass(frozen=True)
class HealthCheck(Checked):
    """How the engine checks that a service works; ``test`` is a command (words) or a shell line."""

    test: str | tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 10.0
    retries: int = 3
    start_period_s: float = 0.0


@dataclass(frozen=True)
class Logging(Checked):
    """Where logs go; by default files that are rotated, since Docker's own default fills the disk."""

    driver: str = "json-file"
    options: Mapping[str, str] = field(default_factory=lambda: {"max-size": "10m", "max-file": "3"})


@dataclass(frozen=True)
class Limits(Checked):
    """The upper limits of a service, and the resources reserved for it: CPUs as a number, memory as ``512m``."""

    cpus: float | None = None
    memory: str = ""
    reserved_cpus: float | None = None
    reserved_memory: str = ""
    pids: int | None = None


@dataclass(frozen=True)
class Reload(Checked):
    """Files that a running service reads again after a command in its container."""

    files: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Network(Checked):
    """A network of the project; an ``external`` one must already exist."""

    name: str
    driver: str = ""
    subnet: str = ""
    internal: bool = False
    attachable: bool = False
    external: bool = False


@dataclass(frozen=True)
class Volume(Checked):
    """A named volume of the project; an ``external`` one must already exist."""

    name: str
    external: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
