"""Steps for an application that changes its form (compose project, stack) or whose data moves: the end of the old
form, and the start of the new one.

Each function is for the host that runs the services, and depends on the outcome of its survey.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestr.agent.resource import Resource
from orchestr.applications.forms import image_ids, project_directory
from orchestr.applications.moves import Move, has_data, moves, survey_of
from orchestr.applications.placement import is_on_swarm
from orchestr.cluster.swarm_hosts import MANAGERS
from orchestr.errors import InputError
from orchestr.resources.files import Directory, File
from orchestr.resources.moves.databases import (
    ApplicationLoaded,
    ApplicationSaved,
    Database,
    DowntimeEnded,
    MoveForgotten,
)
from orchestr.resources.moves.forms import COMPOSE, STACK, FormRemoved, awaited_path, state_directory
from orchestr.resources.swarm.membership import SwarmLeft

if TYPE_CHECKING:
    from orchestr.applications.model import Application
    from orchestr.planning.plan import Host

#: Seconds of a move beside the copying, measured in the lab: stop, start, the first start of a database.
BASE_S = 60
PART_S = 20  # the same for a single service within a swarm
BYTES_PER_S = 10_000_000  # of a dump that is written and read again; real disks are faster


def wanted_form(host: Host, application: Application) -> str:
    """Return the form that the inventory requests on this host."""
    return STACK if application.can_swarm and is_on_swarm(host) else COMPOSE


def old_form(host: Host, application: Application) -> str:
    """Return the form that the application must leave on this host: compose, stack, or "" when it does not move.

    A move that was begun and then cancelled (the old inventory again) is no move, unless the new form already has the
    databases: then the data of the new form is newer, and the return is a regular move.
    """
    survey, wanted = survey_of(host, host.role.name), wanted_form(host, application)
    form = str(survey.get("pending") or survey.get("form") or "")
    if survey.get("is_loaded") and form == wanted:
        return str(survey["form"])
    return form if form not in ("", wanted) else ""


def assert_on_manager(host: Host, manager: str) -> None:
    """Raise InputError when the application is a compose project on a host other than the acting ``manager``."""
    name = host.role.name
    if host.name != manager and survey_of(host, name).get("form") == COMPOSE:
        raise InputError(
            f"{name} runs on {host.name} without the swarm, and its data can move to the swarm only from the acting "
            f"manager, {manager}",
            next_step=f"make {host.name} the first of swarm_managers",
        )


# -- notes ------------------------------------------------------------------------------------------------------------
def announce(host: Host) -> None:
    """Report the downtime of a move to another form, before it begins."""
    name = host.role.name
    size_bytes, planned = int(survey_of(host, name).get("database_bytes", 0)), moves(host, name)
    seconds = BASE_S + 2 * (size_bytes + _total_bytes(planned)) // BYTES_PER_S
    target = "a swarm" if is_on_swarm(host) else "one machine"
    host.note(
        f"{name} moves to {target}: it is down from the stop of its services until the new ones are healthy. "
        f"The database takes {size_bytes / 1e6:.0f} MB on disk{_listed(planned)}; expect about {seconds} s"
    )


def announce_parts(host: Host, planned: Sequence[Move]) -> None:
    """Report the downtime of a move of single services' data, before it begins."""
    services = ", ".join(dict.fromkeys(move.data.service for move in planned))
    seconds = PART_S + 2 * _total_bytes(planned) // BYTES_PER_S
    host.note(
        f"data of {host.role.name} moves{_listed(planned)}: down during the move: {services}; expect about {seconds} s"
    )


def _total_bytes(planned: Sequence[Move]) -> int:
    return sum(move.size_bytes for move in planned)


def _listed(planned: Sequence[Move]) -> str:
    """Return the moves with their hosts and sizes, each with a leading comma."""
    texts = (f"{move.tree.name} {move.size_bytes / 1e6:.1f} MB from {move.source} to {move.target}" for move in planned)
    return "".join(f", {text}" for text in texts)


def report(host: Host) -> None:
    """Report the downtime of a move in this run."""
    outcome = host.outcome(f"application_downtime:{host.role.name}")
    if outcome.get("downtime_s") is not None:
        host.note(f"{host.role.name} has moved; it was {outcome.get('what', 'down')} for {outcome['downtime_s']:g} s")


# -- the old form -----------------------------------------------------------------------------------------------------
def mark_moves(host: Host, planned: Sequence[Move]) -> Iterator[Resource]:
    """Yield a file on the host that lists the moving trees, so that no later run starts a service without its data."""
    if planned:
        name = host.role.name
        yield Directory(state_directory(name), mode=0o700)
        text = json.dumps({move.tree.name: (move.source, move.target) for move in planned}, sort_keys=True)
        yield File(awaited_path(name), content=text, mode=0o600)


def save_databases(host: Host, application: Application, source: str) -> Iterator[Resource]:
    """Yield the dumps of the databases, and the removal of the old form (``source``)."""
    yield ApplicationSaved(
        host.role.name,
        source,
        project_directory(host, application),
        network_names(host.role.name, application),
        databases(host, application),
        tuple(service.name for service in application.services if _is_writer(application, service.name)),
    )


