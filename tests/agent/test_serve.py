"""The agent's loop and what leaves it: redaction, lock, end of the controller, blobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import filesystem, process
from orchestr.agent.lock import HostLock
from orchestr.agent.resource import Task
from orchestr.agent.system import CommandFailed, System
from orchestr.blobs import BlobStore
from orchestr.engine.session import Session, SessionOptions
from orchestr.errors import AgentError, UnreachableError
from orchestr.inventory import ConnectionSettings
from orchestr.resources.commands import Command
from orchestr.resources.files import Blob, File
from orchestr.secret import Secret
from orchestr.transport.local import LocalConnection
from tests.waiting import HANG_S, wait_until

LOCAL = ConnectionSettings(address="localhost", connection="local")


@pytest.fixture
def session() -> Any:
    session = Session("here", LOCAL, lambda settings: LocalConnection(), SessionOptions("run"), BlobStore())
    session.open()
    yield session
    session.close()


def results(session: Session, *tasks: Task, check: bool = False) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    session.run_tasks(tasks, check=check, on_message=messages.append)
    return [message for message in messages if message["type"] == "result"]


def owned(path: Path, content: Any, **options: Any) -> File:
    return File(str(path), content=content, owner=str(os.getuid()), group=str(os.getgid()), **options)


def test_secret_in_a_commands_output_is_hidden(session: Session) -> None:
    """A secret of this run never leaves the host again, not even in what a failing command prints."""
    task = Task(Command(("sh", "-c", "read x; echo leaked $x >&2; exit 3"), input=Secret("canary-77\n", ["canary-77"])))
    (result,) = results(session, task)
    assert result["verdict"] == "failed"
    assert "canary" not in json.dumps(result)
    assert "leaked ‹secret›" in result["error"]["stderr"]


def test_children_get_no_stdin_and_their_own_group(session: Session) -> None:
    """A command reads an end of file, not the controller's frames, and leads its own process group."""
    task = Task(Command(("sh", "-c", 'cat; test "$(ps -o pgid= -p $$ | tr -d " ")" = $$'), check_exit=True))
    assert results(session, task)[0]["verdict"] == "changed"


def test_large_content_comes_by_digest_once(tmp_path: Path) -> None:
    """A blob larger than the window arrives whole, and is not sent again when the host has it."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(9_000_000))
    store = BlobStore()
    blob = store.add_file(source)
    session = Session("here", LOCAL, lambda settings: LocalConnection(), SessionOptions("run"), store)
    session.open()
    target = tmp_path / "target"
    assert results(session, Task(owned(target, blob)))[0]["verdict"] == "changed"
    assert target.read_bytes() == source.read_bytes()
    source.unlink()
    assert results(session, Task(owned(target, blob)))[0]["verdict"] == "ok"
    session.close()


def test_a_transfer_given_up_does_not_spoil_the_next(tmp_path: Path) -> None:
    """What is still on its way of content that could not be written is not taken for other content."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(os.urandom(3_000_000))
    second.write_bytes(os.urandom(3_000_000))
    store = BlobStore()
    blobs = store.add_file(first), store.add_file(second)
    session = Session("here", LOCAL, lambda settings: LocalConnection(), SessionOptions("run"), store)
    session.open()
    (tmp_path / "limited").mkdir()
    wrong = Blob(blobs[0].sha256, 1_000_000)  # its end comes early, and the digest does not fit
    assert results(session, Task(owned(tmp_path / "limited" / "a", wrong)))[0]["verdict"] == "failed"
    assert results(session, Task(owned(tmp_path / "limited" / "b", blobs[1])))[0]["verdict"] == "changed"
    assert (tmp_path / "limited" / "b").read_bytes() == second.read_bytes()
    session.close()


def test_two_names_of_one_machine_share_its_lock(tmp_path: Path) -> None:
    """A run that reaches the same machine by two names is not locked out by itself."""
    path = str(tmp_path / "lock")
    first = HostLock({"who": "li", "run": "r2"}, path)
    assert first.acquire(0)
    assert HostLock({"who": "li", "run": "r2"}, path).acquire(0)
    assert not HostLock({"who": "li", "run": "r3"}, path).acquire(0)


def test_content_that_cannot_be_had_fails_the_task_only(session: Session, tmp_path: Path) -> None:
    """A blob nobody has is a failed task; the agent lives on and nothing was written."""
    missing, after = tmp_path / "missing", tmp_path / "after"
    first, second = Task(owned(missing, Blob("ab" * 32, 10)), id="1"), Task(owned(after, "x"), id="2")
    assert [result["verdict"] for result in results(session, first, second)] == ["failed", "skipped"]
    assert list(tmp_path.iterdir()) == []
    assert results(session, second)[0]["verdict"] == "changed"


def test_what_lasts_is_announced_and_what_was_fine_before_it_is_told(session: Session, tmp_path: Path) -> None:
    """A task at work is told of while it is, after the results of those before it; one that is done at once is not."""
    go, there = tmp_path / "go", tmp_path / "there"
    there.write_text("x")
    quick = [Task(owned(there, "x"), id=str(number)) for number in range(3)]
    slow = Task(Command(("sh", "-c", f"until test -e {go}; do sleep 0.02; done")), id="slow", timeout_s=30)
    told: list[tuple[str, str]] = []

    def listen(message: dict[str, Any]) -> None:
        told.append((message["type"], message["task"]))
        if told[-1] == ("started", "slow"):
            go.touch()

    results(session, *quick)  # what it takes to look at a file has come
    session.run_tasks([*quick, slow, *quick], check=False, on_message=listen)
    ended = [task for kind, task in told if kind == "result"]
    assert ended == ["0", "1", "2", "slow", "0", "1", "2"]
    assert told.index(("started", "slow")) == told.index(("result", "slow")) - 1


