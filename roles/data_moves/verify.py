"""No data is between two hosts: what had begun to move has arrived."""

from __future__ import annotations

from orchestr.applications import data_moves
from orchestr.planning.plan import Host
from orchestr.verification.system_services import on

from . import Params


def is_checked(params: Params) -> bool:
    """Tell whether these checks are for this play: all of the role's plays are about the same data."""
    return params.stage == "look"


def test_nothing_is_under_way(machine: Host, params: Params) -> None:
    """No directory or volume of this host is marked as leaving."""
    for tree in data_moves.trees(machine, params.system):
        done = on(machine).run("test -e %s", tree.leaving)
        assert done.rc != 0, f"{tree.name} began to move from {machine.name}; run the inventory (or the upgrade) again"
