"""The laws that hold for every resource, whatever its attributes and whatever state the host is in."""

from __future__ import annotations

import copy
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestr.agent import wire
from orchestr.agent.converge import CHANGED, FAILED, OK, SKIPPED, converge
from orchestr.agent.resource import Action, Resource, Task, class_of
from orchestr.testing.world import CANARY, Drawn, World
from orchestr.transport.memory import MemorySystem

Law = Callable[[World, str, st.DataObject], None]


class Interrupted(BaseException):
    """The agent was killed."""


class InterruptedSystem(MemorySystem):
    """Dies before its write number ``left``, and writes nothing any more: its clean-up is dead too."""

    left = 0

    def _written(self) -> None:
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        super()._written()


def _draw(world: World, kind: str, data: st.DataObject) -> tuple[Resource, Any]:
    """Return any resource of the kind, and any double of the world."""
    return data.draw(world.kinds[kind]), data.draw(world.hosts.map(Drawn)).double


def a_plan_changes_nothing_and_foretells_the_run(world: World, kind: str, data: st.DataObject) -> None:
    """A plan writes nothing, hides every secret, and says changed exactly when a run then changes something."""
    resource, double = _draw(world, kind, data)
    before = world.state(double)
    planned = converge(Task(resource), world.system(double, read_only=True), check=True, has_pending=False)
    assert world.state(double) == before
    done = world.settle(resource, double)
    assert CANARY not in str(planned) and CANARY not in str(done) and "SWMTKN" not in str(done)
    if world.is_gate(kind):
        assert (planned["verdict"], done["verdict"]) in ((OK, OK), (SKIPPED, FAILED), (SKIPPED, OK), (FAILED, FAILED))
    else:
        assert world.is_refused(done) or done["verdict"] == planned["verdict"] in (OK, CHANGED), (planned, done)


def a_gate_changes_nothing(world: World, kind: str, data: st.DataObject) -> None:
    """Whether the condition it waits for comes or not, the host is as it was."""
    resource, double = _draw(world, kind, data)
    before = world.state(double)
    world.settle(resource, double)
    assert world.state(double) == before


def a_second_run_changes_nothing(world: World, kind: str, data: st.DataObject) -> None:
    """After a run everything is as wanted, and the next writes nothing; nor does it where something was refused."""
    resource, double = _draw(world, kind, data)
    first = world.settle(resource, double)
    host = world.host(double)
    writes, state = host.writes, world.state(double)
    again = world.settle(resource, double)
    if world.is_refused(first):
        assert world.is_refused(again) or again["verdict"] == OK
    else:
        assert (again["verdict"], host.writes) == (OK, writes), (first, again)
    assert world.state(double) == state


def a_run_cut_off_at_any_write_is_finished_by_the_next(world: World, kind: str, data: st.DataObject) -> None:
    """Killed before any of its writes, a run leaves nothing that the next one cannot bring about."""
    resource, double = _draw(world, kind, data)
    whole = copy.deepcopy(double)
    if world.is_refused(world.settle(resource, whole)):
        return
    for left in range(world.host(whole).writes - world.host(double).writes):
        part = copy.deepcopy(double)
        dying = world.system(part, InterruptedSystem)
        assert isinstance(dying, InterruptedSystem)
        dying.left = left
        with pytest.raises(Interrupted):
            converge(Task(resource), dying, check=False, has_pending=False)
        result = world.settle(resource, part)
        assert result["verdict"] in (OK, CHANGED), (left, result)
        assert kind in world.never_done or world.settle(resource, part)["verdict"] == OK


def a_resource_arrives_as_it_was_sent(world: World, kind: str, data: st.DataObject) -> None:
    """The wire gives back an equal resource, of the same kind and label."""
    resource = data.draw(world.kinds[kind])
    decoder = wire.Decoder()
    decoder.feed(wire.encode({"type": "tasks", "tasks": [resource]}))
    frame = decoder.next_frame()
    assert frame is not None
    arrived: Any
    [arrived] = wire.decode(frame[1])["tasks"]
    assert arrived == resource and arrived.label == resource.label and type(arrived) is class_of(kind)


def laws_of(world: World, kind: str) -> Iterator[Law]:
    """Yield the laws that this kind has to keep."""
    yield a_plan_changes_nothing_and_foretells_the_run
    yield a_resource_arrives_as_it_was_sent
    if world.is_gate(kind):
        yield a_gate_changes_nothing
        return
    yield a_run_cut_off_at_any_write_is_finished_by_the_next
    if kind not in world.never_done:
        yield a_second_run_changes_nothing


def laws(*worlds: World) -> Callable[..., None]:
    """Return a test for pytest that tries every law on every kind of these worlds; its name must begin with test."""
    for world in worlds:
        spared = [
            kind for kind, reason in world.never_done.items() if not issubclass(class_of(kind), Action) or not reason
        ]
        if spared:
            raise ValueError(f"{world.name}: only an Action, with a reason, is never done: {', '.join(spared)}")
    cases = [(law, kind, world) for world in worlds for kind in world.kinds for law in laws_of(world, kind)]
    names = [f"{law.__name__}-{kind}-{world.name}" for law, kind, world in cases]

    @pytest.mark.parametrize(("law", "kind", "world"), cases, ids=names)
    def test(law: Law, kind: str, world: World) -> None:
        """Every resource keeps every law."""

        def attempt(data: st.DataObject) -> None:
            law(world, kind, data)

        attempt.__name__ = attempt.__qualname__ = f"{law.__name__}_{kind}"
        world.settings(given(data=st.data())(attempt))()

    return test


def find_worlds(folder: Path, package: str = "") -> tuple[World, ...]:
    """Return the ``WORLD`` of every module of a folder of tests that has one.

    ``package`` is the folder's name for imports ("" when it is on ``sys.path``, where it is put if needed).
    """
    if not package and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    modules = [path.stem for path in sorted(folder.glob("*.py")) if re.search(r"^WORLD\b", path.read_text(), re.M)]
    imported = [importlib.import_module(f"{package}.{name}" if package else name) for name in modules]
    return tuple(module.WORLD for module in imported)
