"""The state of firewalld on a host (on disk, in its daemon, in the kernel), and the desired state. Reads only.

The host's default zone is the one looked at and changed: it has the packets of all interfaces that nobody gave to
another. Zones others fill (Docker's, a VPN's, those bound to an interface or a source) are theirs.
"""

from __future__ import annotations

import re

from orchestr.agent.record import record
from orchestr.agent.resource import NotObservable, ResourceError, State
from orchestr.agent.secret import cut_tail
from orchestr.agent.system import Reader
from orchestr.agent.unconfirmed import pending
from orchestr.resources.firewall import docker_user, firewalld_direct, firewalld_rules, firewalld_zones, netfilter
from orchestr.resources.firewall.backend import Wish
from orchestr.resources.firewall.firewalld_presence import CONF, default_zone, is_running
from orchestr.resources.firewall.firewalld_rules import ICMP, SSH, SSH_FIRST, Item, Placed, entries_of, placed
from orchestr.resources.firewall.netfilter import Live
from orchestr.resources.firewall.plan import mentions, with_ssh
from orchestr.resources.firewall.rules import SINGLE_TAG, SSH_TAG, TAG, Entry, Session, Wanted, session_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

VENDOR = "/usr/lib/firewalld/zones/%s.xml"
WANTED_BY = "/etc/systemd/system/multi-user.target.wants/firewalld.service"
#: Value of ``published`` while the rules differ from the wanted ones: a diff then shows only the rules.
FOLLOWS = "deny, by other rules"
#: The host's own way to its IPv6 address, no service for others.
KEPT = ("service", "dhcpv6-client")
FORWARD = ("forward", "")
#: A gap that firewalld's reload does not mend: it begins by deleting its table, and gives up where there is none.
NO_TABLE = "firewalld's table is gone from the kernel"


@record
class Now:
    """The current state: the default zone's items on disk and in the daemon, direct.xml, the kernel's tables.

    ``vendor`` holds the items the zone opens as packaged. Of a daemon that does not run, ``runtime`` is the
    disk's. ``gap`` names the part of the daemon's state that the kernel lacks, "" for none; ``blind_spot`` an interface
    whose packets another zone has.
    """

    is_active: bool
    is_at_boot: bool
    zone: str
    permanent: FrozenSet[Item]
    runtime: FrozenSet[Item]
    vendor: FrozenSet[Item]
    direct: str
    live: Dict[int, Optional[Live]]
    gap: str
    blind_spot: str = ""

    def require_sight(self) -> None:
        """Raise ResourceError where the packets from outside are another zone's: no rule here would hold for them."""
        if self.blind_spot:
            raise ResourceError(
                self.blind_spot,
                "on the host: firewall-cmd --permanent --zone=%s --change-interface=NAME, then firewall-cmd --reload; "
                "or make the other zone the default one: firewall-cmd --set-default-zone=ZONE" % self.zone,
            )

    @property
    def has_docker(self) -> bool:
        """Return True if a Docker engine has its rules in the kernel."""
        return any(live is not None and "DOCKER" in live.chains for live in self.live.values())


@record
class Goal:
    """The desired state: the zone's items on disk and in the daemon, and direct rules as ``-A`` lines per family."""

    permanent: FrozenSet[Item]
    runtime: FrozenSet[Item]
    lines: Dict[int, List[str]]


def read(reader: Reader) -> Now:
    """Read the current state. Raises NotObservable without firewalld, ResourceError where it does not answer."""
    if reader.which("firewall-cmd") is None or reader.which("firewalld") is None:
        raise NotObservable("firewalld is not installed on this host", "install the package firewalld first")
    conf, is_active = reader.read_text(CONF) or "", is_running(reader)
    if is_active and not reader.ssh_connection():
        _refuse_panic(reader)
    zone = default_zone(conf)
    program = ["firewall-cmd", "--permanent"] if is_active else ["firewall-offline-cmd"]
    permanent = _zone(reader, [*program, "--zone=" + zone, "--list-all"])
    runtime = _zone(reader, ["firewall-cmd", "--zone=" + zone, "--list-all"]) if is_active else permanent
    live = {family: netfilter.read(reader, family) for family in (4, 6)}
    chains = _chains(reader, conf, live) if is_active else {}
    return Now(
        is_active,
        reader.stat(WANTED_BY) is not None or reader.stat("/run/systemd/system") is None,
        zone,
        permanent,
        runtime,
        frozenset(firewalld_rules.vendor_items(reader.read_text(VENDOR % zone) or "")) - {KEPT},
        reader.read_text(firewalld_direct.PATH) or "",
        live,
        _gap(chains, conf, zone, runtime) if is_active else "",
        firewalld_zones.blind_spot(reader, chains or {}, zone),
    )


