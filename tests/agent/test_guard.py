"""The dead man's switch: a change stays only when the controller is seen to get in after it, whatever else happens.

Run with the real shell and the detached fallback, in a directory of the test's; the systemd timer is proven on the lab.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import guard, process, unconfirmed
from orchestr.agent.system import CommandFailed, System
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.agent.test_door import DAEMON_WRITES, set_acl
from tests.waiting import wait_until


class HereSystem(System):
    """This machine without systemd, all that is written belonging to whoever runs the tests."""

    def __init__(self, is_reached: bool = True) -> None:
        self.asked: list[float] = []
        self.is_reached = is_reached
        super().__init__(confirm=self.ask)

    def ask(self, window_s: float) -> bool:
        self.asked.append(window_s)
        return self.is_reached

    def stat(self, path: str) -> Any:
        return None if path == "/run/systemd/system" else super().stat(path)

    def write_bytes(self, path: str, data: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        super().write_bytes(path, data, mode=mode, uid=os.getuid(), gid=os.getgid())

    def make_directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        super().make_directory(path, mode=mode, uid=os.getuid(), gid=os.getgid())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a file that will change; guards go to ``guards`` beside it."""
    for module in (guard, unconfirmed):
        monkeypatch.setattr(module, "DIRECTORY", str(tmp_path / "guards"))
    (tmp_path / "rules").write_text("old\n")
    (tmp_path / "rules").chmod(0o660)
    return tmp_path


def undo_in(place: Path) -> guard.Undo:
    """Put ``rules`` back, take ``new`` away, and note what the commands were given."""
    noted = ("tee", str(place / "it's noted"))
    return guard.Undo([str(place / "rules"), str(place / "new")], [(("false",), b""), (noted, b"from $stdin\n")])


def change(place: Path) -> None:
    (place / "rules").write_text("changed\n")
    (place / "new").write_text("new\n")


def is_undone(place: Path) -> bool:
    return (place / "it's noted").exists() and not guards(place)


def guards(place: Path) -> list[str]:
    folder = place / "guards"
    return sorted(os.listdir(folder)) if folder.exists() else []


def assert_undone(place: Path) -> None:
    assert (place / "rules").read_text() == "old\n"
    assert (place / "rules").stat().st_mode & 0o777 == 0o660
    assert not (place / "new").exists()
    assert (place / "it's noted").read_text() == "from $stdin\n"
    assert guards(place) == []


def waiting(place: Path) -> int:
    """Return the process that waits to undo."""
    return int((place / "guards" / guards(place)[0] / "pid").read_text())


def assert_ends(pid: int) -> None:
    """A killed process is gone, or waits for a parent to be told."""

    def has_ended() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(has_ended)


def test_a_confirmed_change_stays_and_leaves_nothing_behind(place: Path) -> None:
    """Reached within the window: files as changed, no process, no directory; the agent waited less than the host."""
    system = HereSystem()
    with guard.arm(system, undo_in(place), 30, "this"):
        change(place)
        pid = waiting(place)
    assert (place / "rules").read_text() == "changed\n" and (place / "new").exists()
    assert guards(place) == []
    assert_ends(pid)
    assert 0 < system.asked[0] <= 29


def test_an_unconfirmed_change_is_undone_before_the_error(place: Path) -> None:
    """Not reached: contents, modes, absence and commands as before, and the error says that the host undid it."""
    with (
        pytest.raises(guard.LockedOut, match=r"this would have locked the controller out.*the host undid it"),
        guard.arm(HereSystem(is_reached=False), undo_in(place), 30, "this"),
    ):
        change(place)
    assert_undone(place)


def test_a_change_that_fails_half_way_is_undone(place: Path) -> None:
    """The error of the change itself is the one that is raised, and nothing of it stays."""
    system = HereSystem()
    with pytest.raises(CommandFailed), guard.arm(system, undo_in(place), 30, "this"):
        change(place)
        system.run(["false"])
    assert_undone(place)
    assert system.asked == [], "nobody needs to be asked about what failed"


@pytest.mark.parametrize("has_python", [True, False])
def test_an_acl_and_attributes_come_back(place: Path, monkeypatch: pytest.MonkeyPatch, has_python: bool) -> None:
    """One user is let in by the ACL, the group is not: before, after, and with nothing to set the ACL with."""
    rules = place / "rules"
    set_acl(rules, DAEMON_WRITES)
    os.setxattr(rules, "user.note", b"\0kept")
    if not has_python:
        monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    with pytest.raises(guard.LockedOut), guard.arm(HereSystem(is_reached=False), undo_in(place), 30, "this"):
        rules.unlink()
        change(place)
    assert rules.read_text() == "old\n"
    if has_python:
        assert os.getxattr(rules, "system.posix_acl_access") == DAEMON_WRITES
        assert os.getxattr(rules, "user.note") == b"\0kept"
        assert rules.stat().st_mode & 0o777 == 0o660
    else:
        assert rules.stat().st_mode & 0o777 == 0o600, "the group's bits of an ACL are no right of the group"


