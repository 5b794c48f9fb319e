"""firewalld's zones as text: the output of ``--list-all``, and rich rules for entries and back. Pure.

Formats: firewall-cmd(1), firewalld.richlanguage(5). A rich rule has no comment, so ours are told by their priority,
which also is their order: firewalld asks rules below 0 first, then (at 0) those that deny, those that allow, ports and
services, and then those above 0. Ours come after others' bans, and end in one that decides for all that is left.
A rule that limits has an odd priority (connections are counted elsewhere), all others an even one.
"""

from __future__ import annotations

import re

from orchestr.agent.record import record, replace
from orchestr.resources.firewall.rules import SINGLE_TAG, SSH_TAG, TAG, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, TypeAlias  # novm

#: Priorities: the controller's own way in before all bans; SSH for all, the Firewall's rules, single rules, the rest.
SSH_FIRST, SSH, OURS, SINGLE, ICMP, REST = -32768, 20998, 21000, 23000, 32766, 32767
_ROOM = 1990
KINDS = {
    "services": "service", "ports": "port", "protocols": "protocol", "source-ports": "source-port",
}  # fmt: skip
RICH = "rich-rule"
_RICH = re.compile(
    r'rule(?: priority="(?P<priority>-?\d+)")?(?: family="ipv(?P<family>[46])")?'
    r'(?: source address="(?P<source>[^"]+)")?'
    r'(?: port port="(?P<port>[\d-]+)" protocol="(?P<protocol>tcp|udp)"| protocol value="(?P<bare>\w+)")?'
    r" (?P<action>accept|drop|reject)(?: type=\"[^\"]*\")?\Z"
)
_PRIORITY = re.compile(r'rule priority="(-?\d+)" ?')
_ANSWERS = {"allow": "accept", "limit": "accept", "deny": "drop", "reject": "reject"}
_VENDOR = re.compile(r"<(service|port) ([^>]*)>")

Item: TypeAlias = "Tuple[str, str]"


@record
class Placed:
    """A rich rule of ours: its priority, and the rest of its text."""

    priority: int
    body: str

    @property
    def item(self) -> Item:
        return (RICH, 'rule priority="%d" %s' % (self.priority, self.body))

    @property
    def tag(self) -> str:
        """The owner, as the tag of an entry's comment; "" for the Firewall's own last rules."""
        if self.priority in (SSH_FIRST, SSH):
            return SSH_TAG
        if self.priority >= ICMP:
            return ""
        return SINGLE_TAG if self.priority >= SINGLE else TAG


def parse_zone(text: str) -> Set[Item]:
    """Return a zone's items from the output of ``--list-all``: (kind, text) as options take it."""
    items: Set[Item] = set()
    for line in text.splitlines():
        if line.startswith("\trule"):
            items.add((RICH, line.strip()))
        name, _, values = line.strip().partition(":")
        if name == "forward":
            items |= {("forward", "")} if values.strip() == "yes" else set()
        elif name in KINDS and not line.startswith("\t"):
            items |= {(KINDS[name], value) for value in values.split()}
    return items


def placed(item: Item) -> Optional[Placed]:
    """Return a rule of ours as Placed, None when it is somebody else's."""
    match = _PRIORITY.match(item[1]) if item[0] == RICH else None
    if match is None:
        return None
    priority = int(match.group(1))
    is_ours = priority in (SSH_FIRST, SSH, ICMP, REST) or OURS <= priority < SINGLE + _ROOM
    return Placed(priority, item[1][match.end() :]) if is_ours else None


def vendor_items(xml: str) -> Set[Item]:
    """Return the services and ports that a zone file opens: for one that the package installed."""
    items: Set[Item] = set()
    for kind, attributes in _VENDOR.findall(xml):
        value = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
        port = "%s/%s" % (value.get("port", ""), value.get("protocol", ""))
        items.add((kind, value.get("name", "") if kind == "service" else port))
    return items


def bodies(entries: Sequence[Entry]) -> List[str]:
    """Return rich rules, without priority, for entries that are one but for their family and protocol."""
    texts: List[str] = []
    for entry in entries:
        families = {other.family for other in entries if other.source == entry.source}
        family = "" if entry.source == "any" and len(families) == 2 else 'family="ipv%d" ' % entry.family
        source = "" if entry.source == "any" else 'source address="%s" ' % entry.source
        for ports in _ports_of(entry):
            body = "%s%s%s %s" % (family, source, ports, _ANSWERS[entry.action])
            if body not in texts:
                texts.append(body)
    return texts


