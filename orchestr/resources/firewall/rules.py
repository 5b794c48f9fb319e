"""Firewall rules as values: a rule as an inventory writes it, and its entries per address family.

A ``Rule`` is one desire; an ``Entry`` is one line a packet filter holds, of IPv4 or IPv6, whether ours or foreign.
"""

from __future__ import annotations

from orchestr.agent.record import record, replace
from orchestr.agent.resource import registered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence, Tuple, Union

PROTOCOLS = ("tcp", "udp", "any", "esp")
#: Protocols without ports: a rule for one is for all its packets. ESP carries encrypted overlay networks.
PORTLESS = ("esp",)
ACTIONS = ("allow", "deny", "limit")
#: Comments that mark an entry as the Firewall's, as the one that keeps the controller in, and as a FirewallRule's.
TAG, SSH_TAG, SINGLE_TAG = "orchestr", "orchestr-ssh", "orchestr-rule"
NOT_IN_COMMENTS = frozenset(map(chr, (*range(32), 39, 127)))


@record
class Entry:
    """One inbound (or foreign: any) line of a packet filter.

    ``port`` and ``source`` are "any" or canonical text; ``extra`` is anything a plain inbound entry lacks (interface,
    destination, direction, application, log), joined by commas. ``lines`` are its text in the file, () when not
    written yet.
    """

    family: int
    action: str
    protocol: str
    port: str
    source: str
    comment: str = ""
    extra: str = ""
    lines: Tuple[str, ...] = ()

    @property
    def match(self) -> Tuple[int, str, str, str, str]:
        """The packets it matches: two entries with the same match differ only in their action."""
        return (self.family, self.protocol, self.port, self.source, self.extra)

    @property
    def is_tagged(self) -> bool:
        """Return True if it came from a Firewall resource's own rules."""
        return self.comment == TAG or self.comment.startswith(TAG + ":")

    @property
    def is_single(self) -> bool:
        """Return True if it came from a FirewallRule resource."""
        return self.comment == SINGLE_TAG or self.comment.startswith(SINGLE_TAG + ":")

    @property
    def is_inbound(self) -> bool:
        """Return True if it applies to packets to this host itself."""
        return not self.extra.startswith(("out", "route"))

    @property
    def is_narrowed(self) -> bool:
        """Return True if it matches only some packets of its port and source (an interface, a destination)."""
        parts = self.extra.split(", ") if self.extra else []
        return any(not part.startswith(("application ", "log")) for part in parts)

    def is_same(self, other: "Entry") -> bool:
        """Return True if it differs at most in its text in the file."""
        return replace(self, lines=()) == replace(other, lines=())

    def text(self) -> str:
        """Return its text for users: ``6379/tcp allow from 192.168.56.13 (comment)``."""
        return describe(self.port, self.protocol, self.action, self.source, _without_tag(self.comment), self.extra)


@record
@registered("rule")
class Rule:
    """Allow packets to ``port``, deny them, or allow at most 6 connections in 30 s per address (``limit``).

    ``port`` is a number or a range "50000:60000"; ``protocol`` tcp, udp or any; or esp, which has no ports; ``sources``
    are addresses and networks, IPv4 or IPv6, none of them meaning from anywhere. Raises ValueError on anything else.
    """

    port: Union[int, str] = "any"
    protocol: str = "tcp"
    sources: Tuple[str, ...] = ()
    action: str = "allow"
    comment: str = ""

    def __post_init__(self) -> None:
        if self.protocol not in PORTLESS:
            object.__setattr__(self, "port", canonical_port(self.port))
        elif self.port != "any" or self.action == "limit":
            raise ValueError("protocol %s has no ports and no connections to limit" % self.protocol)
        object.__setattr__(self, "sources", tuple(canonical_source(source) for source in self.sources))
        if self.protocol not in PROTOCOLS:
            raise ValueError("protocol %r of port %s is none of %s" % (self.protocol, self.port, ", ".join(PROTOCOLS)))
        if self.action not in ACTIONS:
            raise ValueError("action %r of port %s is none of %s" % (self.action, self.port, ", ".join(ACTIONS)))
        if not NOT_IN_COMMENTS.isdisjoint(self.comment):
            raise ValueError("the comment %r holds a quote or a control character" % self.comment)

    def wanted(self, tag: str = TAG, has_ipv6: bool = True) -> "Iterator[Wanted]":
        """Yield one Wanted per source, in order; without IPv6, sources of IPv6 alone are left out."""
        for source in self.sources or ("any",):
            entries = tuple(self._entries(source, tag, has_ipv6))
            if entries:
                text = describe(str(self.port), self.protocol, self.action, source, self.comment)
                yield Wanted(text, entries)

    def _entries(self, source: str, tag: str, has_ipv6: bool) -> Iterator[Entry]:
        # ufw refuses a range for tcp and udp at once: it is one entry for each.
        protocols = ("tcp", "udp") if self.protocol == "any" and ":" in str(self.port) else (self.protocol,)
        comment = tag + ":" + self.comment if self.comment else tag
        for family in families_of(source):
            for protocol in protocols:
                if family == 4 or has_ipv6:
                    yield Entry(family, self.action, protocol, str(self.port), narrowed(source), comment)


