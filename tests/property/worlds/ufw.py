"""A Debian host with ufw 0.36: on or off, with rules of ours and of others, drifted or not."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from orchestr.resources.firewall.firewall import Firewall, FirewallRule, Rule
from orchestr.testing import World
from tests.resources.test_firewall import Host

SOURCES = st.sampled_from([(), ("192.168.56.13",), ("192.168.56.13", "fd00::13"), ("10.0.0.0/8",)])
RULES = st.builds(
    Rule,
    st.sampled_from([22, 80, 443, "50000:50020"]),
    st.sampled_from(["tcp", "udp"]),
    SOURCES,
    st.sampled_from(["allow", "deny", "limit"]),
    st.sampled_from(["", "web"]),
)


def firewalls(backend: str) -> st.SearchStrategy[Firewall]:
    return st.builds(
        Firewall,
        rules=st.lists(RULES, max_size=3).map(tuple),
        enabled=st.sampled_from([True, True, False]),
        incoming=st.sampled_from(["deny", "reject"]),
        routed=st.sampled_from(["deny", "allow"]),
        published=st.sampled_from(["deny", "ignore"]),
        purge=st.booleans(),
        backend=st.just(backend),
    )


def single_rules(backend: str) -> st.SearchStrategy[FirewallRule]:
    return st.builds(
        FirewallRule,
        st.sampled_from([22, 80, "8000:8010"]),
        st.sampled_from(["tcp", "udp"]),
        st.sampled_from([("192.168.56.13",), ("192.168.56.13", "fd00::13")]),
        st.sampled_from(["allow", "deny"]),
        present=st.booleans(),
        backend=st.just(backend),
    )


KINDS = {"firewall": firewalls("auto"), "firewall_rule": single_rules("auto")}


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """A host as its package leaves it, or as a run did, or as somebody did after that."""
    host = Host()
    for resource in draw(st.lists(st.one_of(*KINDS.values()), max_size=2)):
        WORLD.settle(resource, host)
    for text in draw(st.sets(st.sampled_from(["allow tcp 80 any", "deny udp 53 10.9.9.9", "allow tcp 22 any"]))):
        host.add_foreign(text)
    if draw(st.booleans()) and "ufw-user-input" in host.kernels[4].chains:
        host.kernels[4].chains["ufw-user-input"] = host.kernels[4].chains["ufw-user-input"][1:]
    return host


def state(host: Host) -> Any:
    return copy.deepcopy((host.nodes, {family: vars(kernel) for family, kernel in host.kernels.items()}))


def options(host: Host) -> dict[str, Any]:
    return {"confirm": lambda window_s: host.confirms}


WORLD = World("ufw", KINDS, hosts(), state, ("not enabled", "would"), options, examples=15)