def cancel_move(host: Host, application: Application) -> Iterator[Resource]:
    """Yield the removal of the new form after a move that was begun and then cancelled; its services have never run.

    Its data can then move back, since no service uses it.
    """
    survey, name = survey_of(host, host.role.name), host.role.name
    if not old_form(host, application) and survey.get("pending") and survey.get("form") not in ("", survey["pending"]):
        directory, networks = project_directory(host, application), network_names(name, application)
        yield FormRemoved(name, str(survey["form"]), directory, networks)
        if not is_on_swarm(host):
            yield SwarmLeft(last=True)


def leaves_swarm(host: Host) -> bool:
    """Return True if this host leaves its swarm after this application: no other one remains to be saved.

    It leaves before the new containers start: Docker 26 loses the DNS names of containers that run during the leave.
    """
    stacks = [name for name, application in host.applications() if has_data(application)]
    stacks = [name for name in stacks if survey_of(host, name).get("form") == STACK]
    return not is_on_swarm(host) and (not stacks or stacks[-1] == host.role.name)


def parts_moving(host: Host) -> list[Move]:
    """Return the moves within a swarm, for the manager that stops and starts its services; [] on other hosts."""
    name = host.role.name
    managers = [peer for peer in host.group(MANAGERS) if survey_of(peer, name).get("form") == STACK]
    is_acting = is_on_swarm(host) and [peer.name for peer in managers[:1]] == [host.name]
    return moves(host, name) if is_acting else []


def parts_leaving(host: Host, application: Application) -> list[Move]:
    """Return the moves of data away from this host, for services that are and remain a compose project."""
    name = host.role.name
    is_staying_compose = survey_of(host, name).get("form") == COMPOSE and not old_form(host, application)
    planned = moves(host, name) if is_staying_compose else []
    return [move for move in planned if move.source == host.name]


def assert_databases_stay(host: Host, application: Application) -> None:
    """Raise InputError on a departing host with databases in a compose project: their dumps would stay on it."""
    if host.is_departing and application.dumps and survey_of(host, host.role.name).get("form") == COMPOSE:
        services = ", ".join(dump.service for dump in application.dumps)
        raise InputError(
            f"{host.role.name} runs on {host.name} with {services}, and the new inventory does not have {host.name}: "
            f"a database moves only from a host that stays",
            next_step=f"keep {host.name} in the new inventory, and remove it in a later upgrade",
        )


# -- the new form -----------------------------------------------------------------------------------------------------
def arrive(
    host: Host, application: Application, form: Callable[[Application, bool], Iterator[Resource]]
) -> Iterator[Resource]:
    """Yield the new form; after a change of the form, first the databases and their dumps, then all services.

    ``form(application, is_whole)`` yields services; ``is_whole`` allows it to remove other services.
    """
    if not has_data(application):
        yield from form(application, True)
        return
    name, survey, old = host.role.name, survey_of(host, host.role.name), old_form(host, application)
    if not old and survey.get("pending"):
        yield MoveForgotten(name, databases(host, application))
    elif old and application.dumps:
        without_writers = (service for service in application.services if not _is_writer(application, service.name))
        yield from form(replace(application, services=tuple(without_writers)), False)
        for database in databases(host, application):
            yield ApplicationLoaded(database)
    yield from form(application, True)
    is_partly_down = survey.get("is_stopped") or survey.get("awaited")
    if old or is_partly_down or parts_moving(host) or parts_leaving(host, application):
        yield DowntimeEnded(name)


def end_of_parts(host: Host, application: Application) -> Iterator[Resource]:
    """Yield the end of the downtime on a host whose services left with their data."""
    survey = survey_of(host, host.role.name)
    if survey.get("is_stopped") or survey.get("awaited") or parts_leaving(host, application):
        yield DowntimeEnded(host.role.name)


def databases(host: Host, application: Application) -> tuple[Database, ...]:
    """Return the databases, with their commands to save and load on this host, in either form."""
    name, ids = host.role.name, image_ids(host, application) if application.dumps else {}
    images = {service.name: service.container.image for service in application.services}
    network = next(iter(network_names(name, application)))
    return tuple(
        Database(
            name,
            dump.service,
            ids.get(images[dump.service], images[dump.service]),
            dump.login,
            network,
            dump.save,
            dump.load,
            dump.probe,
            dump.complete,
            dump.suffix,
        )
        for dump in application.dumps
    )


def network_names(name: str, application: Application) -> tuple[str, ...]:
    """Return Docker's names of an application's networks; both forms have the same."""
    return tuple(f"{name}_{network.name}" for network in application.networks) or (f"{name}_default",)


def _is_writer(application: Application, service: str) -> bool:
    """Return True for a service that may write to the databases: one of the application that is not a database."""
    parts = {item.name for item in application.services if item.part}
    return service not in parts and service not in {dump.service for dump in application.dumps}
