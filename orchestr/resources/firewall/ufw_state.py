"""The state of ufw on a host (on disk and in the kernel), the desired state, and their comparison. Reads only."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import NotObservable, ResourceError, State
from orchestr.agent.system import Reader
from orchestr.agent.unconfirmed import pending
from orchestr.resources.firewall import docker_user, netfilter, ufw_files
from orchestr.resources.firewall.backend import Wish
from orchestr.resources.firewall.netfilter import Live
from orchestr.resources.firewall.plan import mentions, merged, with_ssh
from orchestr.resources.firewall.rules import SSH_TAG, Entry, Wanted, session_of
from orchestr.resources.firewall.ufw_files import RulesFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

CONF, DEFAULTS = "/etc/ufw/ufw.conf", "/etc/default/ufw"
RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
AFTER = {4: "/etc/ufw/after.rules", 6: "/etc/ufw/after6.rules"}
PREFIX = {4: "ufw", 6: "ufw6"}
WANTED_BY = tuple("/etc/systemd/system/%s.target.wants/ufw.service" % target for target in ("multi-user", "sysinit"))
CHAINS = {"incoming": "INPUT", "outgoing": "OUTPUT", "routed": "FORWARD"}
#: Chains that ufw hooks into INPUT, OUTPUT and FORWARD, each with the lower-case name of that chain appended.
PRIMARY = ("before-logging", "before", "after", "after-logging", "reject", "track")
#: Value of ``published`` while the rules differ from the wanted ones: a diff then shows only the rules.
FOLLOWS = "deny, by other rules"
TARGETS = {policy: target for target, policy in ufw_files.POLICIES.items()}


@record
class Now:
    """The state of ufw's files and of the kernel; ``live`` is None for a family the kernel lacks."""

    settings: Dict[str, str]
    rules: Dict[int, RulesFile]
    after: Dict[int, str]
    live: Dict[int, Optional[Live]]
    memo: Dict[int, bool]

    @property
    def is_enabled(self) -> bool:
        return self.settings.get("ENABLED", "no").lower() == "yes"

    @property
    def has_ipv6(self) -> bool:
        return self.settings.get("IPV6", "no").lower() == "yes"

    @property
    def families(self) -> Tuple[int, ...]:
        """Return the families whose rules ufw loads on this host."""
        return (4, 6) if self.has_ipv6 and self.live[6] is not None else (4,)

    def is_hooked(self, family: int) -> bool:
        """Return True if the kernel sends packets of a family through all of ufw's chains."""
        if family not in self.memo:
            live, prefix = self.live[family], PREFIX[family]
            self.memo[family] = live is not None and all(
                live.jumps(chain, "%s-%s-%s" % (prefix, part, chain.lower()))
                and live.jumps("%s-before-%s" % (prefix, chain.lower()), "%s-user-%s" % (prefix, chain.lower()))
                for chain in CHAINS.values()
                for part in PRIMARY
            )
        return self.memo[family]

    @property
    def is_active(self) -> bool:
        """Return True if the firewall filters: on disk, so also after a reboot, and in the kernel."""
        return self.is_enabled and all(self.is_hooked(family) for family in self.families)

    def holds(self, entry: Entry) -> bool:
        """Return True if the kernel holds the rules of an entry in the files."""
        return all(rule in self.user_chain(entry.family, chain) for chain, rule in _canonical_lines(entry))

    def user_chain(self, family: int, chain: str) -> List[netfilter.Canonical]:
        live = self.live[family]
        return [] if live is None else live.canonical(chain)


@record
class Goal:
    """The desired files: assignments, entries per family, lines of the DOCKER-USER block per family."""

    conf: Dict[str, str]
    defaults: Dict[str, str]
    entries: Dict[int, List[Entry]]
    block: Dict[int, List[str]]


def read(reader: Reader) -> Now:
    """Read the current state from six files and two commands. Raises NotObservable where ufw is not installed."""
    if reader.which("ufw") is None:
        raise NotObservable("ufw is not installed on this host", "install the package ufw before the firewall")
    settings = ufw_files.settings(reader.read_text(DEFAULTS) or "")
    settings.update(ufw_files.settings(reader.read_text(CONF) or ""))
    rules = {}
    for family, path in RULES.items():
        try:
            rules[family] = ufw_files.parse_rules(reader.read_text(path) or "", family)
        except ValueError as error:
            raise ResourceError("%s is not a rules file of ufw: %s" % (path, error), "run: ufw reset") from None
    after = {family: reader.read_text(path) or "" for family, path in AFTER.items()}
    return Now(settings, rules, after, {family: netfilter.read(reader, family) for family in (4, 6)}, {})


