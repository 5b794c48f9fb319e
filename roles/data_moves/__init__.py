"""Move a system's data (directories, volumes) to the hosts the inventory names, with the services that use it stopped.

The system's own role says which data there is and where it belongs (``data_trees``), and stops and starts the services.
This one looks, takes, places and puts aside, stage by stage; playbooks/chatsystem.yml has the stages in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestr.agent.resource import Resource
from orchestr.applications import data_moves
from orchestr.planning.role import Params as RoleParams
from orchestr.resources.files import Blob
from orchestr.resources.trees import TreeMeasure, TreePlaced, TreeRetired, TreeStays, TreeSurvey, TreeTaken

if TYPE_CHECKING:
    from orchestr.planning.plan import Host


class Params(RoleParams):
    """Only playbooks set them."""

    system: str = Field(description="the role that says which data there is, such as chatsystem")
    stage: Literal["look", "measure", "take", "place", "retire"] = Field(description="what a play does")


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield one stage of it."""
    stages = {"look": _look, "measure": _measure, "take": _take, "place": _place, "retire": _retire}
    return stages[params.stage](host, params.system)


#: What a host does that an upgrade lets go: the same, while those that stay are being changed.
hand_over = deploy


def _look(host: Host, system: str) -> Iterator[Resource]:
    found = data_moves.trees(host, system)
    if found:
        yield TreeSurvey(system, found)


def _measure(host: Host, system: str) -> Iterator[Resource]:
    own = {tree.name: tree for tree in data_moves.trees(host, system)}
    for move in data_moves.moves(host, system):
        if host.name in (move.source, move.target):
            yield TreeMeasure(move.tree.name, own[move.tree.name])


def _take(host: Host, system: str) -> Iterator[Resource]:
    own = {tree.name: tree for tree in data_moves.trees(host, system)}
    for move in data_moves.moves(host, system):
        if host.name == move.source:
            yield TreeTaken(own[move.tree.name], move.size_bytes)


def _place(host: Host, system: str) -> Iterator[Resource]:
    known = data_moves.hosts(host)
    for move in data_moves.moves(host, system):
        if host.name == move.target:
            taken = known[move.source].outcome(f"tree_taken:{move.tree.name}")
            yield TreePlaced(move.tree, Blob(str(taken.get("sha256", "")), int(taken.get("size_bytes", 0))))


def _retire(host: Host, system: str) -> Iterator[Resource]:
    for tree, stays in data_moves.retired(host, system):
        yield TreeStays(tree) if stays else TreeRetired(tree)
