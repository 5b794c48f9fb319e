"""The interface between the firewall resources and a host's packet filter (ufw, firewalld)."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import State
from orchestr.agent.system import Reader, System
from orchestr.resources.firewall.rules import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Optional, Tuple


@record
class Wish:
    """A Firewall resource as a backend reads it; ``policies`` maps incoming, outgoing and routed."""

    wanted: Tuple[Wanted, ...]
    enabled: bool
    policies: Mapping[str, str]
    ipv6: bool
    published: str
    purge: bool
    guard_s: float


class Backend:
    """Observes and changes one kind of packet filter. States have the attributes of ``Firewall.desired``."""

    name = ""

    def observe(self, reader: Reader, wish: Wish) -> State:
        """Return the current state with the attributes of the wish. Raises NotObservable, ResourceError."""
        raise NotImplementedError

    def apply(self, system: System, wish: Wish) -> None:
        """Apply the wish without cutting off the controller. Raises LockedOut, ResourceError, CommandFailed."""
        raise NotImplementedError

    def observe_rule(self, reader: Reader, wanted: Tuple[Wanted, ...], is_present: bool) -> Optional[State]:
        """Return the lines in force (``rules``), or those left that should be absent; None for no line."""
        raise NotImplementedError

    def apply_rule(self, system: System, wanted: Tuple[Wanted, ...], is_present: bool, guard_s: float) -> None:
        """Add or remove these lines; all other lines stay."""
        raise NotImplementedError
