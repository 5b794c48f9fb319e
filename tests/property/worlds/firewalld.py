"""A Debian host with firewalld 1.3 beside Docker: as installed, as a run left it, or drifted from that."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from orchestr.testing import World
from tests.property.worlds.ufw import firewalls, options, single_rules
from tests.resources.firewalld_double import FirewalldHost

KINDS = {"firewall": firewalls("firewalld"), "firewall_rule": single_rules("firewalld")}


@st.composite
def hosts(draw: st.DrawFn) -> FirewalldHost:
    """A host as its package leaves it, as a run did, or as somebody did after that."""
    host = FirewalldHost(draw(st.sampled_from(["pristine", "ours", "drifted"])))
    for resource in draw(st.lists(st.one_of(*KINDS.values()), max_size=1)):
        WORLD.settle(resource, host)
    if draw(st.booleans()):
        host.runtime.add(("port", "8080/tcp"))
    return host


def state(host: FirewalldHost) -> Any:
    kernels = {family: vars(kernel) for family, kernel in host.kernels.items()}
    return copy.deepcopy((host.nodes, host.permanent, host.runtime, host.nft, host.is_active, kernels))


WORLD = World("firewalld", KINDS, hosts(), state, (), options, examples=15)