def test_damaged_content_is_refused(session: Session, tmp_path: Path) -> None:
    """Content whose digest differs from the promised one never takes the file's place."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("genuine")
    blob = session._upload._blobs.add_file(source)  # type: ignore[union-attr]
    source.write_text("forged!")
    target.write_text("before")
    (result,) = results(session, Task(owned(target, blob)))
    assert "damaged" in result["error"]["message"]
    assert target.read_text() == "before"


def test_a_lock_is_held_by_one_and_names_its_holder(tmp_path: Path) -> None:
    """Who comes second is told who came first; when the first ends the lock is free."""
    path = str(tmp_path / "run" / "lock")
    first, second = HostLock({"who": "li"}, path), HostLock({"who": "wang"}, path)
    assert first.acquire(0)
    assert not second.acquire(0)
    assert second.holder() == {"who": "li"}
    first.release()
    assert second.acquire(0)
    assert second.holder() == {"who": "wang"}


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    """A holder that is killed leaves no lock behind."""
    path = str(tmp_path / "lock")
    code = (
        "import sys, time; from orchestr.agent.lock import HostLock;"
        "print(HostLock({}, sys.argv[1]).acquire(0), flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    mine = HostLock({}, path)
    assert not mine.acquire(0)
    child.kill()
    child.wait()
    assert mine.acquire(5)


def test_command_over_its_time_is_killed_with_its_children() -> None:
    """A time-out ends the whole process group, grandchildren included."""
    with pytest.raises(CommandFailed, match="without finishing"):
        System().run(["sh", "-c", "sleep 4321 & sleep 4321"], timeout_s=0.3)
    wait_until(lambda: subprocess.run(["pgrep", "-f", "sleep 4321"], stdout=subprocess.DEVNULL).returncode == 1)


def test_daemon_that_keeps_the_output_open_does_not_hang_the_command() -> None:
    """A command has ended when it ends, even if a daemon it started still holds its output."""
    done = System().query(["sh", "-c", "setsid sleep 4323 & echo $!"], timeout_s=30)
    os.kill(int(done.stdout), 15)  # it is still there: nobody waited for its end


def test_missing_program_is_exit_127() -> None:
    """A program that is not installed is a status like in a shell, not an exception."""
    assert System().query(["no-such-program-here"]).exit == 127


def test_large_input_and_output_do_not_deadlock() -> None:
    """Megabytes both ways pass through a command."""
    data = b"x" * 3_000_000
    assert len(System().run(["cat"], input=data).stdout) == len(data)


def test_interrupted_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """When content stops coming the old file stays and no temporary remains."""
    target = tmp_path / "file"
    target.write_text("old")

    def broken() -> Any:
        yield b"half"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        filesystem.write_atomically(str(target), broken(), 0o644, os.getuid(), os.getgid())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


def test_nothing_is_kept_of_a_file_that_is_replaced(session: Session, tmp_path: Path) -> None:
    """An old secret is gone from the host once a new one is in its place; the agent makes no copy anywhere."""
    target = tmp_path / "file"
    target.write_text("canary-before")
    results(session, Task(owned(target, "after")))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    kept = [path for path in Path("/var/lib/orchestr").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"canary-before" in path.read_bytes()]


def test_a_secret_file_is_never_readable_by_others(tmp_path: Path) -> None:
    """The temporary a file is written through is 0600 from its first byte."""
    seen: list[int] = []

    def content() -> Any:
        (temporary,) = tmp_path.iterdir()
        seen.append(temporary.stat().st_mode & 0o777)
        yield b"secret"

    filesystem.write_atomically(str(tmp_path / "f"), content(), 0o640, os.getuid(), os.getgid())
    assert seen == [0o600]
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_no_python_is_a_clear_error() -> None:
    """An interpreter that is not there is named, with what installs it."""
    settings = ConnectionSettings(address="localhost", connection="local", python="/usr/bin/python3.77")
    with pytest.raises(AgentError) as caught:
        Session("here", settings, lambda each: LocalConnection(), SessionOptions("run")).open()
    assert "/usr/bin/python3.77" in caught.value.message
    assert "apt-get install" in caught.value.next_step


def test_a_command_that_ended_before_it_read_is_told_by_its_words() -> None:
    """Even when its input can no longer be written, what a command said decides the error."""

    class Ended:
        def __init__(self) -> None:
            self.said = [b"bash: python3: command not found\n", b""]

        def read(self, size: int, timeout_s: float | None = None) -> bytes:
            return self.said.pop(0)

        def write(self, data: bytes) -> None:
            raise UnreachableError("ended and takes no more input")

        def exit_status(self, timeout_s: float = 1.0) -> int:
            return 127

        def close(self) -> None:
            pass

    class Connection:
        def start(self, command: Any) -> Any:
            return Ended()

        def close(self) -> None:
            pass

    with pytest.raises(AgentError, match="no python3"):
        Session("here", LOCAL, lambda each: Connection(), SessionOptions("run")).open()


def test_kill_all_ends_running_groups() -> None:
    """When the controller is lost, what runs is ended with its group."""
    import threading

    thread = threading.Thread(target=lambda: process.run(["sleep", "4322"], b"", {"PATH": "/bin:/usr/bin"}, 60, 100))
    thread.start()
    wait_until(lambda: subprocess.run(["pgrep", "-f", "sleep 4322"], stdout=subprocess.DEVNULL).returncode == 0)
    process.kill_all()
    thread.join(HANG_S)
    assert not thread.is_alive()
