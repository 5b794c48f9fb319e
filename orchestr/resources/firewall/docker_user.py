"""The DOCKER-USER chain: firewall rules that hold for ports Docker publishes, which bypass ufw and firewalld.

Docker rewrites a packet to a published port before the filter sees it (DNAT in PREROUTING) and accepts it in
FORWARD, so rules on INPUT never meet it (moby #4737, #22054). Docker hands every forwarded packet to DOCKER-USER
first and leaves that chain to the administrator; here the port someone connected to is ``--ctorigdstport``, not the
container's.

The chains we write, for IPv4 and IPv6 alike::

    DOCKER-USER          replies and packets of Docker's own bridges pass; the rest goes to
    orchestr-published   one line per rule: allowed ones return to Docker's rules; the rest goes to
    orchestr-blocked     drops packets redirected to a published port or sent to a container directly;
                         packets forwarded for others (a VPN, virtual machines) pass

Docker's bridges are ``docker0``, ``docker_gwbridge`` and ``br-`` with twelve hex digits; iptables can only match
the prefix ``br-``, so other bridges with such a name (an uplink ``br-ext``) are named one by one as outside. The
block declares the chains with ``:NAME - [0:0]``, which flushes them: loading it twice is loading it once. Rules
others put into DOCKER-USER by hand are lost at a reload of the firewall, as with any such block.
"""

from __future__ import annotations

from orchestr.agent.resource import ResourceError
from orchestr.agent.system import Reader
from orchestr.resources.firewall import netfilter
from orchestr.resources.firewall.netfilter import Live
from orchestr.resources.firewall.rules import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Optional, Sequence, Tuple

BEGIN, END = "# BEGIN orchestr DOCKER-USER", "# END orchestr DOCKER-USER"
CHAINS = ("DOCKER-USER", "orchestr-published", "orchestr-blocked")
#: Takes our chains out of the kernel again, leaving DOCKER-USER as Docker makes it; harmless where they are not.
EMPTIED = (
    "*filter\n:DOCKER-USER - [0:0]\n:orchestr-published - [0:0]\n:orchestr-blocked - [0:0]\n"
    "-A DOCKER-USER -j RETURN\n-X orchestr-published\n-X orchestr-blocked\nCOMMIT\n"
)
_HEX = frozenset("0123456789abcdef")


def foreign_bridges(reader: Reader) -> Tuple[str, ...]:
    """Return interfaces named ``br-...`` that are not Docker's."""
    names = reader.list_directory("/sys/class/net")
    return tuple(name for name in names if name.startswith("br-") and not _is_dockers(name))


def _is_dockers(bridge: str) -> bool:
    return len(bridge) == len("br-") + 12 and _HEX.issuperset(bridge[len("br-") :])


def check_backend(reader: Reader) -> None:
    """Raise ResourceError when Docker filters with nftables of its own (29 and later), where DOCKER-USER is not asked.

    Source: the daemon's option "firewall-backend" in /etc/docker/daemon.json.
    """
    text = reader.read_text("/etc/docker/daemon.json") or ""
    if '"firewall-backend"' not in text:
        return
    import re  # slow to import, and hardly ever needed

    if re.search(r'"firewall-backend"\s*:\s*"nftables"', text):
        raise ResourceError(
            "Docker on this host filters with its nftables backend, which has no DOCKER-USER chain",
            'set "firewall-backend": "iptables" in /etc/docker/daemon.json and restart Docker,'
            " or leave published ports alone (published: ignore)",
        )


def rules(family: int, entries: Iterable[Entry], bridges: Sequence[str]) -> List[str]:
    """Return the ``-A`` lines of the three chains, the entries' in their order."""
    lines = ["-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
    lines.append("-A DOCKER-USER -i docker+ -j RETURN")
    lines += ["-A DOCKER-USER -i %s -j orchestr-published" % name for name in bridges]
    lines += ["-A DOCKER-USER -i %s -j RETURN" % name for name in bridges]
    lines += ["-A DOCKER-USER -i br-+ -j RETURN", "-A DOCKER-USER -j orchestr-published"]
    for entry in entries:
        if entry.family == family and not entry.extra and entry.port != "any":
            lines += _published(entry)
    lines.append("-A orchestr-published -j orchestr-blocked")
    lines.append("-A orchestr-blocked -m conntrack --ctstate DNAT -j DROP")
    lines += ["-A orchestr-blocked -o %s -j RETURN" % name for name in bridges]
    lines += ["-A orchestr-blocked -o %s -j DROP" % name for name in ("docker+", "br-+")]
    return lines


def _published(entry: Entry) -> List[str]:
    # On IPv4 a published port is always a redirected one. On IPv6 Docker can route to containers instead.
    state = "--ctstate DNAT " if entry.family == 4 else ""
    source = "" if entry.source == "any" else "-s %s " % entry.source
    lines = []
    for protocol in ("tcp", "udp") if entry.protocol == "any" else (entry.protocol,):
        match = "%s-p %s -m conntrack %s--ctorigdstport %s --ctdir ORIGINAL" % (source, protocol, state, entry.port)
        if entry.action == "limit":
            name = "orchestr-%s-%s" % (protocol, entry.port)
            seen = "-m recent --%s --name " + name
            lines.append("%s %s" % (match, seen % "set"))
            lines.append("%s %s -j DROP" % (match, seen % "update --seconds 30 --hitcount 6"))
        lines.append("%s %s" % (match, "-j orchestr-blocked" if entry.action == "deny" else "-j RETURN"))
    return ["-A orchestr-published " + line for line in lines]


def block(lines: Sequence[str]) -> str:
    """Return the text between (and with) the markers, for the end of an iptables-restore file."""
    heads = [":%s - [0:0]" % chain for chain in CHAINS]
    return "\n".join([BEGIN, "*filter", *heads, *lines, "COMMIT", END]) + "\n"


def split(text: str) -> Tuple[str, str]:
    """Return a file's text without our block, and the block ("" when there is none)."""
    start = text.find(BEGIN)
    end = text.find(END, start)
    if start < 0 or end < 0:
        return text, ""
    end = text.find("\n", end) + 1 or len(text)
    return text[:start] + text[end:], text[start:end]


def covers(lines: Iterable[str], entry: Entry) -> bool:
    """Return True if the lines of a block already include those of an entry."""
    return set(_published(entry)) <= set(lines)


def is_live(live: Optional[Live], lines: Sequence[str]) -> bool:
    """Return True if the kernel holds these lines, and consults DOCKER-USER where Docker's rules are in force."""
    if live is None:
        return True
    if "DOCKER" in live.chains and not live.jumps("FORWARD", "DOCKER-USER"):
        return False
    parts = [netfilter.split_rule(line) for line in lines]
    for chain in CHAINS[1:]:
        if [netfilter.canonical(rule) for name, rule in parts if name == chain] != live.canonical(chain):
            return False
    ours = [netfilter.canonical(rule) for name, rule in parts if name == CHAINS[0]]
    return _is_first(ours, live.canonical(CHAINS[0]))


def _is_first(ours: List[netfilter.Canonical], rules: List[netfilter.Canonical]) -> bool:
    """Return True if our rules are present in order, and no rule before the last of them lets packets past."""
    if not netfilter.is_in_order(ours, rules):
        return False
    others = [rule for rule in rules[: rules.index(ours[-1])] if rule not in ours]
    return not any(option in rule for rule in others for option in (("-j", "ACCEPT"), ("-j", "RETURN")))
