"""A task that is over its time ends its agent, whatever it waits for; one that moves on is left alone."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from orchestr.agent import door, process, watch, wire
from orchestr.agent.resource import Action, Resource, Task, registered
from orchestr.agent.serve import Agent
from orchestr.agent.watch import Watch
from tests.waiting import HANG_S

_gates: dict[str, threading.Event] = {}


@dataclass(frozen=True)
@registered("test_hanging")
class Hanging(Action):
    """Waits in observing, as a system call does: nothing on this side can end it."""

    name: str
    patience_s: ClassVar[float] = 900.0

    @property
    def label(self) -> str:
        return self.name

    def is_done(self, reader: Any) -> bool:
        return _gates[self.name].wait(HANG_S)


@dataclass(frozen=True)
@registered("test_impatient")
class Impatient(Hanging):
    patience_s: ClassVar[float] = 0.1


@pytest.fixture(autouse=True)
def ends_alone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keep the end of an agent in this process from ending anything else of it."""
    monkeypatch.setattr(process, "_is_ending", False)
    monkeypatch.setattr(door, "beginning", threading.Lock())
    monkeypatch.setattr(watch, "OVERTIME_S", 0.05)
    yield
    for gate in _gates.values():
        gate.set()


def run(*tasks: Task) -> list[dict[str, Any]]:
    """Return all messages of an agent that is given these tasks, until it has ended or done them."""
    for task in tasks:
        _gates.setdefault(task.resource.label, threading.Event())
    incoming: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    lost = threading.Event()
    agent = Agent(lambda size: incoming.get(), sent.put, {"run": "r"}, gather_facts=dict, on_lost=lost.set)
    threading.Thread(target=agent.serve, daemon=True).start()
    incoming.put(wire.encode({"type": "tasks", "tasks": list(tasks)}))
    messages: list[dict[str, Any]] = []
    decoder = wire.Decoder()
    while not messages or messages[-1]["type"] != "done":
        decoder.feed(sent.get(timeout=HANG_S))
        messages += [wire.decode(payload) for _, payload in iter(decoder.next_frame, None)]
    agent.line.end()
    return [{"is_lost": lost.wait(HANG_S if "ended" in str(messages) else 0)}, *messages]


def test_a_task_that_hangs_ends_at_its_timeout() -> None:
    """The task has failed and says where the agent was; the ones after it are skipped, and the agent is gone."""
    messages = run(Task(Hanging("mount"), id="1", timeout_s=0.1), Task(Hanging("after"), id="2"))
    first, second = (message for message in messages if message.get("type") == "result")
    assert (first["task"], first["verdict"]) == ("1", "failed")
    assert "within its timeout_s of 0.1 s" in first["error"]["message"]
    assert "in is_done" in first["error"]["stderr"]
    assert "dmesg" in first["error"]["next_step"]
    assert (second["task"], second["verdict"], second["reason"]) == ("2", "skipped", "1 failed before it")
    assert messages[0]["is_lost"]


def test_a_resource_without_progress_ends_at_its_patience() -> None:
    """Without a timeout_s, the resource says how long it may be silent."""
    (result,) = (message for message in run(Task(Impatient("disk"), id="1")) if message.get("type") == "result")
    assert "no progress for 0 s" in result["error"]["message"]
    assert "patience_s" in result["error"]["next_step"]


def test_what_a_step_is_allowed_counts() -> None:
    """A command with a time limit of its own may use it up, silent, and what comes after it is as impatient again."""
    over: list[str] = []
    clock = Watch(over.append)
    clock.begin(Task(Impatient("x")))
    assert (clock.left_s() or 0) < 1
    clock.allow(3600.0)
    clock.allow(0.0)  # progress within it does not shorten it
    assert 3590 < (clock.left_s() or 0) < 3601
    clock.settle()
    assert (clock.left_s() or 0) < 1
    assert not clock.end()
    assert clock.left_s() is None


def test_a_timeout_is_not_put_off_by_progress() -> None:
    """``timeout_s`` bounds a task as a whole."""
    clock = Watch(lambda why: None)
    clock.begin(Task(Hanging("x"), timeout_s=10.0))
    clock.allow(3600.0)
    assert (clock.left_s() or 0) <= 10.05


@dataclass(frozen=True)
@registered("test_chatty")
class Chatty(Hanging):
    """Shows progress for ever, without a time limit of its task."""

    longest_s: ClassVar[float] = 0.1

    def is_done(self, reader: Any) -> bool:
        while not _gates[self.name].wait(0.01):
            reader.allow(3600.0)
        return True


def test_progress_for_ever_has_an_end() -> None:
    """Without a timeout_s the resource says how long it may take in all, and the next task is not begun."""
    messages = run(Task(Chatty("chatty"), id="1"), Task(Hanging("after"), id="2"))
    first, second = (message for message in messages if message.get("type") == "result")
    assert "within the 0.1 s that it may take without a timeout_s" in first["error"]["message"]
    assert (first["verdict"], second["verdict"]) == ("failed", "skipped") and messages[0]["is_lost"]


@dataclass(frozen=True)
@registered("test_gate")
class Gate(Hanging):
    timeout_s: float = 0.0
    wait_s: float = 0.0


def test_what_a_task_may_take_has_its_own_waits_in_it() -> None:
    """The time that the inventory gives it to wait comes on top, and the pauses between its attempts."""
    usual_s = Resource.longest_s
    assert watch.longest_of(Task(Gate("x"))) == usual_s
    assert watch.longest_of(Task(Gate("x", timeout_s=9e4))) == usual_s + 9e4
    assert watch.longest_of(Task(Gate("x", wait_s=5.0), retries=10, delay_s=60.0)) == usual_s + 605
    assert watch.longest_of(Task(Gate("x"), until=Gate("y", timeout_s=7.0))) == usual_s + 7
    assert watch.longest_of(Task(Gate("x", timeout_s=9e4), timeout_s=3.0, retries=9)) == 3.0


@pytest.mark.parametrize("resource", [Impatient("quick"), Hanging("quick")])
def test_tasks_in_time_are_left_alone(resource: Resource) -> None:
    """Tasks that end in time are reported as ever."""
    _gates["quick"] = threading.Event()
    _gates["quick"].set()
    messages = run(*(Task(resource, id=str(number)) for number in range(50)))
    assert [message["type"] for message in messages[1:]][-2:] == ["fine", "done"]
    assert not messages[0]["is_lost"]


def test_a_shorter_time_wakes_the_watch() -> None:
    """A task with little time after one with much is not waited for until the other's end."""
    why: queue.SimpleQueue[str] = queue.SimpleQueue()
    clock = Watch(why.put)
    threading.Thread(target=clock.watch, daemon=True).start()
    clock.begin(Task(Hanging("x")))
    assert not clock.end()
    clock.begin(Task(Hanging("x"), timeout_s=0.05))
    assert "0.05" in why.get(timeout=HANG_S)
    assert clock.end()
