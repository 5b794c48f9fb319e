"""Where a system's data is and where it belongs: which directories and volumes have to move, known before any does.

A role that keeps data on one host of several has ``data_trees(host, params) -> Sequence[Placement]``, which says for
the whole system what there is. The role data_moves looks on all hosts, and moves what is elsewhere
(resources/trees.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestr.errors import InputError
from orchestr.resources.trees import Tree

if TYPE_CHECKING:
    from orchestr.planning.plan import Host, Peer

ROLE = "data_moves"
HEADROOM = 1.1  # of what is packed: headers, and blocks that were holes


@dataclass(frozen=True)
class Placement:
    """A tree, the host that it belongs on, the service that uses it, and the node label that this is bound to.

    ``known_on`` is the host that the system itself knows to have it: its note of a move, or where the service is bound.
    """

    tree: Tree
    host: str
    service: str
    label: str
    known_on: str = ""


@dataclass(frozen=True)
class Move:
    """A tree that is on one host and belongs on another; ``size_bytes`` is 0 until it was measured."""

    placement: Placement
    source: str
    size_bytes: int = 0

    @property
    def tree(self) -> Tree:
        return self.placement.tree

    @property
    def target(self) -> str:
        return self.placement.host


def placements(host: Host, system: str) -> tuple[Placement, ...]:
    """Return what the system keeps and where, by the inventory that counts from now on."""
    return tuple(each for peer in host.staying(system)[:1] for each in peer.call(system, "data_trees"))


def trees(host: Host, system: str) -> tuple[Tree, ...]:
    """Return the trees as they are called on this host, by the inventory that it is in."""
    return tuple(each.tree for peer in host.with_role(system)[:1] for each in peer.call(system, "data_trees"))


def hosts(host: Host) -> dict[str, Peer]:
    """Return all hosts that were looked at or may be, those that an upgrade lets go as well."""
    return {peer.name: peer for peer in (*host.staying(ROLE), *host.departing(ROLE))}


def holdings(host: Host, system: str) -> dict[str, Mapping[str, Any]]:
    """Return host → what the survey found there (`TreeSurvey`), for those that were looked at."""
    found = {name: peer.outcome(f"tree_survey:{system}") for name, peer in hosts(host).items()}
    return {name: outcome for name, outcome in found.items() if outcome}


def keeper(placement: Placement, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the host whose tree counts, "" when there is none yet.

    That is the one a move was begun from, else the one in use, else the one known, else the only one. Raises InputError
    for a choice that only a person can make.
    """
    states = {name: outcome["trees"].get(placement.tree.name, {}) for name, outcome in found.items()}
    holders = [name for name, state in states.items() if state.get("has")]
    for said in ("leaving", "is_used"):
        those = [name for name in holders if states[name].get(said)]
        if len(those) == 1:
            return those[0]
    if placement.known_on in holders:
        return placement.known_on
    if len(holders) > 1:
        raise InputError(
            f"{placement.tree.name} is on {' and on '.join(holders)}, and nothing says which of them counts",
            next_step=f"rename {placement.tree.path or 'what is in the volume'} on the host whose data is old",
        )
    return holders[0] if holders else ""


def moves(host: Host, system: str) -> list[Move]:
    """Return what has to move, as this run's looks have found it. Raises InputError as `keeper`."""
    found, known = holdings(host, system), hosts(host)
    made = []
    for placement in placements(host, system):
        source = keeper(placement, found)
        if source and source != placement.host:
            measured = known[source].outcome(f"tree_measure:{placement.tree.name}")
            made.append(Move(placement, source, max(0, int(measured.get("size_bytes", 0)))))
    return made


def retired(host: Host, system: str) -> Iterator[tuple[Tree, bool]]:
    """Yield this host's trees that a move has to do with, once it is made: those that go, those that stay (True)."""
    found = holdings(host, system)
    own = {tree.name: tree for tree in trees(host, system)}
    for placement in placements(host, system):
        source, state = keeper(placement, found), found.get(host.name, {}).get("trees", {}).get(placement.tree.name, {})
        tree = own.get(placement.tree.name)
        if tree is None or not source:
            continue
        is_copy = state.get("has") and state.get("arrived") and host.name != source
        if host.name != placement.host and (host.name == source or state.get("leaving") or is_copy):
            yield tree, False
        elif host.name == placement.host and state.get("leaving"):
            yield tree, True


def assert_movable(host: Host, system: str, room_bytes: int) -> None:
    """Raise InputError where a move cannot be made: no room, or a place that cannot be renamed."""
    known, planned = hosts(host), moves(host, system)
    for move in planned:
        label = f"tree_measure:{move.tree.name}"
        for name in (move.source, move.target):
            measured = known[name].outcome(label) if name in known else {}
            if measured.get("is_mount"):
                raise InputError(
                    f"{measured['place']} of {name} is a mount point: {move.tree.name} cannot move by being renamed",
                    next_step="let the inventory name a directory below it, after moving what is there by hand",
                )
        free = known[move.target].outcome(label).get("free_bytes", -1) if move.target in known else -1
        needed = int(move.size_bytes * HEADROOM)
        if 0 <= free < needed:
            raise InputError(
                f"{move.tree.name} takes {move.size_bytes / 1e6:.0f} MB, "
                f"and {move.target} has {free / 1e6:.0f} MB free",
                next_step=f"make room on {move.target}, or name another host",
            )
    needed = int(sum(move.size_bytes for move in planned) * HEADROOM)
    if room_bytes < needed:
        raise InputError(
            f"{needed / 1e6:.0f} MB travel through this machine, which has {room_bytes / 1e6:.0f} MB free",
            next_step="set ORCHESTR_STATE to a directory with more room",
        )


def assert_in_sight(host: Host, system: str, places: Mapping[str, Any]) -> None:
    """Raise InputError when a service is bound to a node that this run does not see, and would be to another.

    ``places`` is node label → (node id, hostname), as the swarm has it.
    """
    found = holdings(host, system)
    nodes = {str(outcome.get("node")) for outcome in found.values()}
    for placement in placements(host, system):
        node, name = places.get(placement.label, ("", ""))
        if node and node not in nodes and placement.host in found:
            raise InputError(
                f"{placement.tree.name} is on {name}, which is not among this run's hosts, and belongs on "
                f"{placement.host}",
                next_step="use orchestr upgrade (or rollback) from the inventory that has that host, without --limit",
            )