def goal_of(reader: Reader, now: Now, wish: Wish) -> Goal:
    """Return the desired files for a wish and the current state. Raises ResourceError."""
    session = session_of(reader.ssh_connection()) if wish.enabled else None
    families = (4, 6) if wish.ipv6 else (4,)
    entries = {family: list(now.rules[family].entries) for family in (4, 6)}
    base = {
        family: merged(entries[family], entries_of(wish.wanted, family), lambda entry: entry.is_tagged, wish.purge)
        for family in families
    }
    is_mentioned = mentions([entry for family in families for entry in base[family]], session)
    for family in families:
        entries[family] = with_ssh(family, base[family], now.rules[family].entries, session, is_mentioned)
    block: Dict[int, List[str]] = {4: [], 6: []}
    if wish.published == "deny" and wish.enabled:
        docker_user.check_backend(reader)
        for family in (4, 6):
            block[family] = block_lines(reader, family, entries[family], entries_of(wish.wanted, family), "")
    defaults = {"DEFAULT_%s_POLICY" % chain: TARGETS[wish.policies[name]] for name, chain in CHAINS.items()}
    defaults["IPV6"] = "yes" if wish.ipv6 else "no"
    return Goal({"ENABLED": "yes"} if wish.enabled else {}, defaults if wish.enabled else {}, entries, block)


def block_lines(reader: Reader, family: int, entries: Sequence[Entry], wanted: Sequence[Entry], old: str) -> List[str]:
    """Return the lines for published ports: of our entries, and of others' that stand for a wanted one."""
    matches = {entry.match for entry in wanted}
    lines = set(old.splitlines())
    chosen = [
        entry
        for entry in entries
        if entry.is_tagged
        or entry.is_single
        or entry.match in matches
        or (lines and entry.comment != SSH_TAG and not entry.extra and docker_user.covers(lines, entry))
    ]
    return docker_user.rules(family, chosen, docker_user.foreign_bridges(reader))


def entries_of(wanted: Sequence[Wanted], family: int) -> List[Entry]:
    """Return the entries of one family, the first of those that match the same packets."""
    by_match: Dict[Tuple[int, str, str, str, str], Entry] = {}
    for item in wanted:
        for entry in item.entries:
            if entry.family == family:
                by_match.setdefault(entry.match, entry)
    return list(by_match.values())


def _canonical_lines(entry: Entry) -> Iterator[Tuple[str, netfilter.Canonical]]:
    for line in entry.lines or ufw_files.written(entry):
        if line.startswith("-A ") and "-user-logging-" not in line.split(" ")[1]:
            chain, rule = netfilter.split_rule(line)
            yield chain, netfilter.canonical(rule)


def observed(reader: Reader, now: Now, goal: Goal, wish: Wish) -> State:
    """Return the current state with the attributes of ``Firewall.desired``."""
    state = {
        "enabled": _enabled(now),
        "ipv6": now.has_ipv6,
        "at_boot": is_at_boot(reader),
        "rules": _rules(now, goal, wish),
        "order": "as listed" if is_ordered(now, goal) else "another",
        "ssh": _ssh(now, goal),
        "kernel": kernel(now),
        "published": _published(now, goal),
        "unconfirmed": pending(reader),
    }
    return dict(state, **{name: _policy(now, name) for name in CHAINS})


def _enabled(now: Now) -> Union[bool, str]:
    if now.is_active:
        return True
    is_live = any(now.is_hooked(family) for family in (4, 6))
    if now.is_enabled:
        return "on disk, not in the kernel"
    return "in the kernel, not on disk" if is_live else False


def is_at_boot(reader: Reader) -> bool:
    """Return True if ufw starts at boot; also where systemd does not run, as it cannot be known."""
    if reader.stat("/run/systemd/system") is None:
        return True
    return any(reader.stat(path) is not None for path in WANTED_BY)


