"""Proving to a host that it can still be reached anew, while a change of its firewall waits for that."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.engine import session as sessions
from orchestr.engine.session import Session, SessionOptions
from orchestr.errors import UnreachableError
from orchestr.inventory import ConnectionSettings
from orchestr.transport.memory import MemoryConnection, MemoryHost

SETTINGS = ConnectionSettings(address="10.0.0.1")


class Reaching(Session):
    """A session that is open, and keeps what it sends."""

    sent: list[dict[str, Any]]
    is_open = True

    def _send(self, message: dict[str, Any]) -> None:
        self.sent = [*getattr(self, "sent", []), message]


def told(failures: int, window_s: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the agent is told when the first ``failures`` connections do not come about."""
    monkeypatch.setattr(sessions, "REACH_PAUSE_S", 0.01)
    left = [failures]

    def connect(settings: ConnectionSettings) -> MemoryConnection:
        left[0] -= 1
        if left[0] >= 0:
            raise UnreachableError("10.0.0.1 refused the connection")
        return MemoryConnection(MemoryHost())

    session = Reaching("web", SETTINGS, connect, SessionOptions("run"))
    session._prove_reachable(window_s)
    (message,) = session.sent
    return message


def test_a_first_attempt_that_is_dropped_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that is just starting may drop one connection; the window is there to try again."""
    assert told(3, 5.0, monkeypatch) == {"type": "confirm", "reached": True, "why": ""}


def test_the_agent_is_told_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no attempt gets through before the window closes, the reason goes into the host's own error."""
    message = told(10_000, 0.05, monkeypatch)
    assert not message["reached"]
    assert message["why"] == "10.0.0.1 refused the connection"
