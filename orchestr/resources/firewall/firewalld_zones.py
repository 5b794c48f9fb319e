"""Which zone of firewalld has the packets of an interface: rules of one zone do not see those of another.

Formats: the chains that firewalld makes of its zones (``filter_INPUT_ZONES`` with nftables, ``INPUT_ZONES`` with
iptables); ``/proc/net/route`` (proc(5)).
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from orchestr.agent.system import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Tuple

_DISPATCH = re.compile(r'(?:iifname |-i )"?([^\s"]+)"? (?:goto filter_IN_|-[gj] IN_)(\S+)')


def blind_spot(reader: Reader, chains: Dict[str, List[str]], zone: str) -> str:
    """Return why ``zone`` does not see the packets from outside, "" where it does.

    Only interfaces with a default route count: bridges of containers and a VPN have zones of their own.
    """
    rules = chains.get("filter_INPUT_ZONES") or chains.get("INPUT_ZONES") or []
    for interface in _outside(reader):
        bound = next((name for pattern, name in _dispatches(rules) if _fits(interface, pattern)), zone)
        if bound != zone:
            return "%s is in the zone %s of firewalld, and rules of the zone %s do not see its packets" % (
                interface, bound, zone,
            )  # fmt: skip
    return ""


def _dispatches(rules: List[str]) -> Iterator[Tuple[str, str]]:
    for rule in rules:
        match = _DISPATCH.search(rule)
        if match is not None:
            yield match.group(1), match.group(2)


def _fits(interface: str, pattern: str) -> bool:
    return fnmatchcase(interface, pattern[:-1] + "*" if pattern.endswith("+") else pattern)


def _outside(reader: Reader) -> List[str]:
    """Return the interfaces with a default route of IPv4, in order."""
    interfaces: List[str] = []
    for line in (reader.read_text("/proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000" and fields[0] not in interfaces:
            interfaces.append(fields[0])
    return interfaces