def _refuse_panic(reader: Reader) -> None:
    """Raise ResourceError in panic mode, which no rule overrules; a session over SSH is proof of the contrary."""
    if reader.query(["firewall-cmd", "--query-panic"], timeout_s=30).ok:
        raise ResourceError(
            "firewalld is in panic mode: it drops every packet, whatever its rules say",
            "when the reason is gone, on the host's console: firewall-cmd --panic-off",
        )


def _zone(reader: Reader, argv: List[str]) -> FrozenSet[Item]:
    done = reader.query(argv, timeout_s=30)
    if not done.ok:
        message = cut_tail((done.stderr or done.stdout).strip(), 500)
        raise ResourceError("firewalld's rules cannot be read: %s" % message, "see: journalctl -u firewalld")
    return frozenset(firewalld_rules.parse_zone(done.stdout))


def _has_iptables(conf: str) -> bool:
    return re.search(r"(?m)^FirewallBackend=iptables", conf) is not None


def _chains(reader: Reader, conf: str, live: Dict[int, Optional[Live]]) -> Optional[Dict[str, List[str]]]:
    """Return the kernel's chains of firewalld, None where its table is gone."""
    if _has_iptables(conf):
        filters = live[4]
        return filters.chains if filters is not None else {}
    done = reader.query(["nft", "list", "table", "inet", "firewalld"], timeout_s=20)
    return chains_of(done.stdout) if done.ok else None


def _gap(chains: Optional[Dict[str, List[str]]], conf: str, zone: str, runtime: FrozenSet[Item]) -> str:
    """Compare the daemon's rules with the kernel's, roughly: the chains asked, as many rules, no hole made by hand."""
    if chains is None:
        return NO_TABLE
    count = sum(1 for item in runtime for rule in [placed(item)] if rule and rule.priority > 0)
    if _has_iptables(conf):
        hooks, post, hole = chains.get("INPUT", []), chains.get("IN_%s_post" % zone, []), "-j ACCEPT"
        asks = ["-j INPUT_ZONES", "-j IN_%s_post" % zone]
        count = sum(1 for item in runtime for entry in _post(item) if entry.family == 4)
    else:
        hooks, post, hole = chains.get("filter_INPUT", []), chains.get("filter_IN_%s_post" % zone, []), "accept"
        asks = ["jump filter_INPUT_ZONES", "jump filter_IN_%s_post" % zone]
    of_zone = chains.get("IN_" + zone) or chains.get("filter_IN_" + zone) or []
    for rules, ask in zip((hooks, of_zone), asks):
        if ask not in rules or len(post) < count:
            return "firewalld's rules are gone from the kernel"
        if hole in rules[: rules.index(ask)]:  # the rules that follow are the zone's own answer to remaining packets
            return "a rule that lets all in was added to the kernel"
    return ""


def _post(item: Item) -> List[Entry]:
    rule = placed(item)
    return entries_of(item) if rule is not None and rule.priority > 0 else []


def chains_of(listing: str) -> Dict[str, List[str]]:
    """Return the rules of each chain that ``nft list table`` printed; sets and maps beside them are left out.

    A rule with a long set goes on in further lines, until its braces are closed.
    """
    chains: Dict[str, List[str]] = {}
    rules: List[str] = []
    for line in listing.splitlines():
        text = line.split(" # handle ")[0].strip()
        if line.startswith("\t\t") and rules and rules[-1].count("{") > rules[-1].count("}"):
            rules[-1] += " " + text
        elif line.startswith("\t\t") and text and not text.startswith("#"):
            rules.append(text)
        elif line.startswith("\tchain "):
            rules = chains.setdefault(line.split()[1], [])
        elif line.startswith("\t") and not line.startswith("\t\t"):
            rules = []
    return chains


# -- the desired state --------------------------------------------------------------------------------------------


