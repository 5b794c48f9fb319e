"""The phases of an application with data: survey, measure, save; prepare, leave, take, place, retire, deploy, report.

The first three run before all plays. Each depends on the outcomes of the phases before it, and yields nothing if no
data moves. A departing host of an upgrade takes part, planned by the old inventory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource
from orchestr.applications import moved_forms
from orchestr.applications.container_role import image_named, image_source
from orchestr.applications.forms import bring_images
from orchestr.applications.moves import (
    assert_all_in_run,
    assert_databases_keep_host,
    assert_movable,
    has_data,
    moves,
    present,
    settled_trees,
    survey_of,
    trees,
)
from orchestr.applications.parts import describe
from orchestr.applications.stack_form import assert_same_images, runs_stack
from orchestr.cluster.swarm_hosts import acting_manager
from orchestr.planning.phases import Phase
from orchestr.resources.files import Blob
from orchestr.resources.moves.forms import COMPOSE, STACK, ServicesStopped
from orchestr.resources.moves.survey import ApplicationSurvey
from orchestr.resources.swarm.membership import SwarmLeft
from orchestr.resources.trees import TreeMeasure, TreePlaced, TreeRetired, TreeStays, TreeSurvey, TreeTaken

if TYPE_CHECKING:
    from orchestr.applications.model import Application
    from orchestr.planning.plan import Host

#: Phases of an application with data. On a swarm, an application without data has `SWARM_PHASES`.
DATA_PHASES = (
    Phase("survey", is_early=True, is_fatal=True, reaches_swarm=True, reaches_departing=True),
    Phase("measure", is_early=True, is_fatal=True, reaches_swarm=True, reaches_departing=True),
    Phase("save", is_early=True, is_fatal=True, reaches_departing=True),
    Phase("prepare"),
    Phase("leave", is_fatal=True, reaches_departing=True),
    Phase("take", is_fatal=True, reaches_swarm=True, reaches_departing=True),
    Phase("place", is_fatal=True, reaches_swarm=True),
    Phase("retire", is_fatal=True, reaches_swarm=True, reaches_departing=True),
    Phase("deploy"),
    Phase("report"),
)
SWARM_PHASES = (Phase("prepare"), Phase("deploy"))


def phases_of(host: Host, params: Any) -> tuple[Phase, ...]:
    """Return the phases of the planned application; () when its hosts only need ``deploy``."""
    application = describe(host, params)
    if has_data(application):
        return DATA_PHASES
    if moved_forms.wanted_form(host, application) == STACK:
        return SWARM_PHASES
    return (Phase("deploy"),) if any(use.own for use in host.role.uses) else ()


def survey(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the surveys of the application and its trees on this host."""
    name, application = host.role.name, present(host, host.role.name)
    if application is None or not has_data(application):
        return
    if name in host.roles:
        databases = tuple((dump.service, dump.suffix, f"{name}_{dump.volume}") for dump in application.dumps)
        paths = tuple(data.container_path for data in application.data if data.path and data.container_path)
        yield ApplicationSurvey(name, databases, paths)
    own = trees(host, name)
    if own:
        yield TreeSurvey(name, tuple(own.values()))


def measure(host: Host, params: Any) -> Iterator[Resource]:
    """Yield measurements of the trees that leave or reach this host: their sizes, and the free disk space."""
    own = trees(host, host.role.name)
    for move in moves(host, host.role.name):
        if host.name in (move.source, move.target):
            yield TreeMeasure(move.tree.name, own.get(move.tree.name, move.tree))


def save(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the steps that need the swarm as it was, with its nodes connected and its services on their old hosts.

    They dump the databases and remove a stack that the new inventory replaces, or stop the services whose data moves
    within the swarm before the node labels change. Raises InputError for an impossible move, before any change.
    """
    name, application = host.role.name, present(host, host.role.name)
    if application is None or not has_data(application) or name not in host.roles:
        return
    if host.is_departing:
        moved_forms.assert_databases_stay(host, application)
        return
    assert_all_in_run(host, name)
    assert_movable(host, name)
    if moved_forms.old_form(host, application) == STACK:
        moved_forms.announce(host)
        yield from _dump_images(host, application)
        yield from moved_forms.mark_moves(host, moves(host, name))
        yield from moved_forms.save_databases(host, application, STACK)
        if moved_forms.leaves_swarm(host):
            yield SwarmLeft(last=True)
    elif survey_of(host, name).get("form") == STACK:
        assert_databases_keep_host(host, name)
        yield from moved_forms.cancel_move(host, application)
        yield from _stop_parts(host, STACK, moved_forms.parts_moving(host))


def _dump_images(host: Host, application: Application) -> Iterator[Resource]:
    services = {dump.service for dump in application.dumps}
    for service in application.services:
        if service.name in services:
            source = image_source(host, service.image_source)
            yield image_named(host, service.container.image, source)[0]


def _stop_parts(host: Host, form: str, planned: list[Any]) -> Iterator[Resource]:
    if planned:
        moved_forms.announce_parts(host, planned)
        yield from moved_forms.mark_moves(host, planned)
        services = tuple(dict.fromkeys(move.data.service for move in planned))
        yield ServicesStopped(host.role.name, services, form)


def prepare(host: Host, params: Any) -> Iterator[Resource]:
    """Yield images and directories of this host's services, when all hosts must have them before the deploy."""
    if host.is_departing:
        return
    application = describe(host, params)
    if moved_forms.wanted_form(host, application) == STACK or moved_forms.old_form(host, application):
        yield from bring_images(host, application)
        yield from application.before


def leave(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the removal of a compose project that becomes a stack, and the stop of services whose data leaves."""
    name, application = host.role.name, present(host, host.role.name)
    if application is None or not has_data(application) or name not in host.roles:
        return
    if not host.is_departing and moved_forms.wanted_form(host, application) == STACK:
        moved_forms.assert_on_manager(host, acting_manager(host).name)
        if not runs_stack(host, application):
            return
        assert_same_images(host, application)
        if moved_forms.old_form(host, application) == COMPOSE:
            moved_forms.announce(host)
            yield from moved_forms.mark_moves(host, moves(host, name))
            yield from moved_forms.save_databases(host, application, COMPOSE)
            return
    if survey_of(host, name).get("form") == COMPOSE:
        if not host.is_departing:
            yield from moved_forms.cancel_move(host, application)
        yield from _stop_parts(host, COMPOSE, moved_forms.parts_leaving(host, application))


def take(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the trees that leave this host; they are sent to the controller."""
    own = trees(host, host.role.name)
    for move in moves(host, host.role.name):
        if host.name == move.source:
            yield TreeTaken(own.get(move.tree.name, move.tree), move.size_bytes)


def place(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the trees that move to this host."""
    peers = {peer.name: peer for peer in host.everywhere()}
    for move in moves(host, host.role.name):
        if host.name == move.target:
            taken = peers[move.source].outcome(f"tree_taken:{move.tree.name}")
            yield TreePlaced(move.tree, Blob(str(taken.get("sha256", "")), int(taken.get("size_bytes", 0))))


def retire(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the end of moves on this host: outdated trees are put aside, the others lose their mark."""
    for tree, stays in settled_trees(host, host.role.name):
        yield TreeStays(tree) if stays else TreeRetired(tree)


def report(host: Host, params: Any) -> Iterator[Resource]:
    """Report the downtime of a move; yields nothing."""
    moved_forms.report(host)
    return iter(())


FUNCTIONS = {
    "survey": survey,
    "measure": measure,
    "save": save,
    "prepare": prepare,
    "leave": leave,
    "take": take,
    "place": place,
    "retire": retire,
    "report": report,
}
