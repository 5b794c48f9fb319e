"""How a run ends when not all goes well: interrupted, with lines that hang, with nowhere to record, with late words."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from orchestr import events
from orchestr.agent import wire
from orchestr.engine import fleet as fleet_module
from orchestr.engine.fleet import Fleet
from orchestr.engine.session import Session, SessionOptions
from orchestr.errors import AgentError, InputError, UnreachableError
from orchestr.inventory import ConnectionSettings, load_inventory
from orchestr.transport.memory import MemoryChannel, MemoryConnection, MemoryHost, memory_connector
from tests.unit.engine.conftest import Project, interrupt_when
from tests.waiting import HANG_S

SETTINGS = ConnectionSettings(address="a")


class Stalled(MemoryConnection):
    """A host whose line takes nothing any more once its agent runs."""

    def __init__(self, host: MemoryHost, is_stalled: threading.Event, never: threading.Event) -> None:
        super().__init__(host)
        self._is_stalled, self._never = is_stalled, never

    def start(self, command: Any) -> MemoryChannel:
        channel = super().start(command)
        write = channel.write

        def stall(data: bytes) -> None:
            if self._is_stalled.is_set():
                self._never.wait(HANG_S)
                raise UnreachableError("took no input")
            write(data)

        channel.write = stall  # type: ignore[method-assign]
        return channel


@pytest.fixture
def stalling(project: Project) -> Any:
    """A connector for which host a stalls; set the event to begin it."""
    is_stalled, never = threading.Event(), threading.Event()
    connect = memory_connector(project.hosts)

    def connector(settings: ConnectionSettings) -> Any:
        return Stalled(project.hosts["a"], is_stalled, never) if settings.address == "a" else connect(settings)

    yield connector, is_stalled
    never.set()


def test_a_line_that_hangs_does_not_keep_the_others_from_signs_of_life(
    project: Project, stalling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents that wait at a barrier hear from the controller while a write to another host is stuck."""
    connector, is_stalled = stalling
    monkeypatch.setattr(fleet_module, "BEAT_S", 0.02)
    heard = threading.Event()
    beat = Session.beat

    def listen(session: Session) -> None:
        beat(session)
        if session.host == "d" and is_stalled.is_set():
            heard.set()

    inventory = load_inventory(project.root / "inventories/all.yml")
    with Fleet(inventory, connector, lambda event: None, run="r") as fleet:
        fleet.open("abcd")
        is_stalled.set()
        monkeypatch.setattr(Session, "beat", listen)
        assert heard.wait(HANG_S)
        session = fleet.session("a")
        assert session is not None
        assert session._write_lock.locked()  # it is still stuck


