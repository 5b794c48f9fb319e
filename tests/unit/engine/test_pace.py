"""A host whose agent lives but does not answer is given up by the controller, and costs the other hosts nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestr.agent.resource import Task
from orchestr.agent.watch import longest_of
from orchestr.engine import pace, session
from orchestr.engine.pace import Pace
from orchestr.resources.compose.project import ComposeProject, ComposeService
from orchestr.resources.files import Blob, Directory, File
from orchestr.resources.swarm.stack import Stack, StackService
from orchestr.resources.trees import Tree, TreePlaced, TreeTaken
from orchestr.transport.memory import MemoryHost, memory_connector
from tests.unit.engine.conftest import Project
from tests.unit.engine.hostile import HostileHost, message
from tests.waiting import HANG_S


@pytest.fixture
def impatient(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose hosts have a tenth of a second for each task."""
    monkeypatch.setattr(pace, "GRACE_S", 0.1)
    monkeypatch.setattr(session, "LATE_READ_S", 0.01)
    project.write(
        "roles/hello/__init__.py",
        "from orchestr import Task\nfrom orchestr.resources.files import Directory\n\n"
        "def deploy(host, params):\n    yield Task(Directory('/opt/hello'), timeout_s=0.1)\n",
    )
    project.write("inventories/all.yml", "all:\n  hosts: {a: , b: , c: , d: }\n")
    return project


def beats(tasks: list[str], **fields: Any) -> Iterator[bytes]:
    """Say nothing but that the agent lives, until the controller has had enough."""
    while not has_enough.wait(0.02):
        yield message("beat", **fields)


has_enough = threading.Event()


@pytest.mark.parametrize("fields", [{}, {"left_s": 1e9}], ids=["silent", "promising"])
def test_a_heart_that_beats_is_no_answer(impatient: Project, fields: dict[str, Any]) -> None:
    """The host has failed with the task's name and the time; the others are done."""
    has_enough.clear()

    class Beating(HostileHost):
        def start(self, command: Any) -> Any:
            channel = super().start(command)
            write = channel.write

            def aside(data: bytes) -> None:  # a host speaks while the controller listens
                threading.Thread(target=write, args=(data,), daemon=True).start()

            channel.write = aside  # type: ignore[method-assign]
            return channel

    honest = memory_connector(impatient.hosts)
    hostile = Beating(lambda tasks: beats(tasks, **fields))
    result = impatient.run(connector=lambda settings: hostile if settings.address == "a" else honest(settings))
    has_enough.set()
    assert [result.hosts[name].changed for name in "bcd"] == [1, 1, 1]
    (error,) = result.hosts["a"].errors
    assert "no answer about directory /opt/hello for" in error["message"]
    assert "timeout_s" in error["next_step"]
    assert result.exit_code == 1


def test_a_resource_that_hangs_in_memory_ends_alone(impatient: Project) -> None:
    """A real agent whose task never returns, and whose watch does not either: the controller ends the session."""
    is_over = threading.Event()

    class Hanging(MemoryHost):
        pass

    host = Hanging()
    host.nodes = _Blocking(host.nodes, is_over)  # type: ignore[assignment]
    impatient.hosts["a"] = host
    result = impatient.run()
    is_over.set()
    assert [result.hosts[name].changed for name in "bcd"] == [1, 1, 1]
    assert "no answer about directory /opt/hello" in result.hosts["a"].errors[0]["message"]


class _Blocking(dict):  # type: ignore[type-arg]
    """Nodes of a disk that does not answer."""

    def __init__(self, nodes: dict[str, Any], is_over: threading.Event) -> None:
        super().__init__(nodes)
        self._is_over = is_over

    def get(self, path: str, default: Any = None) -> Any:
        if path == "/opt/hello":
            self._is_over.wait(HANG_S)
        return super().get(path, default)


def test_a_host_that_keeps_talking_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task has a time in all, and the request one; the error does not say that the host was silent."""
    clock = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    request = Pace([Task(File(f"/{number}"), id=str(number)) for number in range(20)])
    talked_s = 0
    while request.left_s() > 0:
        clock[0] += 60
        talked_s += 60
        request.take({"type": "output", "task": "0", "text": "x"})
        request.take({"type": "beat", "left_s": 1e9})
    assert talked_s <= File("/0").longest_s + pace.GRACE_S + 60
    assert "file /0 is not done after" in request.error("a").message
    request = Pace([Task(File(f"/{number}"), id=str(number)) for number in range(20)])
    for number in range(20):
        request.take({"type": "result", "task": str(number), "verdict": "ok"})
        clock[0] += File("/0").longest_s - 60
        if request.left_s() <= 0:
            break
    assert number < 15, "many tasks may not take many times what one may"


STACK = Stack("s", (StackService("web", "x"),), "{}")


def test_data_that_moves_has_more_time() -> None:
    """A tree, a database and a drain take what their size needs, content as well as a slow line."""
    tree = Tree("t", path="/data")
    for resource in (TreeTaken(tree), TreePlaced(tree, Blob("0" * 64, 1)), STACK, Directory("/d", present=False)):
        assert longest_of(Task(resource)) >= 24 * 3600
    assert longest_of(Task(File("/f", Blob("0" * 64, 1 << 36)))) > 10 * 24 * 3600
    slow = ComposeService("web", stop_grace_s=20_000.0)
    assert longest_of(Task(ComposeProject("/opt/app", (slow, "db")))) > 40_000


def test_progress_renews_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output, content and the host's own word put off the end of a task without timeout_s; nothing else does."""
    clock = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    request = Pace([Task(File("/a"), id="1"), Task(File("/b"), id="2", timeout_s=50.0)])
    assert request.left_s() == File.patience_s + pace.GRACE_S
    clock[0] += 800
    request.take({"type": "beat"})
    assert request.left_s() == 100 + pace.GRACE_S
    request.take({"type": "beat", "left_s": 3600.0})
    assert request.left_s() == 3600 + pace.GRACE_S
    clock[0] += 3000
    request.take({"type": "output", "task": "1", "text": "x"})
    assert request.left_s() == 900 + pace.GRACE_S
    request.take({"type": "beat", "left_s": 1e12})
    assert request.left_s() <= pace.LONGEST_S + pace.GRACE_S
    request.take({"type": "result", "task": "1", "verdict": "ok"})
    assert request.left_s() == 50 + pace.GRACE_S
    request.take({"type": "beat", "left_s": 3600.0})
    request.take({"type": "output", "task": "2", "text": "x"})
    assert request.left_s() == 50 + pace.GRACE_S
    request.take({"type": "fine", "first": 1, "elapsed_s": (0.1,)})
    assert request.left_s() == pace.GRACE_S
