"""What holds for every resource that can be desired, whatever it is made of and whatever it finds on the host.

Kinds are found in the modules themselves, so a new one without a generator fails here: add it to a world, or make one
(``worlds/``). A world is a host with simulated tools; those answer as recorded from real ones (``resources/recorded``).
"""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orchestr.resources
from orchestr.agent import wire
from orchestr.agent.converge import CHANGED, FAILED, OK, SKIPPED, converge
from orchestr.agent.resource import Action, Resource, Task, class_of, kinds
from orchestr.planning.role import load_role
from tests.property import worlds
from tests.property.laws import CANARY, Interrupted, InterruptedSystem, World, drawn_hosts

ROOT = Path(orchestr.__file__).parent.parent
MODULES = [module.name for module in pkgutil.iter_modules(worlds.__path__)]
WORLDS: tuple[World, ...] = tuple(importlib.import_module(f"{worlds.__name__}.{name}").WORLD for name in MODULES)
#: Kinds that no second run can find done, and why.
NEVER_DONE = {
    "archive": "a backup is made each time it is asked for",
    "tree_taken": "what is there is packed each time, so that no earlier state of it is sent",
    "swarm_token_rotation": "a token is made anew each time it is asked for",
}
#: Kinds that change nothing, and what they are for.
GATES = {
    "application_survey": "looks, and tells later plays what it found",
    "chatsystem_data": "looks, and tells later plays what it found",
    "http_answer": "waits for an answer",
    "ports_free": "refuses to go on where others hold a port",
    "swarm_drained": "waits for tasks to end",
    "swarm_ingress": "refuses to go on without IPVS",
    "swarm_survey": "looks, and tells later plays what it found",
    "tcp_answer": "waits for an answer",
    "tree_measure": "looks, and tells later plays what it found",
    "tree_survey": "looks, and tells later plays what it found",
}


def _registered() -> dict[str, type[Resource]]:
    """Return every kind of resource that ships: kind → class, parts of resources left out."""
    for module in pkgutil.walk_packages(orchestr.resources.__path__, "orchestr.resources."):
        importlib.import_module(module.name)
    for path in sorted((ROOT / "roles").glob("*/resources.py")):
        load_role(path.parent.name, ROOT)
        importlib.import_module(f"orchestr_roles.{path.parent.name}.resources")
    roles = {path.parent.name for path in ROOT.glob("roles/*/resources.py")}
    ours = ("orchestr.resources.", *(f"orchestr_roles.{name}." for name in roles))
    found = {kind: cls for kind, cls in kinds().items() if cls.__module__.startswith(ours)}
    return {kind: cls for kind, cls in found.items() if issubclass(cls, Resource)}


REGISTERED = _registered()
COVERED = {(kind, world.name): world for world in WORLDS for kind in world.kinds}
STATES = [(kind, name) for kind, name in COVERED if kind not in GATES]
LASTING = [(kind, name) for kind, name in STATES if kind not in NEVER_DONE]


def any_of(cases: Iterable[tuple[str, str]]) -> Any:
    return pytest.mark.parametrize(("kind", "world"), sorted(cases))


def drawn(data: st.DataObject, kind: str, world: str) -> tuple[World, Resource, Any]:
    """Return the world, any resource of the kind, and any host there."""
    found = COVERED[(kind, world)]
    return found, data.draw(found.kinds[kind]), data.draw(drawn_hosts(found)).double


def examples(test: Callable[..., None]) -> Callable[[str, str], None]:
    """Let a test be tried with as many examples as its world can afford."""

    def tried(kind: str, world: str) -> None:
        COVERED[(kind, world)].examples_of(given(data=st.data())(test))(kind=kind, world=world)

    tried.__name__, tried.__doc__, tried.__module__ = test.__name__, test.__doc__, test.__module__
    return tried


def test_every_kind_has_a_generator() -> None:
    """Whatever a module of resources registers is tried below; a new kind without a generator fails here."""
    missing = sorted(REGISTERED.keys() - {kind for kind, _ in COVERED})
    assert not missing, f"no world in tests/property/worlds makes: {', '.join(missing)}"