def _ports_of(entry: Entry) -> Iterator[str]:
    if entry.port == "any":
        yield 'protocol value="%s"' % entry.protocol
        return
    for protocol in ("tcp", "udp") if entry.protocol == "any" else (entry.protocol,):
        yield 'port port="%s" protocol="%s"' % (entry.port.replace(":", "-"), protocol)


def ranked(groups: Iterable[Tuple[str, Sequence[str]]], first: int) -> List[Placed]:
    """Return rules in their order, from (action, bodies): neighbours that cannot contradict share a priority.

    So one more port renumbers nothing unless rules that deny stand between.
    """
    result: List[Placed] = []
    seen: Set[str] = set()
    rank, last = first, ""
    for action, texts in groups:
        if last and (action != last):
            rank += 1 if (action == "limit") != (last == "limit") else 2
        elif not last and action == "limit":
            rank += 1
        last = action
        for body in texts:
            if body not in seen:
                seen.add(body)
                result.append(Placed(rank, body))
    return result


def rest(incoming: str) -> List[Placed]:
    """Return the last rules: pings pass as with ufw, and all other packets are denied, or allowed."""
    icmp = [Placed(ICMP, 'protocol value="%s" accept' % name) for name in ("icmp", "ipv6-icmp")]
    return [*(icmp if incoming != "allow" else []), Placed(REST, _ANSWERS[incoming])]


def entries_of(item: Item, ssh_port: str = "") -> List[Entry]:
    """Return the entries of a zone's item for inbound packets; an unknown kind of item sets ``extra``."""
    kind, text = item
    if kind in ("port", "protocol"):
        port, _, protocol = (text if kind == "port" else "any/" + text).partition("/")
        return [Entry(family, "allow", protocol, port.replace("-", ":"), "any") for family in (4, 6)]
    if kind == "service" and text == "ssh" and ssh_port == "22":
        return [Entry(family, "allow", "tcp", "22", "any") for family in (4, 6)]
    if kind != RICH:
        return [] if kind == "forward" else [Entry(f, "allow", "any", "any", "any", "", text) for f in (4, 6)]
    match, ours = _RICH.match(text), placed(item)
    comment = ours.tag if ours else ""
    if match is None:
        action = "deny" if denies(item) else "allow"
        return [Entry(family, action, "any", "any", "any", comment, text) for family in (4, 6)]
    limits = ours is not None and OURS <= ours.priority < ICMP and ours.priority % 2 == 1
    action = "deny" if match["action"] != "accept" else "limit" if limits else "allow"
    families = (int(match["family"]),) if match["family"] else (4, 6)
    port = (match["port"] or "any").replace("-", ":")
    protocol, source = match["protocol"] or match["bare"] or "any", match["source"] or "any"
    return [Entry(family, action, protocol, port, source, comment) for family in families]


def denies(item: Item) -> bool:
    """Return True for a rich rule whose action denies; words in quotes (a log's prefix, names) are none."""
    return item[0] == RICH and bool(re.search(r" (drop|reject)\b", re.sub(r'"[^"]*"', '""', item[1])))


def as_asked(items: Iterable[Item]) -> List[Item]:
    """Return a zone's items in the order in which firewalld evaluates them for an inbound packet."""

    def rank(item: Item) -> Tuple[int, int, str]:
        match = _PRIORITY.match(item[1]) if item[0] == RICH else None
        priority = int(match.group(1)) if match else 0
        return (priority, 0 if denies(item) else 1, item[1])

    return sorted(items, key=rank)


def same_packets(item: Item) -> Tuple[Tuple[int, str, str, str, str], ...]:
    """Return the packets an item matches: two items with the same packets differ only in their action."""
    return tuple(entry.match for entry in entries_of(item))


def described(item: Item) -> str:
    """Return an item's text for users, in the form of a rule if it is one."""
    kind, text = item
    entries = entries_of(item) if kind in ("port", "protocol", RICH) else []
    if entries and not entries[0].extra:
        return replace(entries[0], comment="").text()
    return text if kind == RICH else "%s %s" % (kind, text)


def options(verb: str, items: Iterable[Item]) -> List[List[str]]:
    """Return firewall-cmd's options that add or remove items, one command's worth each: it takes one kind at a time."""
    by_kind: Dict[str, List[str]] = {}
    for kind, text in items:
        by_kind.setdefault(kind, []).append("--%s-%s%s" % (verb, kind, "=" + text if text else ""))
    return list(by_kind.values())
