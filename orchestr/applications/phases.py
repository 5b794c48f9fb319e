"""The phases of an application with data: survey, measure, save; prepare, leave, take, place, retire, deploy, report.

The first three come before all plays of a run. All go by the outcomes of the phases before them, and yield nothing
where nothing moves. A departing host of an upgrade takes part in them by the inventory it was in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource
from orchestr.applications import moved_forms
from orchestr.applications.container_role import image_named, image_source
from orchestr.applications.forms import bring_images
from orchestr.applications.moves import (
    assert_all_in_sight,
    assert_movable,
    has_data,
    moves,
    present,
    retired,
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

#: Of an application with data. One without, on a swarm, has the last ones that are not about data.
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
    """Return the phases of the planned application; none where the deploy of its hosts is all there is to do."""
    application = describe(host, params)
    if has_data(application):
        return DATA_PHASES
    if moved_forms.wanted_form(host, application) == STACK:
        return SWARM_PHASES
    return (Phase("deploy"),) if any(use.own for use in host.role.uses) else ()


def survey(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the look at this host's part of the application."""
    name, application = host.role.name, present(host, host.role.name)
    if application is None or not has_data(application):
        return
    if name in host.roles:
        databases = tuple((dump.service, f"{name}_{dump.volume}") for dump in application.dumps)
        paths = tuple(data.container_path for data in application.data if data.path and data.container_path)
        yield ApplicationSurvey(name, databases, paths)
    known = trees(host, name)
    if known:
        yield TreeSurvey(name, tuple(known.values()))


def measure(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the sizes of the trees that leave or reach this host, and the room for them."""
    own = trees(host, host.role.name)
    for move in moves(host, host.role.name):
        if host.name in (move.source, move.target):
            yield TreeMeasure(move.tree.name, own.get(move.tree.name, move.tree))


def save(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the end of what must end while a swarm's nodes reach each other and its services are where they were.

    That is: all of a stack that the inventory no longer has, its databases saved; or services whose data moves within
    the swarm, before their labels do. A move that cannot be made is refused here, where nothing was changed.
    """
    name, application = host.role.name, present(host, host.role.name)
    if application is None or not has_data(application) or name not in host.roles:
        return
    if host.is_departing:
        moved_forms.assert_databases_stay(host, application)
        return
    assert_all_in_sight(host, name)
    assert_movable(host, name)
    if moved_forms.old_form(host, application) == STACK:
        moved_forms.announce(host)
        yield from _dump_images(host, application)
        yield from moved_forms.begun(host, moves(host, name))
        yield from moved_forms.saved(host, application, STACK)
        if moved_forms.leaves_swarm(host):
            yield SwarmLeft(last=True)
    elif survey_of(host, name).get("form") == STACK:
        yield from moved_forms.taken_back(host, application)
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
        yield from moved_forms.begun(host, planned)
        services = tuple(dict.fromkeys(move.data.service for move in planned))
        yield ServicesStopped(host.role.name, services, form)


def prepare(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the images and directories that this host's services need, where all hosts need them before the deploy."""
    if host.is_departing:
        return
    application = describe(host, params)
    if moved_forms.wanted_form(host, application) == STACK or moved_forms.old_form(host, application):
        yield from bring_images(host, application)
        yield from application.before


def leave(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the end of a compose project that becomes a stack, and of services whose data leaves this host."""
    name, application = host.role.name, present(host, host.role.name)
    if application is None or not has_data(application) or name not in host.roles:
        return
    if not host.is_departing and moved_forms.wanted_form(host, application) == STACK:
        moved_forms.assert_in_reach(host, acting_manager(host).name)
        if not runs_stack(host, application):
            return
        assert_same_images(host, application)
        if moved_forms.old_form(host, application) == COMPOSE:
            moved_forms.announce(host)
            yield from moved_forms.begun(host, moves(host, name))
            yield from moved_forms.saved(host, application, COMPOSE)
            return
    if survey_of(host, name).get("form") == COMPOSE:
        if not host.is_departing:
            yield from moved_forms.taken_back(host, application)
        yield from _stop_parts(host, COMPOSE, moved_forms.parts_leaving(host, application))


def take(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the trees that leave this host, sent to the controller."""
    own = trees(host, host.role.name)
    for move in moves(host, host.role.name):
        if host.name == move.source:
            yield TreeTaken(own.get(move.tree.name, move.tree), move.size_bytes)


def place(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the trees that this host gets."""
    peers = {peer.name: peer for peer in host.everywhere()}
    for move in moves(host, host.role.name):
        if host.name == move.target:
            taken = peers[move.source].outcome(f"tree_taken:{move.tree.name}")
            yield TreePlaced(move.tree, Blob(str(taken.get("sha256", "")), int(taken.get("size_bytes", 0))))


def retire(host: Host, params: Any) -> Iterator[Resource]:
    """Yield the trees of this host that no longer count put aside, and those that stay unmarked."""
    for tree, stays in retired(host, host.role.name):
        yield TreeStays(tree) if stays else TreeRetired(tree)


def report(host: Host, params: Any) -> Iterator[Resource]:
    """Note the downtime; it yields nothing."""
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
