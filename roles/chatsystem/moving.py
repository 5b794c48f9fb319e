"""ChatSystem from a compose project to a stack and back, or its data from host to host: the steps around a deploy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource
from orchestr.applications import data_moves
from orchestr.applications.system_services import is_on_swarm
from orchestr.cluster.swarm_hosts import MANAGERS
from orchestr.errors import InputError
from orchestr.resources.files import Directory, File
from orchestr.resources.swarm.membership import SwarmLeft
from orchestr.secret import Secret

from .resources import (
    AWAITED,
    COMPOSE,
    MOVES,
    STACK,
    Client,
    DataLoaded,
    DataSaved,
    DowntimeEnded,
    FormRemoved,
    MoveForgotten,
)
from .servers import NETWORK, SERVERS

if TYPE_CHECKING:
    from orchestr.applications.data_moves import Move, Placement
    from orchestr.planning.plan import Host

#: What a move takes beside the database itself, from the lab: stopping, starting, MySQL's first start.
BASE_S = 60
PART_S = 20  # the same of a single service within a swarm
BYTES_PER_S = 10_000_000  # of a dump that is written and read again; real disks are faster
BEGUN = "chatsystem_data:chatsystem"
ENDED = "chatsystem_downtime:chatsystem"


def old_form(host: Host) -> str:
    """Return the form that ChatSystem has to leave here: compose, stack, or "" when it need not move.

    A move that was begun and then taken back (the old inventory again) is none, unless the new form has the database
    already: then that one's is the newer, and the way back is a move like any other.
    """
    found = host.outcome(BEGUN)
    wanted = STACK if is_on_swarm(host) else COMPOSE
    form = str(found.get("pending") or found.get("form") or "")
    if found.get("is_loaded") and form == wanted:
        return str(found["form"])
    return form if form not in ("", wanted) else ""


def assert_in_reach(host: Host, manager: str) -> None:
    """Raise InputError when ChatSystem is a compose project on a host from where a move to the swarm is not made."""
    if host.name != manager and host.outcome(BEGUN).get("form") == COMPOSE:
        raise InputError(
            f"ChatSystem runs on {host.name} by itself, and its data can move to the swarm only from the manager that "
            f"acts for it, which is {manager}",
            next_step=f"make {host.name} the first of swarm_managers",
        )


def announce(host: Host) -> None:
    """Say what a move will cost, before it begins."""
    found: Mapping[str, Any] = host.outcome(BEGUN)
    size_bytes, moves = int(found.get("database_bytes", 0)), data_moves.moves(host, "chatsystem")
    seconds = BASE_S + 2 * (size_bytes + _total(moves)) // BYTES_PER_S
    there = "a swarm" if is_on_swarm(host) else "one machine"
    host.note(
        f"ChatSystem moves to {there}: it is down from the stop of its servers until the new ones answer. "
        f"The database takes {size_bytes / 1e6:.0f} MB on disk{_told(moves)}; expect about {seconds} s"
    )


def announce_parts(host: Host, moves: Sequence[Move]) -> None:
    """Say what it will cost to move data within the swarm, before it begins."""
    services = ", ".join(each.placement.service for each in moves)
    seconds = PART_S + 2 * _total(moves) // BYTES_PER_S
    host.note(f"data of ChatSystem moves{_told(moves)}: {services} is down meanwhile; expect about {seconds} s")


def _total(moves: Sequence[Move]) -> int:
    return sum(move.size_bytes for move in moves)


def _told(moves: Sequence[Move]) -> str:
    """Return what moves from where to where, and how much that is."""
    each = "{0.tree.name} {1:.1f} MB from {0.source} to {0.target}"
    return "".join(f", {each.format(move, move.size_bytes / 1e6)}" for move in moves)


def begun(moves: Sequence[Move]) -> Iterator[Resource]:
    """Yield a note on the host of what is to move, so that no later run starts a service without its data."""
    if moves:
        yield Directory(MOVES, mode=0o700)
        text = json.dumps({each.tree.name: (each.source, each.target) for each in moves}, sort_keys=True)
        yield File(AWAITED, content=text, mode=0o600)


def known_on(host: Host, placement: Placement) -> str:
    """Return the host that has a tree as far as ChatSystem knows, "" when it does not.

    That is the one that a move has begun to take it from, as `begun` has noted it; else where its service is bound to.
    """
    surveys = {peer.name: peer.outcome(BEGUN) for peer in host.with_role("chatsystem")}
    for found in surveys.values():
        if placement.tree.name in found.get("awaited", {}):
            return str(found["awaited"][placement.tree.name][0])
    node = next((found["places"].get(placement.label) for found in surveys.values() if found.get("places")), None)
    seen = data_moves.holdings(host, "chatsystem").items()
    bound = [name for name, outcome in seen if node and outcome.get("node") == node[0]]
    alone = [name for name, found in surveys.items() if found.get("form") == COMPOSE]
    return next(iter((*bound, *alone)), "")


def parts_moving(host: Host) -> list[Move]:
    """Return what moves within a swarm, for the host that stops and starts the services there; none for others."""
    managers = [peer for peer in host.group(MANAGERS) if peer.outcome(BEGUN).get("form") == STACK]
    is_mine = is_on_swarm(host) and [peer.name for peer in managers[:1]] == [host.name]
    return data_moves.moves(host, "chatsystem") if is_mine else []


def assert_all_in_sight(host: Host) -> None:
    """Raise InputError where data would be left: on a host that this run does not see, or in another directory."""
    found = host.outcome(BEGUN)
    data_moves.assert_in_sight(host, "chatsystem", found.get("places", {}))
    holdings = data_moves.holdings(host, "chatsystem")
    for name, (source, target) in found.get("awaited", {}).items():
        if not any(each["trees"].get(name, {}).get("has") for each in holdings.values()):
            raise InputError(
                f"{name} is on its way from {source} to {target}, and none of this run's hosts has it",
                next_step="run again the upgrade or rollback that was interrupted",
            )
    wanted = host.params("chatsystem").data_directory
    if found.get("uploads", "") not in ("", wanted):
        raise InputError(
            f"file_server keeps its uploads in {found['uploads']} of {host.name}, and the inventory names {wanted}",
            next_step="stop file_server and rename the directory, or leave chatsystem_data_directory as it was",
        )


def report(host: Host) -> None:
    """Say how long a move that this run made took."""
    outcome = host.outcome(ENDED)
    if outcome.get("downtime_s") is not None:
        host.note(f"ChatSystem has moved; it was {outcome.get('what', 'down')} for {outcome['downtime_s']:g} s")


def client(host: Host, ids: Mapping[str, str]) -> Client:
    """Return how MySQL is asked in the system's network, whichever form that has."""
    mysql = next(peer for peer in host.with_role("mysql"))
    params = mysql.params("mysql")
    login = mysql.call("mysql", "root_login")
    assert isinstance(login, Secret)
    return Client(ids.get(params.image, params.image), login, f"chatsystem_{NETWORK}", params.database)


