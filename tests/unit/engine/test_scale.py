"""What a run costs the controller per host stays the same however many hosts there are; counted, not timed."""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import orchestr
from orchestr.engine import fleet as fleet_module
from orchestr.events import Event
from orchestr.inventory import Inventory, model
from orchestr.planning import host as hosts
from orchestr.planning import plan as planning
from orchestr.transport import memory
from orchestr.transport.memory import memory_connector
from tests.unit.engine.conftest import Project
from tests.waiting import HANG_S

PACKAGE = str(Path(orchestr.__file__).parent)
NewProject = Callable[..., Project]

LOOKING_AROUND = '''
"""A role that looks at all other hosts, as that of a cluster does."""
from orchestr.resources.files import File

def deploy(host, params):
    peers = {peer.name for peer in (*host.group("all"), *host.with_role("around"))}
    yield File("/opt/peers", content=f"{len(peers)} {len(host.sources('all'))}")
'''


def fleet_of(new_project: NewProject, count: int) -> Project:
    return new_project(*(f"10.0.0.{number}" for number in range(1, count + 1)))


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count the calls of orchestr's own functions in threads begun from here on, and in this one.

    Remains of earlier tests are collected before, and none while it counts: their finalizers would be counted too.
    """
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls[frame.f_code.co_qualname] += 1

    idle = memory._idle[:]  # threads that earlier tests began, which would work uncounted
    memory._idle.clear()
    gc.collect()
    gc.disable()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        gc.enable()
        memory._idle[:] = idle


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, *names: str) -> Iterator[Counter[str]]:
    """Count the calls of these functions of a module or class."""
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*args, **options)

        return count

    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(owner, name, counted(name, getattr(owner, name)))
        yield calls


@pytest.mark.parametrize("role", ["hello", "around"])
def test_no_function_is_called_for_each_pair_of_hosts(new_project: NewProject, role: str) -> None:
    """Four times the hosts are four times the calls of whatever is called per host; of pairs they would be sixteen."""
    found = []
    for count in (20, 80):
        project = fleet_of(new_project, count)
        project.write("roles/around/__init__.py", LOOKING_AROUND)
        project.write("playbooks/site.yml", f"- {{hosts: all, roles: [{role}]}}\n")
        with counted_calls() as calls:
            assert project.run().exit_code == 0
        found.append(calls)
    few, many = found
    assert sum(many.values()) > 80 * 50  # the threads' calls were counted too
    assert {name: (few[name], number) for name, number in many.items() if number > 6 * few[name] + 80} == {}


def test_the_inventory_is_asked_for_each_play_and_each_host_once(
    new_project: NewProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patterns are evaluated per play, not per host; a host's connection is read once in a run."""
    evaluated = set()
    for count in (10, 100):
        project = fleet_of(new_project, count)
        with (
            counting(monkeypatch, Inventory, "select") as selected,
            counting(monkeypatch, model, "connection_settings") as read,
        ):
            project.run(limit="10.0.0.*")
        evaluated.add(selected["select"])
        assert read["connection_settings"] == count
    assert len(evaluated) == 1


def test_what_a_role_sees_of_the_other_hosts_is_gathered_once(
    new_project: NewProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups, bearers of a role and addresses are the same for all who ask in a run."""
    project = fleet_of(new_project, 30)
    project.write("roles/around/__init__.py", LOOKING_AROUND)
    project.write("playbooks/site.yml", "- {hosts: all, roles: [around]}\n- {hosts: all, roles: [around]}\n")
    with (
        counting(monkeypatch, hosts, "as_address") as found,
        counting(monkeypatch, planning, "Peer") as made,
        counting(monkeypatch, Inventory, "scope") as scopes,
    ):
        assert project.run().exit_code == 0
    assert project.hosts["10.0.0.7"].text("/opt/peers") == "30 30"
    assert 30 <= found["as_address"] < 2 * 30  # two threads may look at the same moment
    assert 2 * 30 <= made["Peer"] < 4 * 30  # for the group, and for the role
    assert scopes["scope"] <= (1 + 2 + 1) * 30  # of each host: its connection, two plays' parameters, its address


def test_memory_hosts_have_no_thread_of_their_own(new_project: NewProject) -> None:
    """However many hosts there are, threads are as many as are worked on at the same time."""
    project = fleet_of(new_project, 60)
    before = threading.active_count()
    most = 0

    def look(event: Event) -> None:
        nonlocal most
        most = max(most, threading.active_count() - before)

    inventory = orchestr.load_inventory(project.root / "inventories/all.yml")
    result = orchestr.run(inventory, on_event=look, connector=memory_connector(project.hosts), forks=3)
    assert result.changed == 180
    assert most <= 3 + 6 + 1  # the forks, their hosts' work (one may just be ending), the signs of life


def test_the_hosts_share_of_the_processor_is_told_apart(new_project: NewProject) -> None:
    """What an agent in memory uses is counted for its host: on a machine it would not be the controller's."""
    project = fleet_of(new_project, 2)
    project.run(limit="10.0.0.1")
    assert project.hosts["10.0.0.1"].agent_cpu_s > 0
    assert project.hosts["10.0.0.2"].agent_cpu_s == 0


def test_more_hosts_that_hang_than_forks_do_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done to all sessions comes to those that answer, though every thread is stuck with one that does not."""
    monkeypatch.setattr(fleet_module, "STUCK_S", 0.01)
    never, done = threading.Event(), []

    def work(item: int) -> None:
        if item < 5:
            never.wait(HANG_S)
        else:
            done.append(item)
        if len(done) == 3:
            never.set()

    fleet_module._to_all(work, list(range(8)), 2, HANG_S)
    assert sorted(done) == [5, 6, 7]
