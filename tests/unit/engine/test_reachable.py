"""Proving to a host that it can still be reached anew, while a change of its firewall waits for that."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestr.agent.wire import ProtocolError
from orchestr.engine import reachability
from orchestr.engine.reachability import Reachability
from orchestr.errors import UnreachableError
from orchestr.inventory import ConnectionSettings
from orchestr.transport.memory import MemoryConnection, MemoryHost

SETTINGS = ConnectionSettings(address="10.0.0.1")


def told(failures: int, window_s: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the agent is told when the first ``failures`` connections do not come about."""
    monkeypatch.setattr(reachability, "PAUSE_S", 0.01)
    left = [failures]

    def connect(settings: ConnectionSettings) -> MemoryConnection:
        left[0] -= 1
        if left[0] >= 0:
            raise UnreachableError("10.0.0.1 refused the connection")
        return MemoryConnection(MemoryHost())

    sent: list[dict[str, Any]] = []
    Reachability(SETTINGS, connect, sent.append, lambda: True).prove(window_s)
    (message,) = sent
    return message


def test_a_first_attempt_that_is_dropped_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that is just starting may drop one connection; the window is there to try again."""
    assert told(3, 5.0, monkeypatch) == {"type": "confirm", "reached": True, "why": ""}


def test_the_agent_is_told_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no attempt gets through before the window closes, the reason goes into the host's own error."""
    message = told(10_000, 0.05, monkeypatch)
    assert not message["reached"]
    assert message["why"] == "10.0.0.1 refused the connection"


def test_one_question_at_a_time() -> None:
    """A host that asks again and again gets no thread and no connection for each."""
    asked, go_on = threading.Event(), threading.Event()
    connections: list[ConnectionSettings] = []

    def connect(settings: ConnectionSettings) -> MemoryConnection:
        connections.append(settings)
        asked.set()
        go_on.wait(10)
        return MemoryConnection(MemoryHost())

    proof = Reachability(SETTINGS, connect, lambda message: None, lambda: False)
    proof.begin(1.0)
    assert asked.wait(10)
    with pytest.raises(ProtocolError, match="second question"):
        proof.begin(1.0)
    go_on.set()
    assert len(connections) == 1


@pytest.mark.parametrize("window_s", [-1.0, 1e9])
def test_a_window_has_an_end(window_s: float) -> None:
    """A host cannot make the controller try for ever."""
    with pytest.raises(ProtocolError, match="window"):
        Reachability(SETTINGS, lambda _: MemoryConnection(MemoryHost()), lambda _: None, bool).begin(window_s)
