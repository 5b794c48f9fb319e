"""ufw as the packet filter: its files, and the kernel's rules loaded from them (``ufw_apply`` changes both)."""

from __future__ import annotations

from orchestr.agent.resource import State
from orchestr.agent.system import Reader, System
from orchestr.resources.firewall import ufw_state
from orchestr.resources.firewall.backend import Backend, Wish
from orchestr.resources.firewall.rules import Wanted
from orchestr.resources.firewall.ufw_state import Now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple


class Ufw(Backend):
    """The backend for hosts on which ufw is installed."""

    name = "ufw"

    def observe(self, reader: Reader, wish: Wish) -> State:
        now = self._now(reader)
        return ufw_state.observed(reader, now, ufw_state.goal_of(reader, now, wish), wish)

    def apply(self, system: System, wish: Wish) -> None:
        from orchestr.resources.firewall import ufw_apply  # not needed, and not sent, when nothing differs

        ufw_apply.bring_about(system, wish)

    def observe_rule(self, reader: Reader, wanted: Tuple[Wanted, ...], is_present: bool) -> Optional[State]:
        now = self._now(reader)
        texts = tuple(item.text for item in wanted if _holds(now, item, is_present))
        return {"rules": texts} if texts else None

    def apply_rule(self, system: System, wanted: Tuple[Wanted, ...], is_present: bool, guard_s: float) -> None:
        from orchestr.resources.firewall import ufw_apply

        ufw_apply.bring_rule_about(system, wanted, is_present, guard_s)

    def _now(self, reader: Reader) -> Now:
        now: Now = reader.once(("firewall", self.name), lambda: ufw_state.read(reader))
        return now


def _holds(now: Now, item: Wanted, is_present: bool) -> bool:
    """Return True if a line is in force; for a line to remove, if any entry of ours remains of it."""
    entries = [entry for entry in item.entries if entry.family == 4 or now.has_ipv6]
    if is_present:
        return all(ufw_state.is_in_force(now, entry) for entry in entries)
    existing = [old for entry in entries for old in now.rules[entry.family].entries if old.match == entry.match]
    return any(old.is_single for old in existing)
