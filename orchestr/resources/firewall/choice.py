"""Which packet filter a host's firewall is made of, and its package."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.firewall import firewalld_presence
from orchestr.resources.firewall.backend import Backend
from orchestr.resources.firewall.ufw import Ufw
from orchestr.resources.packages import Package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Optional, Tuple

BACKENDS = ("auto", "ufw", "firewalld")


def backend_of(reader: Reader, choice: str = "auto") -> Backend:
    """Return the packet filter to use: ``auto`` is firewalld where it runs (or holds our rules, off), else ufw.

    Raises ResourceError where ufw is asked for and firewalld runs.
    """
    is_running = firewalld_presence.is_running(reader)
    if choice == "ufw" and is_running:
        raise ResourceError(
            "this host runs firewalld, and ufw beside it would contradict it",
            "leave the choice to the host (firewall_backend: auto), or: systemctl disable --now firewalld",
        )
    if choice == "auto":
        choice = "firewalld" if is_running or firewalld_presence.is_ours(reader) else "ufw"
    if choice != "firewalld":
        return Ufw()
    from orchestr.resources.firewall.firewalld import Firewalld  # much code, which only such hosts need

    return Firewalld()


def check_backend(backend: str) -> None:
    """Raise ValueError on a name that is no packet filter."""
    if backend not in BACKENDS:
        raise ValueError("backend=%r is none of %s" % (backend, ", ".join(BACKENDS)))


@record
@registered("packet_filter")
class PacketFilter(Resource):
    """The package of the packet filter that a Firewall will use; nothing to do where firewalld runs.

    Observes: as Package of that name. Changes: that package. Never touches: whether it is on (firewalld's package
    would start it, before there are rules that let the controller in).
    """

    backend: str = "auto"

    touches: ClassVar[Tuple[str, ...]] = ("*",)

    def __post_init__(self) -> None:
        check_backend(self.backend)

    @property
    def label(self) -> str:
        return self.backend

    def desired(self) -> Optional[State]:
        return {"package": "installed"}

    def observe(self, reader: Reader) -> Optional[State]:
        name = backend_of(reader, self.backend).name
        if name == "firewalld" and reader.which("firewalld") and reader.which("firewall-cmd"):
            return self.desired()
        package = Package(name)
        return {"package": (package.observe(reader) or {}).get(name, "absent")}

    def apply(self, system: System, change: Change) -> None:
        name = backend_of(system, self.backend).name
        package = Package(name)
        if name == "firewalld":
            system.run(["systemctl", "mask", "--runtime", "--quiet", "firewalld.service"], check=False)
        try:
            package.apply(system, Change(package.observe(system), package.desired(), (name,)))
        finally:
            if name == "firewalld":
                system.run(["systemctl", "unmask", "--runtime", "--quiet", "firewalld.service"], check=False)
