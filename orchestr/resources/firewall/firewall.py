"""The host's firewall as one desired state, and single rules of it; the packet filter behind it is chosen by the host.

>>> Firewall(rules=(Rule(443), Rule(6379, sources=("192.168.56.12", "192.168.56.13")))).desired()["rules"]
('443/tcp allow', '6379/tcp allow from 192.168.56.12', '6379/tcp allow from 192.168.56.13')
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, State, attribute_diff, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.firewall.backend import Wish
from orchestr.resources.firewall.choice import PacketFilter, backend_of, check_backend
from orchestr.resources.firewall.rules import SINGLE_TAG, Rule, Wanted
from orchestr.resources.firewall.ufw_state import FOLLOWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Dict, List, Mapping, Optional, Tuple, Union

__all__ = ["Firewall", "FirewallRule", "PacketFilter", "Rule", "backend_of"]

POLICIES = ("allow", "deny", "reject")


@record
@registered("firewall")
class Firewall(Resource):
    """The firewall of the host: on or off, default policies, our rules, and ports that Docker publishes.

    ``backend`` is ufw, firewalld, or auto: firewalld where it runs, else ufw.
    Observes: ufw's files, or firewalld's default zone on disk and in its daemon; and the kernel's filter tables, so
    that a rule deleted in any is seen. Changes: these. The SSH port of the live connection is always let in; what
    could cut it off is guarded: the host undoes it by itself unless the controller reconnects within ``guard_s``
    seconds. Never touches: rules of others (unless ``purge``; firewalld's package opens services of its own, which
    are not), ufw's before and after rules but for one marked block, firewalld's other zones.

    ``published`` is "deny" (a port Docker publishes is open only to sources a rule allows) or "ignore" (open to all).
    Published ports follow our rules alone, not those others gave ufw by hand. Containers are outside to the host's own
    services, as ufw has it: one that must reach them needs a rule for its network. firewalld lets them in by Docker's
    zone.
    Raises ValueError on a policy it does not know, and on an IPv6 source without ``ipv6``.
    """

    rules: Tuple[Rule, ...] = ()
    enabled: bool = True
    incoming: str = "deny"
    outgoing: str = "allow"
    routed: str = "deny"
    ipv6: bool = True
    published: str = "deny"
    purge: bool = False
    guard_s: float = 20.0
    backend: str = "auto"

    touches: ClassVar[Tuple[str, ...]] = ("firewall", "files", "services")

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        check_backend(self.backend)
        for name in ("incoming", "outgoing", "routed"):
            if getattr(self, name) not in POLICIES:
                raise ValueError("%s=%r is none of %s" % (name, getattr(self, name), ", ".join(POLICIES)))
        if self.published not in ("deny", "ignore"):
            raise ValueError("published=%r is neither deny nor ignore" % self.published)
        if self.guard_s < 5:
            raise ValueError("guard_s=%r is too short to reconnect in: at least 5" % self.guard_s)
        for rule in self.rules:
            if not self.ipv6 and any(":" in source for source in rule.sources):
                raise ValueError("the rule for port %s has an IPv6 source, but ipv6 is off" % rule.port)

    @property
    def label(self) -> str:
        return "host"

    def _wanted(self) -> Tuple[Wanted, ...]:
        by_match: Dict[Tuple[int, str, str, str, str], Wanted] = {}
        for rule in self.rules:
            for item in rule.wanted(has_ipv6=self.ipv6):
                by_match.setdefault(item.entries[0].match, item)
        return tuple(by_match.values())

    def _wish(self) -> Wish:
        policies = {"incoming": self.incoming, "outgoing": self.outgoing, "routed": self.routed}
        return Wish(self._wanted(), self.enabled, policies, self.ipv6, self.published, self.purge, float(self.guard_s))

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return {("firewall", "as a whole"): self}

    def desired(self) -> Optional[State]:
        rules = tuple(item.text for item in self._wanted())
        state = {"enabled": self.enabled, "rules": rules, "order": "as listed", "unconfirmed": ()}
        if not self.enabled:
            return dict(state, published="ignore")
        policies = {"incoming": self.incoming, "outgoing": self.outgoing, "routed": self.routed}
        return dict(
            state, **policies, ipv6=self.ipv6, at_boot=True, ssh="open", kernel="as on disk", published=self.published
        )

    def observe(self, reader: Reader) -> Optional[State]:
        return backend_of(reader, self.backend).observe(reader, self._wish())

    def apply(self, system: System, change: Change) -> None:
        backend_of(system, self.backend).apply(system, self._wish())

    def diff(self, reader: Reader, change: Change) -> str:
        assert change.before is not None and change.after is not None
        names = [name for name in change.differing if name != "rules"]
        lines: List[str] = []
        if "rules" in change.differing:
            before, after = change.before["rules"], change.after["rules"]
            lines += ["- " + text for text in before if text not in after]
            lines += ["+ " + text for text in after if text not in before]
        if len(change.differing) > 1 and change.before.get("published") == FOLLOWS:
            names.remove("published")
        rest = Change(change.before, change.after, tuple(names))
        return "\n".join(([attribute_diff(rest)] if names else []) + lines)


@record
@registered("firewall_rule")
class FirewallRule(Resource):
    """One rule alone, beside whatever else the firewall holds; fields as in Rule. ``present=False`` removes it.

    Observes: the same one read of the firewall as all of the family. Changes: the rule, on disk and in the kernel;
    where a Firewall filters the ports Docker publishes, there too. Never touches: other rules, whether the firewall
    is on. A rule that can cut off the controller is guarded as Firewall is.
    """

    port: Union[int, str] = "any"
    protocol: str = "tcp"
    sources: Tuple[str, ...] = ()
    action: str = "allow"
    comment: str = ""
    present: bool = True
    guard_s: float = 20.0
    backend: str = "auto"

    touches: ClassVar[Tuple[str, ...]] = ("firewall", "files")

    def __post_init__(self) -> None:
        check_backend(self.backend)
        rule = self._rule()
        object.__setattr__(self, "port", rule.port)
        object.__setattr__(self, "sources", rule.sources)

    def _rule(self) -> Rule:
        return Rule(self.port, self.protocol, self.sources, self.action, self.comment)

    def _wanted(self) -> Tuple[Wanted, ...]:
        return tuple(self._rule().wanted(SINGLE_TAG))

    @property
    def label(self) -> str:
        source = " from " + ",".join(self.sources) if self.sources else ""
        ports = self.protocol if self.port == "any" else "%s/%s" % (self.port, self.protocol)
        return "%s %s%s" % (ports, self.action, source)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        state = self.action if self.present else "absent"
        ports = "%s/%s" % (self.port, self.protocol)
        return {("firewall rule", "%s from %s" % (ports, source)): state for source in self.sources or ("any",)}

    def desired(self) -> Optional[State]:
        return {"rules": tuple(item.text for item in self._wanted())} if self.present else None

    def observe(self, reader: Reader) -> Optional[State]:
        return backend_of(reader, self.backend).observe_rule(reader, self._wanted(), self.present)

    def apply(self, system: System, change: Change) -> None:
        backend = backend_of(system, self.backend)
        backend.apply_rule(system, self._wanted(), self.present, float(self.guard_s))

    def diff(self, reader: Reader, change: Change) -> str:
        before = tuple((change.before or {}).get("rules", ()))
        after = tuple((change.after or {}).get("rules", ()))
        lines = ["- " + text for text in before if text not in after]
        return "\n".join(lines + ["+ " + text for text in after if text not in before])
