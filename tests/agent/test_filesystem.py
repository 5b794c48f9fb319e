"""Writing files: what is left behind when the agent has to go in the middle of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import door, filesystem, leftovers
from tests.waiting import HANG_S, wait_until

A_MOMENT_S = 0.2  # in which a thread that is not held up would have run to its end


@pytest.mark.parametrize("maker", ["open", "symlink"])
def test_no_temporary_escapes_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: str) -> None:
    """A temporary made in the very moment the controller is lost is known to what removes the unfinished ones."""
    monkeypatch.setattr(door, "beginning", threading.Lock())
    make, rename = getattr(os, maker), os.rename
    noted: list[set[tuple[int, str]]] = []
    is_over = threading.Event()

    def rename_when_over(*names: str, **options: Any) -> None:
        assert is_over.wait(HANG_S)
        rename(*names, **options)

    def end() -> None:
        door.begin_no_more()
        noted.append(set(door.unfinished))
        is_over.set()

    def make_while_it_ends(*words: Any, **options: Any) -> Any:
        made = make(*words, **options)
        if any(leftovers.PREFIX in str(word) for word in words):
            threading.Thread(target=end).start()
            is_over.wait(A_MOMENT_S)
        return made

    monkeypatch.setattr(os, maker, make_while_it_ends)
    if maker == "open":
        filesystem.write_atomically(str(tmp_path / "file"), _chunks(is_over), 0o600, -1, -1)
    else:
        monkeypatch.setattr(os, "rename", rename_when_over)
        filesystem.symlink_atomically("target", str(tmp_path / "link"))
    assert len(noted[0]) == 1


def _chunks(is_over: threading.Event) -> Iterator[bytes]:
    is_over.wait(HANG_S)
    yield b"content"


def test_nothing_begins_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the agent is to end, a write that has not begun does not begin any more."""
    monkeypatch.setattr(door, "beginning", threading.Lock())
    door.begin_no_more()
    late = threading.Thread(
        target=filesystem.write_atomically, args=(str(tmp_path / "file"), [b""], 0o600, -1, -1), daemon=True
    )
    late.start()
    late.join(A_MOMENT_S)
    assert late.is_alive()
    assert list(tmp_path.iterdir()) == []
    door.beginning.release()
    late.join(5)


def test_a_number_that_another_program_has_by_now_keeps_nothing(tmp_path: Path) -> None:
    """The process of that number is no agent: what has its number was left by one that was killed."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        (tmp_path / f".orchestr-{other.pid}-00ff").touch()
        wait_until(lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
        filesystem.write_atomically(str(tmp_path / "file"), [b"x"], 0o600, -1, -1)
        other.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


KILLED = """
import os, signal, sys
from orchestr.agent import filesystem

def content():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)

filesystem.write_atomically(sys.argv[1], content(), 0o600, -1, -1)
"""


def test_a_write_that_was_killed_leaves_nothing_behind_the_next_one(tmp_path: Path) -> None:
    """SIGKILL in the middle of a write leaves its temporary, and the next run's write to the file removes it."""
    target = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert done.returncode == -9
    assert [path.name[:10] for path in tmp_path.iterdir()] == [".orchestr-"]
    filesystem.write_atomically(str(target), [b"x"], 0o600, -1, -1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_agent_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    """Only temporaries of processes that are no more go; one at work, and files of others, stay."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = [f".orchestr-{gone.pid}-00ff", f".orchestr-{os.getpid()}-00ff", ".orchestr-notes", "file"]
    for name in names:
        (tmp_path / name).touch()
    filesystem.write_atomically(str(tmp_path / "file"), [b"x"], 0o600, -1, -1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