def goal_of(reader: Reader, now: Now, wish: Wish) -> Goal:
    """Return the desired state for a wish and the current state. Raises ResourceError."""
    if wish.policies["outgoing"] != "allow":
        raise ResourceError("firewalld does not filter outgoing packets", "use outgoing: allow, or ufw")
    wanted = ours_of(wish.wanted)
    matches = {match for rule in wanted for match in firewalld_rules.same_packets(rule.item)}
    items = {item for item in now.permanent if _stays(now, item, matches, {rule.item for rule in wanted}, wish.purge)}
    if wish.enabled:
        now.require_sight()
        items |= {rule.item for rule in firewalld_rules.rest(wish.policies["incoming"])}
        items = items - {FORWARD} | ({FORWARD} if wish.policies["routed"] == "allow" else set())
    items |= {rule.item for rule in wanted}
    session = session_of(reader.ssh_connection()) if wish.enabled else None
    items |= set(_ssh_items(items, now.permanent, session, (4, 6) if wish.ipv6 else (4,)))
    published = wish.published == "deny" and wish.enabled
    if published:
        docker_user.check_backend(reader)
    return with_lines(reader, now, frozenset(items), published, wish.purge)


def ours_of(wanted: Sequence[Wanted]) -> List[Placed]:
    """Return the Firewall's own rules, in order."""
    groups = [(item.entries[0].action, firewalld_rules.bodies(item.entries)) for item in wanted]
    return firewalld_rules.ranked(groups, firewalld_rules.OURS)


def _stays(now: Now, item: Item, matches: Set[Tuple[int, str, str, str, str]], ours: Set[Item], purge: bool) -> bool:
    """Return True for an item to keep: a single rule, or a foreign one not packaged, purged or contradicted."""
    rule = placed(item)
    if rule is not None:
        return rule.tag == SINGLE_TAG or item in ours
    if item in (FORWARD, KEPT):
        return True
    if item in now.vendor or purge:
        return False
    entries = entries_of(item)
    actions = {entry.match: entry.action for other in ours for entry in entries_of(other)}
    return not any(entry.match in matches and actions[entry.match] != entry.action for entry in entries)


def _ssh_items(
    items: Set[Item], existing: FrozenSet[Item], session: Optional[Session], families: Sequence[int]
) -> List[Item]:
    """Return the rules that keep the live connection's SSH port open to its client."""
    port = session.port if session is not None else ""
    base, old = (_inbound(group, port) for group in (items, existing))
    kept = [entry for entry in base if entry.comment != SSH_TAG]
    is_mentioned = mentions([entry for entry in kept if entry.family in families], session)
    entries: List[Entry] = []
    for family in families:
        mine = [entry for entry in kept if entry.family == family]
        before = [entry for entry in old if entry.family == family]
        result = with_ssh(family, mine, before, session, is_mentioned)
        entries += [entry for entry in result if entry.comment == SSH_TAG]
    ssh_items = []
    for source in sorted({entry.source for entry in entries}):
        same = [entry for entry in entries if entry.source == source]
        priority = SSH if source == "any" else SSH_FIRST
        ssh_items += [Placed(priority, body).item for body in firewalld_rules.bodies(same)]
    return ssh_items


def _inbound(items: "Set[Item] | FrozenSet[Item]", ssh_port: str) -> List[Entry]:
    asked = [item for item in firewalld_rules.as_asked(items) if not _is_last(item)]
    return [entry for item in asked for entry in entries_of(item, ssh_port)]


def _is_last(item: Item) -> bool:
    rule = placed(item)
    return rule is not None and rule.priority >= ICMP


def with_lines(reader: Reader, now: Now, items: FrozenSet[Item], published: bool, purge: bool = False) -> Goal:
    """Return the goal of these items on disk: the daemon's are the same but for bans it alone has; and direct rules."""
    asked = [entry for item in firewalld_rules.as_asked(items) for entry in entries_of(item)]
    chosen = [entry for entry in asked if entry.comment in (TAG, SINGLE_TAG)]
    bridges = docker_user.foreign_bridges(reader) if published else ()
    lines: Dict[int, List[str]] = {4: [], 6: []}
    for family, live in now.live.items():
        if live is not None:
            lines[family] = docker_user.rules(family, chosen, bridges) if published else []
            lines[family] += firewalld_direct.limits(family, chosen)
    bans = {item for item in now.runtime - now.permanent if not purge and is_ban(item)}
    return Goal(items, items | bans, lines)


def is_ban(item: Item) -> bool:
    """Return True for a foreign rule that rejects packets (fail2ban adds such rules to the daemon alone)."""
    return placed(item) is None and firewalld_rules.denies(item)


# -- the comparison -----------------------------------------------------------------------------------------------