def test_the_host_undoes_by_itself_when_nobody_is_left(place: Path) -> None:
    """The agent is gone after the change: the detached process undoes it when the window is over."""
    guard._make_switch(HereSystem(), undo_in(place), 1)
    change(place)
    wait_until(lambda: is_undone(place))
    assert_undone(place)


def test_a_confirmation_after_the_host_began_to_undo_is_too_late(place: Path) -> None:
    """Script and agent cannot both win: once it is being undone, the change does not count as made."""
    system = HereSystem()
    with pytest.raises(guard.LockedOut), guard.arm(system, undo_in(place), 30, "this"):
        change(place)
        pid = waiting(place)
        system.run(["/bin/sh", f"{place}/guards/{guards(place)[0]}/undo"])
    assert_undone(place)
    assert_ends(pid)


def test_the_next_run_undoes_what_a_dead_one_left(place: Path) -> None:
    """An armed switch is seen by looking, and settled before its window is over."""
    system = HereSystem()
    guard._make_switch(system, undo_in(place), 600)
    pid = waiting(place)
    change(place)
    assert guard.pending(system) == (f"{place}/guards/{guards(place)[0]}",)
    guard.undo_unconfirmed(system)
    assert_undone(place)
    assert guard.pending(system) == ()
    assert_ends(pid)


def test_what_was_confirmed_is_not_pending(place: Path) -> None:
    """An agent that died just after the confirmation left a directory, not a doubt; the timer undoes nothing."""
    system = HereSystem()
    switch = guard._make_switch(system, undo_in(place), 600)
    change(place)
    assert guard._claim(system, switch)
    assert guard.pending(system) == ()
    for name in ("undo", "confirmed"):
        system.run(["/bin/sh", f"{switch.directory}/{name}"], check=False)
    assert (place / "rules").read_text() == "changed\n"
    guard._discard(system, switch)


def test_an_undoing_that_was_cut_off_is_finished(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of its work, the script is run again by the next run, from the start."""
    system = HereSystem()
    monkeypatch.setattr(system, "sleep", lambda seconds: None)
    monkeypatch.setattr(system, "monotonic", iter(range(0, 10**6, 10)).__next__)
    switch = guard._make_switch(system, undo_in(place), 600)
    change(place)
    (place / "guards" / guards(place)[0] / "undo").rename(f"{switch.directory}/undoing")
    guard.undo_unconfirmed(system)
    assert_undone(place)


def test_losing_the_controller_does_not_stop_an_undoing(place: Path) -> None:
    """The agent takes its children along when it ends, but not the one that undoes: it works to its end, once."""
    system = HereSystem()
    noted = ("tee", "-a", str(place / "it's noted"))
    undo = guard.Undo([str(place / "rules"), str(place / "new")], [(noted, b"from $stdin\n"), (("sleep", "0.5"), b"")])
    guard._make_switch(system, undo, 600)
    change(place)
    settling = threading.Thread(target=guard.undo_unconfirmed, args=(system,))
    settling.start()
    wait_until((place / "it's noted").exists)
    process.kill_all()
    settling.join(60)
    assert_undone(place)


def test_the_snapshot_is_for_root_alone(place: Path) -> None:
    """Directory 0700, the script in it; nothing of the files shows in a command line."""
    switch = guard._make_switch(HereSystem(), undo_in(place), 600)
    assert Path(switch.directory).stat().st_mode & 0o777 == 0o700
    command = Path(f"/proc/{waiting(place)}/cmdline").read_bytes()
    assert b"rules" not in command and b"stdin" not in command
    guard._discard(HereSystem(), switch)


def test_nothing_is_changed_when_the_switch_cannot_be_armed() -> None:
    """No timer and no process: the block is not entered and no snapshot stays."""
    host = MemoryHost()
    system = MemorySystem(host, confirm=lambda window_s: True)
    with pytest.raises(CommandFailed), guard.arm(system, guard.Undo([], []), 30, "this"):
        raise AssertionError("entered")
    assert not [path for path in host.nodes if "guard-" in path]


def test_systemd_keeps_the_time_where_it_runs() -> None:
    """The timer is exact (by default systemd is up to a minute late) and is stopped once the change is confirmed."""
    host = MemoryHost(commands={("systemd-run",): "", ("mv",): "", ("systemctl", "stop"): ""})
    system = MemorySystem(host, confirm=lambda window_s: True)
    system.make_directory("/run/systemd/system")
    host.add_file("/usr/bin/systemd-run", "", 0o755)
    with guard.arm(system, guard.Undo([], []), 20, "this"):
        pass
    started, _, stopped = host.log
    unit = next(word for word in started if word.startswith("--unit=")).partition("=")[2]
    assert "--on-active=20.0s" in started and "--timer-property=AccuracySec=100ms" in started
    assert stopped == ("systemctl", "stop", unit + ".timer")