def _policy(now: Now, name: str) -> str:
    chain = CHAINS[name]
    target = now.settings.get("DEFAULT_%s_POLICY" % chain, "")
    policy = ufw_files.POLICIES.get(target, target)
    if now.is_active and not _policy_is_live(now, chain, target):
        return policy + " on disk, not in the kernel"
    return policy


def _policy_is_live(now: Now, chain: str, target: str) -> bool:
    expected = "DROP" if target == "REJECT" else target
    policies = [live.policies.get(chain) for live in (now.live[family] for family in now.families) if live is not None]
    return all(policy == expected for policy in policies)


def policies_hold(now: Now, wish: Wish) -> bool:
    return all(_policy(now, name) == policy for name, policy in wish.policies.items())


def is_in_force(now: Now, entry: Entry) -> bool:
    """Return True if the files hold an entry of this match and action, and, with an active firewall, the kernel too."""
    for existing in now.rules[entry.family].entries:
        if existing.match == entry.match and existing.action == entry.action:
            is_ours = existing.is_tagged or existing.is_single or existing.comment == SSH_TAG
            # An entry of a Firewall satisfies an equal FirewallRule, and vice versa.
            stands_for = existing.comment != SSH_TAG and existing.is_single != entry.is_single
            is_whose = not is_ours or stands_for or existing.comment == entry.comment
            return is_whose and (not now.is_active or entry.family not in now.families or now.holds(existing))
    return False


def _rules(now: Now, goal: Goal, wish: Wish) -> Tuple[str, ...]:
    """Return the wanted lines that hold, then those that are there and should not be."""
    texts = [item.text for item in wish.wanted if all(is_in_force(now, entry) for entry in item.entries)]
    for family in (4, 6):
        for entry in now.rules[family].entries:
            if entry.comment != SSH_TAG and not any(entry is other for other in goal.entries[family]):
                text = entry.text()
                if text not in texts:
                    texts.append(text)
                elif text in [item.text for item in wish.wanted]:
                    texts.append(text + " (twice)")
    return tuple(texts)


def is_ordered(now: Now, goal: Goal) -> bool:
    for family in (4, 6):
        there = [entry for entry in now.rules[family].entries if any(entry is item for item in goal.entries[family])]
        wanted = [entry for entry in goal.entries[family] if any(entry is item for item in there)]
        if any(first is not second for first, second in zip(there, wanted)):
            return False
    return True


def _ssh(now: Now, goal: Goal) -> str:
    for family in (4, 6):
        existing = [entry for entry in now.rules[family].entries if entry.comment == SSH_TAG]
        wanted = [entry for entry in goal.entries[family] if entry.comment == SSH_TAG]
        if any(not entry.lines or not is_in_force(now, entry) for entry in wanted):
            return "not let in by a rule"
        if len(existing) != len(wanted):
            return "open to more than this connection needs"
    return "open"


def kernel(now: Now) -> str:
    """Compare ufw's chains with its files beyond the single rules: nothing added by hand, the same order."""
    if not now.is_active:
        return "as on disk"
    for family in now.families:
        for direction in ("input", "output", "forward"):
            chain = "%s-user-%s" % (PREFIX[family], direction)
            lines = [line for entry in now.rules[family].entries for line in _canonical_lines(entry)]
            expected = [rule for name, rule in lines if name == chain]
            rules = now.user_chain(family, chain)
            # Only a rule too many is one added by hand: others' rules may be printed in ways not foreseen here.
            if len(rules) > len(expected) and any(rules.count(rule) > expected.count(rule) for rule in rules):
                return "%s holds rules added by hand" % chain
            if not netfilter.is_in_order([rule for rule in rules if rule in expected], expected):
                return "%s is in another order" % chain
    return "as on disk"


def _published(now: Now, goal: Goal) -> str:
    blocks = {family: docker_user.split(now.after[family])[1] for family in (4, 6)}
    wanted = {family: docker_user.block(lines) if lines else "" for family, lines in goal.block.items()}
    is_left = any("orchestr-published" in live.chains for live in now.live.values() if live is not None)
    if not any(wanted.values()):
        return "deny" if any(blocks.values()) or is_left else "ignore"
    if not any(blocks.values()):
        return "open"
    if blocks != wanted:
        return FOLLOWS
    if now.is_active and not all(docker_user.is_live(now.live[family], goal.block[family]) for family in now.families):
        return "deny on disk, not in the kernel"
    return "deny"
