"""Ports of the host that nobody else may hold: a conflict is reported before a container fails on it."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.docker.names import check_project_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Dict, List, Optional, Set, Tuple

LISTEN, UNCONNECTED = "0A", "07"  # states in /proc/net/tcp and udp
_TABLES = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}


def held_ports(reader: Reader, protocol: str) -> Dict[int, str]:
    """Return port → inode of the sockets that wait for peers on it, IPv4 and IPv6 (proc(5), /proc/net/tcp)."""
    inodes: Dict[int, str] = {}
    for table in _TABLES[protocol]:
        for line in (reader.read_text("/proc/net/%s" % table) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == (LISTEN if protocol == "tcp" else UNCONNECTED):
                inodes.setdefault(int(fields[1].rpartition(":")[2], 16), fields[9])
    return inodes


def holder_of(reader: Reader, inode: str) -> str:
    """Return the program that has a socket open, ``nginx (pid 123)``; "another program" when it cannot be seen."""
    listing = reader.query(["ss", "-H", "-e", "-n", "-p", "-l", "-t", "-u"]).stdout
    for line in listing.splitlines():
        if " ino:%s " % inode in line + " " and 'users:(("' in line:
            name, _, rest = line.partition('users:(("')[2].partition('"')
            return "%s (pid %s)" % (name, rest.partition("pid=")[2].partition(",")[0])
    return "another program"


@record
@registered("ports_free")
class PortsFree(Resource):
    """No program holds these ports (``6379/tcp``), unless the project or stack they are meant for is running.

    Observes: the sockets the kernel lists. Changes: nothing; its apply fails with the holders. Never touches: whatever
    holds a port: to stop it is the user's to decide.
    """

    ports: Tuple[str, ...]
    project: str = ""

    is_gate: ClassVar[bool] = True
    touches: ClassVar[Tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for text in self.ports:
            number, _, protocol = text.partition("/")
            if protocol not in _TABLES or not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
                raise ValueError("%r is not a port and protocol, as in 6379/tcp" % text)
        if self.project:
            check_project_name(self.project)

    @property
    def label(self) -> str:
        return " ".join(self.ports)

    def desired(self) -> Optional[State]:
        return {"held": ()}

    def observe(self, reader: Reader) -> Optional[State]:
        if self.project and self._is_project_up(reader):
            return {"held": ()}
        held = tuple(text for text, _ in self._held(reader))
        return {"held": () if held and self.project and self._is_stack_deployed(reader) else held}

    def _is_stack_deployed(self, reader: Reader) -> bool:
        """Return True if this host manages a stack of the project's name, which a compose project will replace."""
        from orchestr.resources.moves import forms

        try:
            return bool(forms.stack_services(reader, self.project))
        except (ResourceError, OSError):
            return False

    def _is_project_up(self, reader: Reader) -> bool:
        from orchestr.resources.compose import containers as compose_containers

        try:
            containers = compose_containers.project_containers(reader, self.project)
        except (ResourceError, OSError):
            return False  # no engine, so no container of ours
        return any(item.condition.split()[0] not in ("exited", "created", "dead") for item in containers)

    def _held(self, reader: Reader) -> List[Tuple[str, str]]:
        """Return (port/protocol, inode) of the taken ports."""
        tables = {protocol: held_ports(reader, protocol) for protocol in self._protocols()}
        wanted = [(text, text.partition("/")) for text in self.ports]
        return [
            (text, tables[protocol][int(number)])
            for text, (number, _, protocol) in wanted
            if int(number) in tables[protocol]
        ]

    def _protocols(self) -> Set[str]:
        return {text.partition("/")[2] for text in self.ports}

    def apply(self, system: System, change: Change) -> None:
        held = ["%s by %s" % (text, holder_of(system, inode)) for text, inode in self._held(system)]
        raise ResourceError(
            "taken on this host: %s" % ", ".join(held),
            "stop that program (systemctl disable --now …) or use other ports",
        )
