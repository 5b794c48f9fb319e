"""A slow start of an agent is told with the stage that took long, and with sudo's own words."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from orchestr import events
from orchestr.engine import start_pace
from orchestr.engine.start_errors import MARKS
from orchestr.engine.start_pace import TimedStart
from orchestr.inventory import ConnectionSettings
from orchestr.reports.lines import Wording

SETTINGS = ConnectionSettings("web", user="deploy", become=True, python="/usr/bin/python3.13")
PROMPT = b"orchestr-0123456789abcdef:"
SHELL, SUDO, PYTHON = (f"\n{mark}\n".encode() for mark in MARKS.values())


class Script:
    """A channel that says one piece after the other, each when a clock of its own has gone on."""

    def __init__(self, pieces: Sequence[tuple[float, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
        self._pieces = list(pieces)
        self._now_s = 1000.0
        monkeypatch.setattr(start_pace, "time", SimpleNamespace(monotonic=lambda: self._now_s))

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        wait_s, data = self._pieces.pop(0)
        self._now_s += wait_s
        return data

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return 3


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([(0.1, SHELL), (2.0, SUDO), (0.2, PYTHON), (0.5, b"nonce")], ""),
        ([(5.0, b"Welcome" + SHELL), (0.5, SUDO), (0.2, PYTHON)], "the login shell took 5.0 s"),
        ([(0.1, SHELL), (0.5, SUDO), (8.0, PYTHON)], "/usr/bin/python3.13 took 8.0 s"),
        ([(0.1, SHELL), (0.5, SUDO), (0.2, PYTHON), (7.0, b"nonce")], "the agent took 7.0 s"),
        ([(0.1, SHELL), (9.0, SUDO + PYTHON)], "sudo took 9.0 s: try it there: time sudo -n true"),
        ([(0.1, SHELL), (9.0, PROMPT), (0.0, b"sudo: ldap_bind: no answer\n" + SUDO), (0.0, PYTHON)],
         "sudo took 9.0 s: sudo: ldap_bind: no answer"),
    ],
    ids=["quick", "login", "python", "agent", "sudo", "sudo's words"],
)  # fmt: skip
def test_the_stage_that_took_longest_is_told(
    pieces: list[tuple[float, bytes]], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only from three seconds on, and whatever else the host printed."""
    timed = TimedStart(Script(pieces, monkeypatch), SETTINGS)
    for _ in pieces:
        timed.read(65536)
    slowest = timed.slowest()
    assert slowest.startswith(expected) and bool(slowest) == bool(expected)
    assert timed.exit_status() == 3


def test_marks_are_found_across_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark cut by a read, and sudo's warning before it: cause and next step are named."""
    warning = b"sudo: unable to resolve host web: Name or service not known\n"
    pieces = [(0.1, SHELL[:5]), (0.0, SHELL[5:]), (10.0, warning), (0.0, SUDO[:9]), (0.1, SUDO[9:]), (0.1, PYTHON)]
    timed = TimedStart(Script(pieces, monkeypatch), SETTINGS)
    for _ in pieces:
        timed.read(65536)
    assert timed.slowest().startswith("sudo took 10.1 s: it does not find the address of the host's own name; add")
    assert "/etc/hosts" in timed.slowest()


def test_v_shows_it() -> None:
    """With -v the line about the connection has it; a quick start has no more than its time."""
    slow, quick = events.HostConnected("web", 10.4, "sudo took 10.1 s: why"), events.HostConnected("web", 0.4)
    [line] = Wording(1).lines(slow)
    assert line.text.endswith("in 10.40 s: sudo took 10.1 s: why")
    [line] = Wording(1).lines(quick)
    assert line.text.endswith("in 0.40 s")
    assert list(Wording(0).lines(slow)) == []
