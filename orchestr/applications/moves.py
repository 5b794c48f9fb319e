"""Moves of an application's data: the directories and volumes that are on another host than the inventory requests.

Each host is surveyed first (`resources.trees.TreeSurvey`, `resources.moves.survey`); the moves follow from the outcomes
and from the application's description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestr.applications.placement import hosts_of, label_of
from orchestr.errors import InputError
from orchestr.resources.moves.forms import COMPOSE
from orchestr.resources.trees import Tree

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Data
    from orchestr.planning.plan import Host, Peer

HEADROOM = 1.1  # size of a packed tree per size on disk: tar headers, and holes of sparse files


@dataclass(frozen=True)
class Move:
    """Data that moves from the host ``source`` to the host ``target``; ``size_bytes`` is 0 before the measurement."""

    data: Data
    tree: Tree
    source: str
    target: str
    size_bytes: int = 0


def coming(host: Host, name: str) -> Application | None:
    """Return the application by the new inventory (the current one outside upgrades), None when it has none."""
    return _describe_once(host, host.staying(name), name, "coming")


def present(host: Host, name: str) -> Application | None:
    """Return the application by the inventory of this host, None when that inventory does not have it."""
    return _describe_once(host, host.with_role(name), name, "present")


def _describe_once(host: Host, peers: list[Peer], name: str, inventory: str) -> Application | None:
    """Return the description, cached for all phases of a run: data and databases are the same in all of them."""
    if not peers:
        return None
    key = ("application", name, inventory)
    return host.blobs.once(key, lambda: peers[0].application(name))


def has_data(application: Application | None) -> bool:
    """Return True if an application has persistent data."""
    return application is not None and bool(application.data or application.dumps)


def survey_of(peer: Peer, name: str) -> Mapping[str, Any]:
    """Return the outcome of a host's survey, {} before the survey."""
    return peer.outcome(f"application_survey:{name}")


def tree_of(name: str, data: Data) -> Tree:
    """Return the tree of an application's data; its name is the same on all hosts."""
    volume = f"{name}_{data.volume}" if data.volume else ""
    return Tree(f"{name}_{data.name}", path=data.path, volume=volume)


def trees(host: Host, name: str) -> dict[str, Tree]:
    """Return name → tree, with the paths and volumes of this host."""
    application = present(host, name)
    own = [tree_of(name, data) for data in application.data] if application else []
    return {tree.name: tree for tree in own}


def targets(host: Host, name: str) -> Iterator[tuple[Data, Tree, str]]:
    """Yield each data, its tree, and its host by the new inventory (the current one outside upgrades)."""
    application = coming(host, name)
    if application is not None:
        view = host.staying(name)[0].as_host(name)
        for data in application.data:
            for target in hosts_of(view, name, data.placement)[:1]:
                yield data, tree_of(name, data), target


def holdings(host: Host, name: str) -> dict[str, Mapping[str, Any]]:
    """Return host → outcome of its TreeSurvey, for the hosts that were surveyed."""
    outcomes = {peer.name: peer.outcome(f"tree_survey:{name}") for peer in host.everywhere()}
    return {peer: outcome for peer, outcome in outcomes.items() if outcome}


def known_on(host: Host, name: str, data: Data, tree: Tree) -> str:
    """Return the host with a tree according to the application's surveys, "" when they do not name one.

    It is the source of a move that was begun, as recorded on the host; else the host that the service is bound to.
    """
    surveys = {peer.name: survey_of(peer, name) for peer in host.staying(name)}
    for survey in surveys.values():
        if tree.name in survey.get("awaited", {}):
            return str(survey["awaited"][tree.name][0])
    label = label_of(name, data.placement)
    node = next((survey["places"].get(label) for survey in surveys.values() if survey.get("places")), None)
    bound = [peer for peer, outcome in holdings(host, name).items() if node and outcome.get("node") == node[0]]
    alone = [peer for peer, survey in surveys.items() if survey.get("form") == COMPOSE]
    return next(iter((*bound, *(alone if len(alone) == 1 else ()))), "")


