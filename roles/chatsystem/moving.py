"""ChatSystem from a compose project to a stack and back: the steps around a deploy that move its database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource
from orchestr.errors import InputError
from orchestr.resources.swarm import SwarmLeft
from orchestr.secret import Secret
from orchestr.system_services import is_on_swarm

from .resources import COMPOSE, STACK, Client, DataLoaded, DataSaved, DowntimeEnded, FormRemoved, MoveForgotten
from .servers import NETWORK, SERVERS

if TYPE_CHECKING:
    from orchestr.planning import Host

#: What a move takes beside the database itself, from the lab: stopping, starting, MySQL's first start.
BASE_S = 60
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
    size_bytes = int(found.get("database_bytes", 0))
    seconds = BASE_S + 2 * size_bytes // BYTES_PER_S
    there = "a swarm" if is_on_swarm(host) else "one machine"
    host.note(
        f"ChatSystem moves to {there}: it is down from the stop of its servers until the new ones answer. "
        f"The database takes {size_bytes / 1e6:.0f} MB on disk; expect about {seconds} s"
    )


def report(host: Host) -> None:
    """Say how long a move that this run made took."""
    downtime = host.outcome(ENDED).get("downtime_s")
    if downtime is not None:
        host.note(f"ChatSystem has moved; it was down for {downtime:g} s")


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


def forgotten(host: Host) -> Iterator[Resource]:
    """Yield a move given up that was begun and then taken back: the form that it was to leave has its data still.

    What stands of the other form is removed; its servers have never run.
    """
    found = host.outcome(BEGUN)
    if not found.get("pending"):
        return
    if found.get("form") not in ("", found["pending"]):
        yield FormRemoved(str(found["form"]), f"chatsystem_{NETWORK}")
        if not is_on_swarm(host):
            yield SwarmLeft(last=True)
    yield MoveForgotten()


def ended() -> Iterator[Resource]:
    """Yield the end of it, once all services run."""
    yield DowntimeEnded()
