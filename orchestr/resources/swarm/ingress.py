"""A check, before services rely on it, that a node can take part in the ingress mesh."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Optional, Tuple

TABLE = "/proc/net/ip_vs"
HOW = "ports published through the ingress mesh, and services' virtual addresses, would not answer on this host"


def has_ipvs(reader: Reader) -> bool:
    """Return True if the kernel has IPVS, or a module of it that Docker can load (modprobe(8))."""
    if reader.stat(TABLE) is not None:
        return True
    return reader.query(["modprobe", "--dry-run", "--quiet", "ip_vs"]).ok


@record
@registered("swarm_ingress")
class SwarmIngress(Resource):
    """A gate: the kernel has IPVS, which the ingress mesh and services' virtual addresses are made of.

    Observes: /proc and the kernel's modules. Changes: nothing; its apply fails with the consequences and the next step.
    Never touches: anything.
    """

    name: str = "IPVS"

    is_gate: ClassVar[bool] = True
    touches: ClassVar[Tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        return {"ipvs": True}

    def observe(self, reader: Reader) -> Optional[State]:
        return {"ipvs": has_ipvs(reader)}

    def apply(self, system: System, change: Change) -> None:
        raise ResourceError(
            "this kernel has no IPVS: %s" % HOW,
            "install the kernel's modules (ip_vs), or set swarm_publish_mode: host and give services dnsrr",
        )
