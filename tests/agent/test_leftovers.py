"""What an agent that was killed left behind is gone after the next run, wherever that one works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestr.agent import door, filesystem, leftovers
from orchestr.agent.lock import directory_of_agents
from orchestr.agent.resource import Task
from orchestr.agent.serve import Agent
from orchestr.blobs import BlobStore
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory import ConnectionSettings
from orchestr.resources.files import Directory, File
from orchestr.transport.local import LocalConnection

KILLED = """
import os, signal, sys
from orchestr.agent import door, filesystem

def content():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)

door.notes_directory = sys.argv[1]
filesystem.symlink_atomically("x", sys.argv[2] + "/link")
filesystem.write_atomically(sys.argv[2] + "/file", content(), 0o600, -1, -1)
"""


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "agents" / "unfinished"
    monkeypatch.setattr(door, "notes_directory", str(folder))
    yield folder
    door.discard_notes()


@pytest.fixture
def left(tmp_path: Path, notes: Path) -> Path:
    """A directory with the half of a file whose agent was killed."""
    (tmp_path / "one").mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(notes), str(tmp_path / "one")], check=False)
    assert done.returncode == -9
    assert sorted(name[:10] for name in os.listdir(tmp_path / "one")) == [".orchestr-", "link"]
    return tmp_path / "one"


def run(*tasks: Task, check: bool = False) -> None:
    """Have an agent do these tasks, and end."""
    agent = Agent(lambda size: b"", lambda data: None, {"run": "r"}, gather_facts=dict)
    agent.answer({"type": "tasks", "tasks": list(tasks), "check": check})
    assert not agent.answer({"type": "stop"})


def directory_task(path: Path) -> Task:
    return Task(Directory(str(path), mode=path.stat().st_mode & 0o777, owner=str(os.getuid()), group=str(os.getgid())))


def test_a_run_that_writes_nothing_removes_it(left: Path, tmp_path: Path, notes: Path) -> None:
    """It only looks at another directory; the notes are gone with it."""
    run(directory_task(tmp_path))
    assert os.listdir(left) == ["link"] and not notes.exists()


def test_a_dry_run_leaves_it(left: Path, tmp_path: Path, notes: Path) -> None:
    """Nothing is changed, not even this."""
    run(directory_task(tmp_path), check=True)
    assert len(os.listdir(left)) == 2 and notes.exists()


def test_it_goes_whosever_it_has_become(left: Path, tmp_path: Path) -> None:
    """An agent may be killed after it gave the file its owner."""
    for path in left.iterdir():
        os.chown(path, 4242 if os.geteuid() == 0 else -1, -1, follow_symlinks=False)
    run(directory_task(tmp_path))
    assert os.listdir(left) == ["link"]


def test_notes_go_with_the_agent(tmp_path: Path, notes: Path) -> None:
    """One that ends by itself leaves nothing to read to the next, for which looking is one call."""
    agent = Agent(lambda size: b"", lambda data: None, {"run": "r"}, gather_facts=dict)
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    for name in ("a", "b"):
        agent.answer({"type": "tasks", "tasks": [Task(File(str(tmp_path / name), "x", **owner))]})
    (noted,) = notes.iterdir()
    assert noted.stat().st_mode & 0o777 == 0o600 and notes.stat().st_mode & 0o777 == 0o700
    assert noted.read_bytes().count(b"\0") == 2
    agent.answer({"type": "stop"})
    assert not notes.exists()


def test_temporaries_of_an_agent_at_work_stay(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another agent of the same host, without its lock, may still write."""
    notes.mkdir(parents=True)
    (tmp_path / ".orchestr-1-00ff").touch()
    (notes / "1").write_bytes(os.fsencode(tmp_path / ".orchestr-1-00ff") + b"\0")
    monkeypatch.setattr(leftovers, "is_agent", lambda pid: pid == "1")
    run(directory_task(tmp_path))
    assert (tmp_path / ".orchestr-1-00ff").exists() and (notes / "1").exists()
    monkeypatch.undo()
    monkeypatch.setattr(door, "notes_directory", str(notes))
    run(directory_task(tmp_path))  # of number 1 is another program here
    assert not (tmp_path / ".orchestr-1-00ff").exists() and not notes.exists()


def test_a_number_that_is_used_again_is_no_other_agent(tmp_path: Path, notes: Path) -> None:
    """An agent with the process id of one that was killed takes its notes for old."""
    notes.mkdir(parents=True)
    (tmp_path / ".orchestr-1-00ff").touch()
    (notes / str(os.getpid())).write_bytes(os.fsencode(tmp_path / ".orchestr-1-00ff") + b"\0")
    run(directory_task(tmp_path))
    assert not (tmp_path / ".orchestr-1-00ff").exists() and not notes.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root is the one who is led astray")
def test_a_user_leads_the_cleaning_nowhere(tmp_path: Path, notes: Path) -> None:
    """Nothing goes behind a link that took a directory's place, nor anything that is no temporary."""
    notes.mkdir(parents=True)
    for name in ("roots", "users"):
        (tmp_path / name).mkdir()
    (tmp_path / "roots" / ".orchestr-1-00ff").touch()
    (tmp_path / "roots" / "file").touch()
    (tmp_path / "users" / "link").symlink_to("../roots")
    os.chown(tmp_path / "users", 4242, 4242)
    paths = [tmp_path / "users" / "link" / ".orchestr-1-00ff", tmp_path / "roots" / "file"]
    (notes / "999999999").write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
    run(directory_task(tmp_path))
    assert sorted(os.listdir(tmp_path / "roots")) == [".orchestr-1-00ff", "file"] and not notes.exists()


def test_without_room_for_notes_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a help for the next run, and no reason to fail in this one."""
    monkeypatch.setattr(door, "notes_directory", "/proc/self/unfinished")
    filesystem.write_atomically(str(tmp_path / "file"), [b"x"], 0o600, -1, -1)
    assert os.listdir(tmp_path) == ["file"]


def test_an_agent_on_a_host_removes_it(tmp_path: Path) -> None:
    """The module that does it is sent to the agent, which did not bring it along."""
    own, temporary = Path(directory_of_agents(), "unfinished"), tmp_path / ".orchestr-1-00ff"
    own.mkdir(parents=True, exist_ok=True)
    (own / "999999999").write_bytes(os.fsencode(temporary) + b"\0")
    temporary.touch()
    settings = ConnectionSettings(address="localhost", connection="local", python=sys.executable)
    session = Session("here", settings, lambda settings: LocalConnection(), SessionOptions("run"), BlobStore())
    try:
        session.open()
        session.run_tasks([directory_task(tmp_path)], check=False, on_message=lambda message: None)
    finally:
        session.close()
    assert not temporary.exists() and not (own / "999999999").exists()