def saved(host: Host, ids: Mapping[str, str], source: str) -> Iterator[Resource]:
    """Yield the database out of the old form, and the old form gone; with a stack goes the swarm, as far as this host.

    It leaves before the new containers start: Docker 26 forgets the names of those that run when their host leaves.
    """
    yield DataSaved(client(host, ids), source, tuple(SERVERS))
    if source == STACK:
        yield SwarmLeft(last=True)


def loaded(host: Host, ids: Mapping[str, str]) -> Iterator[Resource]:
    """Yield the database in the new form, of which MySQL runs."""
    yield DataLoaded(client(host, ids))


def taken_back(host: Host) -> Iterator[Resource]:
    """Yield the end of the new form of a move that was begun and then taken back; its servers have never run.

    What moved with it can go back then, for nothing uses it any more.
    """
    found = host.outcome(BEGUN)
    if not old_form(host) and found.get("pending") and found.get("form") not in ("", found["pending"]):
        yield FormRemoved(str(found["form"]), f"chatsystem_{NETWORK}")
        if not is_on_swarm(host):
            yield SwarmLeft(last=True)


def forgotten(host: Host) -> Iterator[Resource]:
    """Yield a move given up that was begun and then taken back: the form that it was to leave has its data still."""
    if host.outcome(BEGUN).get("pending"):
        yield MoveForgotten()


def ended() -> Iterator[Resource]:
    """Yield the end of it, once all services run."""
    yield DowntimeEnded()