def test_only_what_has_no_state_is_spared() -> None:
    """The tables of gates and of what is never done name exactly those kinds, each with its reason."""
    assert {kind for kind, cls in REGISTERED.items() if cls.is_gate} == GATES.keys()
    assert all(issubclass(REGISTERED[kind], Action) for kind in NEVER_DONE)
    assert all([*GATES.values(), *NEVER_DONE.values()])


@any_of(COVERED)
@examples
def test_looking_changes_nothing_and_foretells_the_run(kind: str, world: str, data: st.DataObject) -> None:
    """A plan writes nothing, hides every secret, and says changed exactly when a run then changes something."""
    here, resource, double = drawn(data, kind, world)
    before = here.state(double)
    planned = converge(Task(resource), here.system(double, read_only=True), check=True, has_pending=False)
    assert here.state(double) == before
    done = here.settle(resource, double)
    assert CANARY not in str(planned) and CANARY not in str(done) and "SWMTKN" not in str(done)
    if kind in GATES:
        assert (planned["verdict"], done["verdict"]) in ((OK, OK), (SKIPPED, FAILED), (SKIPPED, OK), (FAILED, FAILED))
    else:
        assert here.is_refused(done) or done["verdict"] == planned["verdict"] in (OK, CHANGED), (planned, done)


@any_of(key for key in COVERED if key[0] in GATES)
@examples
def test_a_gate_changes_nothing(kind: str, world: str, data: st.DataObject) -> None:
    """Whether what it waits for comes or not, the host is as it was."""
    here, resource, double = drawn(data, kind, world)
    before = here.state(double)
    here.settle(resource, double)
    assert here.state(double) == before


@any_of(LASTING)
@examples
def test_a_second_run_changes_nothing(kind: str, world: str, data: st.DataObject) -> None:
    """After a run everything is as wanted, and the next writes nothing; nor does it where something was refused."""
    here, resource, double = drawn(data, kind, world)
    first = here.settle(resource, double)
    host = here.host(double)
    writes, state = host.writes, here.state(double)
    again = here.settle(resource, double)
    if here.is_refused(first):
        assert here.is_refused(again) or again["verdict"] == OK
    else:
        assert (again["verdict"], host.writes) == (OK, writes), (first, again)
    assert here.state(double) == state


@any_of(STATES)
@examples
def test_a_run_cut_off_at_any_write_is_finished_by_the_next(kind: str, world: str, data: st.DataObject) -> None:
    """Killed before any of its writes, a run leaves nothing that the next one cannot bring about."""
    here, resource, double = drawn(data, kind, world)
    whole = copy.deepcopy(double)
    if here.is_refused(here.settle(resource, whole)):
        return
    for left in range(here.host(whole).writes - here.host(double).writes):
        part = copy.deepcopy(double)
        dying = here.system(part, InterruptedSystem)
        assert isinstance(dying, InterruptedSystem)
        dying.left = left
        with pytest.raises(Interrupted):
            converge(Task(resource), dying, check=False, has_pending=False)
        result = here.settle(resource, part)
        assert result["verdict"] in (OK, CHANGED), (left, result)
        assert kind in NEVER_DONE or here.settle(resource, part)["verdict"] == OK


@any_of(COVERED)
@examples
def test_a_resource_arrives_as_it_was_sent(kind: str, world: str, data: st.DataObject) -> None:
    """The wire gives back an equal resource, of the same kind and label."""
    resource = data.draw(COVERED[(kind, world)].kinds[kind])
    decoder = wire.Decoder()
    decoder.feed(wire.encode({"type": "tasks", "tasks": [resource]}))
    frame = decoder.next_frame()
    assert frame is not None
    arrived: Any
    [arrived] = wire.decode(frame[1])["tasks"]
    assert arrived == resource and arrived.label == resource.label and type(arrived) is class_of(kind)