def test_a_line_that_hangs_does_not_keep_the_user(
    project: Project, stalling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaving a fleet ends all other sessions, and waits for one that hangs only so long."""
    connector, is_stalled = stalling
    monkeypatch.setattr(fleet_module, "CLOSE_S", 0.2)
    inventory = load_inventory(project.root / "inventories/all.yml")
    with Fleet(inventory, connector, lambda event: None, run="r") as fleet:
        fleet.open("abcd")
        sessions = [fleet.session(name) for name in "bcd"]
        is_stalled.set()
    assert [session.is_open for session in sessions if session is not None] == [False] * 3


def test_a_session_closed_while_it_connects_leaves_nothing_open() -> None:
    """Ctrl-C during a slow connect: the agent that comes about afterwards is ended, not forgotten."""
    closed: list[str] = []

    class Late(MemoryConnection):
        def close(self) -> None:
            closed.append("connection")
            super().close()

    def connector(settings: ConnectionSettings) -> Any:
        session.close()  # what the main thread does meanwhile
        return Late(MemoryHost())

    session = Session("a", SETTINGS, connector, SessionOptions("r"))
    with pytest.raises(UnreachableError, match="ended while"):
        session.open()
    assert closed == ["connection"]


def test_why_an_agent_could_not_begin_is_told() -> None:
    """An agent that fails before its hello (a full disk under its lock) says why, and that is the error."""

    class Failing(MemoryChannel):
        def _serve(self, start: dict[str, Any]) -> None:
            self._from_agent.write(b"\n" + str(start["nonce"]).encode() + b"\n")
            self._from_agent.write(wire.encode({"type": "fatal", "message": "OSError: No space left on device"}))
            self._end()

    class Connection(MemoryConnection):
        def start(self, command: Any) -> MemoryChannel:
            return Failing(self._host)

    session = Session("a", SETTINGS, lambda settings: Connection(MemoryHost()), SessionOptions("r"))
    with pytest.raises(AgentError, match="No space left"):
        session.open()


def test_an_interrupt_is_no_failure_of_hosts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C hosts are not said to be unreachable because we left them, and RunFinished stays the last word."""
    reached = threading.Barrier(5)

    def wait(session: Session, tasks: Any, **options: Any) -> None:
        reached.wait(HANG_S)
        while not session._closed:  # as a read that ends when the session is closed
            time.sleep(0.005)
        raise UnreachableError("the connection ended in the middle of the run")

    monkeypatch.setattr(Session, "run_tasks", wait)
    interrupt_when(monkeypatch, lambda: reached.wait(HANG_S))
    result = project.run()
    assert result.exit_code == 130
    assert [(host.unreachable, host.errors) for host in result.hosts.values()] == [(False, [])] * 4
    assert isinstance(project.events[-1], events.RunFinished)


def test_a_fault_while_connecting_is_one_hosts(project: Project) -> None:
    """Whatever a transport raises for one host, the others go on; the run failed."""
    connect = memory_connector(project.hosts)

    def connector(settings: ConnectionSettings) -> Any:
        if settings.address == "b":
            raise ZeroDivisionError("in a library")
        return connect(settings)

    result = project.run(connector=connector)
    assert result.exit_code == 1
    assert [host.changed for host in result.hosts.values()] == [3, 0, 3, 3]
    assert result.hosts["b"].errors[0]["message"] == "ZeroDivisionError: in a library"


def test_hosts_that_wait_their_turn_are_not_connected_to_after_the_end(project: Project) -> None:
    """With fewer forks than hosts, leaving the fleet ends also what had not begun."""
    connected: list[str] = []
    is_waiting, go_on = threading.Event(), threading.Event()

    def connector(settings: ConnectionSettings) -> Any:
        connected.append(settings.address)
        is_waiting.set()
        go_on.wait(HANG_S)
        raise UnreachableError("too late")

    inventory = load_inventory(project.root / "inventories/all.yml")
    with Fleet(inventory, connector, lambda event: None, run="r", forks=1) as fleet:
        opening = threading.Thread(target=_ignoring(lambda: fleet.open("abcd")), daemon=True)
        opening.start()
        assert is_waiting.wait(HANG_S)
    go_on.set()
    opening.join(HANG_S)
    assert not opening.is_alive(), "whoever waits for hosts that were cancelled waits for ever"
    assert connected == ["a"]


def test_a_fleet_that_is_left_takes_up_nothing_more(project: Project) -> None:
    """What another thread asks of it then is cancelled, like all that waits its turn."""
    inventory = load_inventory(project.root / "inventories/all.yml")
    with Fleet(inventory, memory_connector(project.hosts), lambda event: None, run="r") as fleet:
        pass
    with pytest.raises(CancelledError):
        fleet.each("ab", len)


def _ignoring(work: Any) -> Any:
    def ignore() -> None:
        with contextlib.suppress(CancelledError):
            work()

    return ignore


def test_a_run_goes_on_when_it_cannot_be_recorded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the journal is told once; the hosts are brought to their state all the same."""
    monkeypatch.setattr("orchestr.engine.journal._write_all", _full_after(3))
    result = project.run()
    assert (result.exit_code, result.changed) == (0, 12)
    (note,) = project.of(events.Note)
    assert "No space left" in note.message


def test_nowhere_to_record_is_bad_input(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A state directory that cannot be made is named before anybody is connected to."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="can't be recorded") as caught:
        project.run()
    assert "ORCHESTR_STATE" in caught.value.next_step
    assert project.hosts["a"].log == []


def _full_after(times: int) -> Any:
    calls: list[bytes] = []

    def write(descriptor: int, data: bytes) -> None:
        calls.append(data)
        if len(calls) > times:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(descriptor, data)

    return write