def keeper(tree: Tree, known: str, surveyed: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the host with the valid copy of a tree, "" when no host has one yet.

    It is the source of a move that was begun, else the host that uses its copy, else ``known``, else the only one.
    Raises InputError when several hosts have a copy and none of these rules applies.
    """
    states = {name: outcome["trees"].get(tree.name, {}) for name, outcome in surveyed.items()}
    holders = [name for name, state in states.items() if state.get("has")]
    for mark in ("leaving", "is_used"):
        marked = [name for name in holders if states[name].get(mark)]
        if len(marked) == 1:
            return marked[0]
    if known in holders:
        return known
    if len(holders) > 1:
        raise InputError(
            f"{tree.name} is on {' and on '.join(holders)}, and no survey shows which copy is valid",
            next_step=f"rename {tree.path or 'the content of the volume'} on the host with the outdated copy",
        )
    return holders[0] if holders else ""


def moves(host: Host, name: str) -> list[Move]:
    """Return the moves that follow from this run's surveys. Raises InputError as `keeper`."""
    surveyed = holdings(host, name)
    if not surveyed:
        return []
    peers = {peer.name: peer for peer in host.everywhere()}
    planned = []
    for data, tree, target in targets(host, name):
        source = keeper(tree, known_on(host, name, data, tree), surveyed)
        if source and source != target:
            size = int(peers[source].outcome(f"tree_measure:{tree.name}").get("size_bytes", 0))
            planned.append(Move(data, tree, source, target, max(0, size)))
    return planned


def settled_trees(host: Host, name: str) -> Iterator[tuple[Tree, bool]]:
    """Yield each tree of this host that was part of a move, with True if its copy stays, False if it is put aside."""
    surveyed, own = holdings(host, name), trees(host, name)
    for data, known_tree, target in targets(host, name) if surveyed else ():
        source = keeper(known_tree, known_on(host, name, data, known_tree), surveyed)
        state = surveyed.get(host.name, {}).get("trees", {}).get(known_tree.name, {})
        tree = own.get(known_tree.name)
        if tree is None or not source:
            continue
        is_copy = state.get("has") and state.get("arrived") and host.name != source
        if host.name != target and (host.name == source or state.get("leaving") or is_copy):
            yield tree, False
        elif host.name == target and state.get("leaving"):
            yield tree, True


def assert_movable(host: Host, name: str) -> None:
    """Raise InputError when a move is impossible: too little disk space, or a directory that cannot be renamed."""
    peers, planned = {peer.name: peer for peer in host.everywhere()}, moves(host, name)
    for move in planned:
        label = f"tree_measure:{move.tree.name}"
        for end in (move.source, move.target):
            measured = peers[end].outcome(label) if end in peers else {}
            if measured.get("refused"):
                raise InputError(
                    f"{measured['refused']} of {end} is a device, a FIFO or a setuid file, and no part of data",
                    next_step=f"remove it (or chmod ug-s), so that {move.tree.name} can move",
                )
            if measured.get("is_mount"):
                raise InputError(
                    f"{measured['place']} of {end} is a mount point, so {move.tree.name} cannot be renamed",
                    next_step="move its content to a directory below it, and set that directory in the inventory",
                )
        free = peers[move.target].outcome(label).get("free_bytes", -1) if move.target in peers else -1
        if 0 <= free < int(move.size_bytes * HEADROOM):
            raise InputError(
                f"{move.tree.name} takes {move.size_bytes / 1e6:.0f} MB, "
                f"and {move.target} has {free / 1e6:.0f} MB free",
                next_step=f"free disk space on {move.target}, or choose another host",
            )
    needed = int(sum(move.size_bytes for move in planned) * HEADROOM)
    room_bytes = host.blobs.room_bytes() if planned else needed
    if room_bytes < needed:
        raise InputError(
            f"{needed / 1e6:.0f} MB pass through the controller, which has {room_bytes / 1e6:.0f} MB free",
            next_step="set ORCHESTR_STATE to a directory with more free space",
        )


def assert_all_in_run(host: Host, name: str) -> None:
    """Raise InputError when data would be left behind: on a host outside this run, or in another directory."""
    survey, surveyed = survey_of(host, name), holdings(host, name)
    nodes = {str(outcome.get("node")) for outcome in surveyed.values()}
    for data, tree, target in targets(host, name):
        node, hostname = survey.get("places", {}).get(label_of(name, data.placement), ("", ""))
        if node and node not in nodes and target in surveyed:
            raise InputError(
                f"{tree.name} must move from {hostname}, which is not a host of this run, to {target}",
                next_step="run orchestr upgrade (or rollback) from the inventory with that host, without --limit",
            )
        mounted = survey.get("mounted", {}).get(data.container_path, "") if data.container_path else ""
        if data.path and mounted not in ("", data.path):
            raise InputError(
                f"{data.service} has its {data.name} in {mounted} of {host.name}, and the inventory names {data.path}",
                next_step=f"stop {data.service} and rename the directory, or undo the change of the inventory",
            )
    for awaited, (source, target) in survey.get("awaited", {}).items():
        if not any(outcome["trees"].get(awaited, {}).get("has") for outcome in surveyed.values()):
            raise InputError(
                f"{awaited} is moving from {source} to {target}, and no host of this run has it",
                next_step="repeat the interrupted upgrade or rollback",
            )


def assert_databases_keep_host(host: Host, name: str) -> None:
    """Raise InputError when a database of a stack would start empty on another node than the one that holds it."""
    application, places = coming(host, name), survey_of(host, name).get("places", {})
    if application is None:
        return
    peers = {peer.name: peer for peer in host.staying(name)}
    for dump in application.dumps:
        service = next(item for item in application.services if item.name == dump.service)
        _, hostname = places.get(label_of(name, service.placement), ("", ""))
        for target in hosts_of(host.staying(name)[0].as_host(name), name, service.placement)[:1]:
            new_hostname = peers[target].facts.get("hostname") if target in peers else None
            if hostname and new_hostname and new_hostname != hostname:
                raise InputError(
                    f"{dump.service} of {name} has its database on {hostname}, and would start empty on {target}",
                    next_step=f"leave it there (group {service.placement.group or name}), or move the database along: "
                    "upgrade to one machine, and from there to the swarm with the other host",
                )
