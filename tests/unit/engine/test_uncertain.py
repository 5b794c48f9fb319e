"""A report says what is known: a host whose change was begun, and not seen to its end, may have changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestr import events
from orchestr.reports.replay import from_json, recorded_result
from orchestr.results import RunResult
from orchestr.transport.memory import memory_connector
from tests.unit.engine.conftest import Project, interrupt_when
from tests.unit.engine.hostile import HostileHost, message
from tests.waiting import wait_until

FAILING = """
from orchestr.agent.resource import ResourceError
from orchestr.resources.commands import Command
from orchestr.resources.files import File

def deploy(host, params):
    if host.name == "a":
        yield Command(("half", "done"))
    elif host.name == "b":
        yield File("/opt/folder/file", content="x")
    elif host.name == "c":
        yield Command(("half", "done"), creates="/etc")
"""


@pytest.fixture
def failing(project: Project) -> Project:
    """``a`` fails in the middle of a change, ``b`` before any, ``c`` not at all."""
    project.write("roles/hello/__init__.py", FAILING)
    project.write("inventories/all.yml", "all:\n  hosts: {a: , b: , c: , d: }\n")
    for host in project.hosts.values():
        host.commands[("half",)] = (1, "", "no")
    project.hosts["b"].add_file("/opt/folder", "a file where the directory should be")
    project.hosts["c"].add_file("/etc", "")
    return project


def uncertain(result: RunResult) -> list[str]:
    return [name for name, host in result.to_json()["hosts"].items() if host["may_have_changed"]]


def replayed(project: Project) -> RunResult:
    """Return the result that the record of the last run gives."""
    recorded = (from_json(event.to_json()) for event in project.events)
    return recorded_result([event for event in recorded if event is not None])


def test_a_failure_in_the_middle_of_a_change(failing: Project) -> None:
    """Only the host whose task had begun may have changed; so does its record."""
    result = failing.run()
    assert [host.failed for host in result.hosts.values()] == [1, 1, 0, 0]
    assert uncertain(result) == uncertain(replayed(failing)) == ["a"]
    assert [event.begun for event in failing.of(events.TaskFinished) if event.verdict == "failed"] in (
        [True, False], [False, True],
    )  # fmt: skip


def test_a_dry_run_changes_nothing(failing: Project) -> None:
    """In a plan nothing is begun."""
    assert uncertain(failing.run(check=True)) == []


def test_a_host_that_is_lost_with_tasks_at_work(project: Project) -> None:
    """Nobody knows how far its tasks came, nor does a record that says nothing of their end."""

    def script(tasks: list[str]) -> Iterator[bytes]:
        yield message("started", task=tasks[0])
        yield b""

    honest = memory_connector(project.hosts)
    lost = HostileHost(script)
    result = project.run(connector=lambda settings: lost if settings.address == "a" else honest(settings))
    assert result.hosts["a"].unreachable and result.hosts["a"].changed == 0
    assert uncertain(result) == uncertain(replayed(project)) == ["a"]


def test_an_interrupt_with_tasks_at_work(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is interrupted in a task may have changed; one that was done has not changed further."""
    hanging = HostileHost(lambda tasks: iter([message("started", task=tasks[0])]))
    honest = memory_connector(project.hosts)
    interrupt_when(
        monkeypatch,
        lambda: wait_until(lambda: len(project.of(events.TaskFinished)) == 9 and project.of(events.TaskStarted)),
    )
    result = project.run(connector=lambda settings: hanging if settings.address == "a" else honest(settings))
    assert result.exit_code == 130
    assert "a" in uncertain(result)
    assert uncertain(replayed(project)) == uncertain(result)


def test_a_record_without_an_end(project: Project) -> None:
    """The controller was killed: of no host it is known what it did last."""
    project.run()
    project.events[:] = [event for event in project.events if not isinstance(event, events.RunFinished)]
    assert uncertain(replayed(project)) == ["a", "b", "c", "d"]