def observed(reader: Reader, now: Now, goal: Goal, wish: Wish) -> State:
    """Return the current state with the attributes of ``Firewall.desired``."""
    return {
        "enabled": now.is_active,
        "ipv6": wish.ipv6,
        "at_boot": now.is_at_boot,
        "rules": _rules(now, goal, wish),
        "order": _order(now, wish),
        "ssh": _ssh(now, goal),
        "kernel": _kernel(now, goal),
        "published": _published(now, goal),
        "unconfirmed": pending(reader),
        "incoming": _incoming(now, wish),
        "outgoing": "allow",
        "routed": _routed(now, wish),
    }


def held(now: Now) -> FrozenSet[Item]:
    return now.permanent & now.runtime


def _bodies(items: FrozenSet[Item]) -> Set[str]:
    """Return the bodies of our ordinary rules among the items, whatever their position."""
    return {rule.body for rule in map(placed, items) if rule is not None and rule.tag == TAG}


def _rules(now: Now, goal: Goal, wish: Wish) -> Tuple[str, ...]:
    """Return the wanted lines in force, then the lines present that should not be."""
    there = _bodies(held(now))
    texts = [item.text for item in wish.wanted if there.issuperset(firewalld_rules.bodies(item.entries))]
    wanted = _bodies(goal.permanent)
    for item in firewalld_rules.as_asked((now.permanent - goal.permanent) | (now.runtime - goal.runtime)):
        rule = placed(item)
        is_told_elsewhere = item == FORWARD or (rule is not None and (rule.tag in ("", SSH_TAG) or rule.body in wanted))
        if not is_told_elsewhere:
            texts.append(firewalld_rules.described(item))
    return tuple(texts)


def _order(now: Now, wish: Wish) -> str:
    there = [rule for items in (now.permanent, now.runtime) for rule in map(placed, items) if rule and rule.tag == TAG]
    places = {rule.body: rule.priority for rule in ours_of(wish.wanted)}
    return "another" if any(places.get(rule.body, rule.priority) != rule.priority for rule in there) else "as listed"


def _ssh(now: Now, goal: Goal) -> str:
    wanted = {item for item in goal.permanent for rule in [placed(item)] if rule and rule.tag == SSH_TAG}
    there = {item for item in now.permanent | now.runtime for rule in [placed(item)] if rule and rule.tag == SSH_TAG}
    if not wanted <= held(now):
        return "not let in by a rule"
    return "open" if there <= wanted else "open to more than this connection needs"


def _incoming(now: Now, wish: Wish) -> str:
    policy = wish.policies["incoming"]
    last = {rule.item for rule in firewalld_rules.rest(policy)}
    there = {item for item in now.permanent | now.runtime if _is_last(item)}
    if last <= held(now) and there <= last:
        return policy
    return "other rules" if there else "as the zone %s has it" % now.zone


def _routed(now: Now, wish: Wish) -> str:
    if FORWARD in held(now):
        return "allow"
    if FORWARD in now.permanent | now.runtime:
        return "allow, on disk or in the kernel only"
    return wish.policies["routed"] if wish.policies["routed"] != "allow" else "deny"


def _kernel(now: Now, goal: Goal) -> str:
    """Say where disk, daemon and kernel differ beyond the single rules of ours."""
    if now.gap:
        return now.gap
    missing = [item for item in goal.permanent & now.permanent - now.runtime if placed(item) is None]
    for item in firewalld_rules.as_asked(missing):
        return "%s on disk, not in the kernel" % firewalld_rules.described(item)
    for family, live in now.live.items():
        limits = firewalld_direct.split(goal.lines[family])[1]
        on_disk = firewalld_direct.split(firewalld_direct.lines_of(now.direct)[family])[1]
        if live is not None and now.is_active and (limits != on_disk or not firewalld_direct.is_live(live, limits)):
            return "limits are others than wanted"
    return "as on disk"


def _published(now: Now, goal: Goal) -> str:
    wanted = {family: firewalld_direct.split(lines)[0] for family, lines in goal.lines.items()}
    on_disk = {f: firewalld_direct.split(lines)[0] for f, lines in firewalld_direct.lines_of(now.direct).items()}
    is_left = any("orchestr-published" in live.chains for live in now.live.values() if live is not None)
    if not any(wanted.values()):
        return "deny" if any(on_disk.values()) or is_left else "ignore"
    if not any(on_disk.values()):
        return "open"
    if on_disk != wanted:
        return FOLLOWS
    if now.is_active and not all(docker_user.is_live(live, wanted[family]) for family, live in now.live.items()):
        return "deny on disk, not in the kernel"
    return "deny"
