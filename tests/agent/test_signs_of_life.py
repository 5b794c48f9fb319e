"""An agent's own threads: they send what waits, give signs of life, and end; a host pays for nothing else."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestr.agent import light_threading, wire
from orchestr.agent.serve import Agent
from tests.waiting import HANG_S


class Line:
    """The two ends of an agent's line: what it reads, and the messages it sent."""

    def __init__(self) -> None:
        self.incoming: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.sent: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        read = self.incoming.get
        self.agent = Agent(lambda size: read(), self._write, {"run": "r"}, gather_facts=dict, on_lost=lambda: None)
        self._decoder = wire.Decoder()

    def _write(self, data: bytes) -> None:
        self._decoder.feed(data)
        for _, payload in iter(self._decoder.next_frame, None):
            self.sent.put(wire.decode(payload))

    def serve(self) -> threading.Thread:
        thread = threading.Thread(target=self.agent.serve, daemon=True)
        thread.start()
        assert self.sent.get(timeout=HANG_S)["type"] == "hello"
        return thread


def test_what_waits_for_company_leaves_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of some messages in quick succession is sent though nothing follows it, not even a sign of life."""
    monkeypatch.setattr(wire, "BEAT_S", 1000.0)
    line = Line()
    line.serve()
    for number in range(3):
        line.agent.line.send({"type": "output", "task": str(number), "text": ""})
    assert [line.sent.get(timeout=HANG_S)["task"] for _ in range(3)] == ["0", "1", "2"]


def test_an_agent_with_nothing_to_say_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence never lasts longer than the time between two heartbeats."""
    monkeypatch.setattr(wire, "BEAT_S", 0.02)
    line = Line()
    line.serve()
    assert [line.sent.get(timeout=HANG_S)["type"] for _ in range(3)] == ["beat"] * 3


def test_an_idle_agent_sleeps_until_a_sign_of_life_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two heartbeats none of its threads wakes up: each waits for a reason as long as there can be none."""
    waits: list[float] = []
    event_wait = light_threading.Event.wait

    def wait(event: light_threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() in own:
            waits.append(timeout if timeout is not None else float("inf"))
            told.release()
        return event_wait(event, timeout)

    own: set[threading.Thread] = set()
    told = threading.Semaphore(0)
    monkeypatch.setattr(light_threading.Event, "wait", wait)
    line = Line().agent.line
    for work in (line.beat, line.watch):
        thread = threading.Thread(target=work, daemon=True)
        own.add(thread)
        thread.start()
    assert all(told.acquire(timeout=HANG_S) for _ in range(2))
    assert min(waits) > wire.BEAT_S - 1
    line.end()


def test_threads_end_with_the_agent() -> None:
    """An agent that was told to stop leaves no thread that gives signs of life for it, or waits for the others'."""
    line = Line()
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def telling(name: str) -> Callable[[], None]:
        work = getattr(line.agent.line, name)

        def tell() -> None:
            work()
            ended.put(name)

        return tell

    for name in ("beat", "watch"):
        setattr(line.agent.line, name, telling(name))
    serving = line.serve()
    line.incoming.put(wire.encode({"type": "stop"}))
    assert {ended.get(timeout=HANG_S) for _ in range(2)} == {"beat", "watch"}
    serving.join(HANG_S)
    assert not serving.is_alive()
