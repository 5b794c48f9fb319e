"""What a packet filter of a host (ufw, firewalld) must be able to do for the firewall resources."""

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
    """Looks at and changes one kind of packet filter. States have the attributes of ``Firewall.desired``."""

    name = ""

    def observe(self, reader: Reader, wish: Wish) -> State:
        """Return what holds, in the terms of the wish. Raises NotObservable, ResourceError."""
        raise NotImplementedError

    def apply(self, system: System, wish: Wish) -> None:
        """Bring the wish about, never cutting off the controller. Raises LockedOut, ResourceError, CommandFailed."""
        raise NotImplementedError

    def observe_rule(self, reader: Reader, wanted: Tuple[Wanted, ...], is_present: bool) -> Optional[State]:
        """Return which of these lines hold (``rules``), or are left where they should not be; None when none is."""
        raise NotImplementedError

    def apply_rule(self, system: System, wanted: Tuple[Wanted, ...], is_present: bool, guard_s: float) -> None:
        """Add these lines, or take them away, leaving all others alone."""
        raise NotImplementedError