@record
class Wanted:
    """One line shown to users, and the entries that implement it (both families where it says "from anywhere")."""

    text: str
    entries: Tuple[Entry, ...]


@record
class Session:
    """The controller's SSH connection: its address, and sshd's port."""

    client: str
    port: str


def session_of(ssh_connection: str) -> Optional[Session]:
    """Return the Session of an SSH_CONNECTION ("client port server port"), None when it is none."""
    fields = ssh_connection.split()
    if len(fields) != 4 or not fields[3].isdigit():
        return None
    client = fields[0].partition("%")[0]
    if client.startswith("::ffff:") and "." in client:
        client = client[len("::ffff:") :]
    return Session(client, fields[3])


def describe(port: str, protocol: str, action: str, source: str, comment: str = "", extra: str = "") -> str:
    """Return the text of one rule for users."""
    ports = port if protocol == "any" else protocol if port == "any" else "%s/%s" % (port, protocol)
    words = [ports, action] + (["from", source] if source != "any" else []) + ([extra] if extra else [])
    return " ".join(words) + (" (%s)" % comment if comment else "")


def canonical_port(port: Union[int, str]) -> str:
    """Return a port or a range as text without leading zeros. Raises ValueError."""
    numbers = str(port).strip().split(":")
    if isinstance(port, bool) or len(numbers) > 2 or not all(map(_is_number, numbers)):
        raise ValueError('%r is neither a port (7880) nor a range of ports ("50000:60000")' % (port,))
    values = [int(number) for number in numbers]
    if not all(1 <= value <= 65535 for value in values):
        raise ValueError("port %s is not between 1 and 65535" % port)
    if len(values) == 2 and values[0] >= values[1]:
        raise ValueError("the range of ports %s does not go upwards" % port)
    return ":".join(str(value) for value in values)


def _is_number(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit()


def canonical_source(source: str) -> str:
    """Return an address or network in its one canonical form (a single address without /32). Raises ValueError."""
    import ipaddress

    if "%" in source:
        raise ValueError("source %r has a scope, which no firewall rule can: leave out the text from %% on" % source)
    try:
        network = ipaddress.ip_network(source.strip())
    except ValueError as error:
        raise ValueError("source %r is not an address or a network: %s" % (source, error)) from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        raise ValueError("source %r stands for an address of IPv4: write %s" % (source, mapped))
    is_single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if is_single else str(network)


def families_of(source: str) -> Tuple[int, ...]:
    """Return the address families a source stands for: (4, 6) for "any"."""
    if source == "any":
        return (4, 6)
    return (6,) if ":" in source else (4,)


def narrowed(source: str) -> str:
    """Return the source within its family: the network of all addresses is "any" there."""
    return "any" if source in ("0.0.0.0/0", "::/0") else source


def decides(entries: Sequence[Entry], session: Session) -> Optional[Entry]:
    """Return the entry that a new SSH connection of the session would meet first, None when none matches it.

    An entry bound to an interface or a destination counts when it denies, not when it allows: whether it matches is
    not known here, and this must err on the side of not being locked out.
    """
    family = families_of(session.client)[0]
    for entry in entries:
        if entry.family != family or entry.protocol not in ("tcp", "any") or not entry.is_inbound:
            continue
        if entry.is_narrowed and entry.action in ("allow", "limit"):
            continue
        if covers_port(entry.port, session.port) and covers_address(entry.source, session.client):
            return entry
    return None


def covers_port(ports: str, port: str) -> bool:
    """Return True if "any", a port, a range or a list of these (ufw's "80,443,8000:8010") includes ``port``."""
    for item in ports.split(","):
        first, _, last = item.partition(":")
        if item in ("any", port):
            return True
        if first.isdigit() and last.isdigit() and int(first) <= int(port) <= int(last):
            return True
    return False


def covers_address(source: str, address: str) -> bool:
    """Return True if "any", an address or a network includes ``address``."""
    if source in ("any", address):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(source, strict=False)
    except ValueError:
        return False


def _without_tag(comment: str) -> str:
    for tag in (SINGLE_TAG, TAG):
        if comment == tag:
            return ""
        if comment.startswith(tag + ":"):
            return comment[len(tag) + 1 :]
    return comment
