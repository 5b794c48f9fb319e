"""firewalld's direct rules: chains of iptables it makes anew at each start and reload, kept in direct.xml. Pure.

Format: firewalld.direct(5). Two things need them: ports Docker publishes (``docker_user``), which
firewalld's zones do not filter ("ct status dnat accept"), and limits per address: rich rules limit all addresses
together only.
"""

from __future__ import annotations

from orchestr.agent.resource import ResourceError
from orchestr.resources.firewall import docker_user, netfilter
from orchestr.resources.firewall.netfilter import Live
from orchestr.resources.firewall.rules import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Sequence, Tuple
    from xml.etree.ElementTree import Element

PATH = "/etc/firewalld/direct.xml"
LIMITED = "orchestr-limited"
_CHAINS = (*docker_user.CHAINS, LIMITED)
_JUMP = "-j " + LIMITED


def limits(family: int, entries: Iterable[Entry]) -> List[str]:
    """Return the ``-A`` lines that drop more than 6 connections in 30 s from one address, as ufw's limit."""
    lines = []
    for entry in entries:
        if entry.family != family or entry.action != "limit":
            continue
        for protocol in ("tcp", "udp") if entry.protocol == "any" else (entry.protocol,):
            source = "" if entry.source == "any" else "-s %s " % entry.source
            match = "%s-p %s --dport %s -m conntrack --ctstate NEW -m recent" % (source, protocol, entry.port)
            name = "--name orchestr-in-%s-%s" % (protocol, entry.port)
            lines.append("-A %s %s --set %s" % (LIMITED, match, name))
            lines.append("-A %s %s --update --seconds 30 --hitcount 6 %s -j DROP" % (LIMITED, match, name))
    return lines


def text(old: str, lines: Dict[int, List[str]]) -> str:
    """Return direct.xml with these ``-A`` lines per family instead of those it has in our chains; others' stay."""
    from xml.etree import ElementTree

    root = _parse(old)
    for element in list(root):
        is_jump = element.tag == "rule" and (element.text or "").strip() == _JUMP
        if element.get("chain") in _CHAINS or is_jump:
            root.remove(element)
    for family, given in lines.items():
        for chain, rules in _by_chain(given).items():
            position = {"ipv": "ipv%d" % family, "table": "filter", "chain": chain}
            ElementTree.SubElement(root, "chain", position)
            for rule in rules:
                ElementTree.SubElement(root, "rule", dict(position, priority="0")).text = rule
            if chain == LIMITED:
                ElementTree.SubElement(root, "rule", dict(position, chain="INPUT", priority="0")).text = _JUMP
    for element in root:
        element.tail = "\n  "
    root.text = "\n  " if len(root) else "\n"
    if len(root):
        root[-1].tail = "\n"
    return '<?xml version="1.0" encoding="utf-8"?>\n%s\n' % ElementTree.tostring(root, encoding="unicode")


def lines_of(xml: str) -> Dict[int, List[str]]:
    """Return the ``-A`` lines of our chains that direct.xml holds, per family. Raises ResourceError."""
    lines: Dict[int, List[str]] = {4: [], 6: []}
    for element in _parse(xml).iter("rule"):
        family = {"ipv4": 4, "ipv6": 6}.get(element.get("ipv", ""))
        if family and element.get("chain") in _CHAINS:
            lines[family].append("-A %s %s" % (element.get("chain"), (element.text or "").strip()))
    return lines


def _parse(xml: str) -> "Element":
    from xml.etree import ElementTree

    try:
        # The file is root's own, as firewalld itself reads it.
        return ElementTree.fromstring(xml.encode("utf-8")) if xml.strip() else ElementTree.Element("direct")  # noqa: S314
    except ElementTree.ParseError as error:
        raise ResourceError("%s is not XML: %s" % (PATH, error), "mend it, or move it away") from None


def _by_chain(lines: Sequence[str]) -> Dict[str, List[str]]:
    chains = list(docker_user.CHAINS) if any("DOCKER-USER" in line for line in lines) else []
    by_chain: Dict[str, List[str]] = {chain: [] for chain in chains}
    for chain, rule in map(netfilter.split_rule, lines):
        by_chain.setdefault(chain, []).append(rule)
    return by_chain


def split(lines: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Return the lines for published ports, and those of limits."""
    ours = [line for line in lines if line.startswith("-A %s " % LIMITED)]
    return [line for line in lines if line not in ours], ours


def is_live(live: Live, lines: Sequence[str]) -> bool:
    """Return True if the kernel holds the limits and jumps to them."""
    wanted = [netfilter.canonical(netfilter.split_rule(line)[1]) for line in lines]
    if wanted != live.canonical(LIMITED):
        return False
    return not wanted or _is_asked(live)


def _is_asked(live: Live) -> bool:
    return any(live.jumps(chain, LIMITED) for chain in ("INPUT", "INPUT_direct"))


def restored(live: Live, lines: Sequence[str]) -> str:
    """Return iptables-restore input that brings the kernel from ``live`` to these lines of our chains."""
    published, limited = split(lines)
    result = docker_user.block(published) if published else ""
    if not published and "orchestr-published" in live.chains:
        result = docker_user.EMPTIED
    hook = "INPUT_direct" if "INPUT_direct" in live.chains else "INPUT"
    if limited:
        body = [":%s - [0:0]" % LIMITED, *limited] + ([] if _is_asked(live) else ["-I %s %s" % (hook, _JUMP)])
        result += "*filter\n%s\nCOMMIT\n" % "\n".join(body)
    elif LIMITED in live.chains:
        gone = ["-D %s %s" % (hook, _JUMP)] if _is_asked(live) else []
        result += "*filter\n:%s - [0:0]\n%s\nCOMMIT\n" % (LIMITED, "\n".join([*gone, "-X " + LIMITED]))
    return result
