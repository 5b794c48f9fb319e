"""A command is started with nothing of the agent's but its directory, and ends with a status that says how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestr.agent import process
from orchestr.agent.child import Child
from orchestr.agent.system import System

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def said(*argv: str) -> str:
    status, out, err, _ = process.run(list(argv), b"", ENVIRONMENT, 20, 65536)
    assert (status, err) == (0, b"")
    return out.decode()


def test_a_command_leads_a_session_of_its_own() -> None:
    """Its process group is its own, so that all it starts can be ended with it."""
    pid, group, session = said("sh", "-c", "ps -o pid=,pgid=,sid= -p $$").split()
    assert pid == group == session


def test_a_command_inherits_no_descriptor() -> None:
    """Beside stdin from /dev/null and its two outputs a command holds nothing open, whatever the agent was left."""
    program = (
        "import os\n"
        "from orchestr.agent import child, process\n"
        "os.set_inheritable(os.open('/etc/passwd', os.O_RDONLY), True)\n"
        "child.keep_descriptors()\n"
        "for words in (['ls', '/proc/self/fd'], ['readlink', '/proc/self/fd/0']):\n"
        "    print(*process.run(words, b'', dict(os.environ), 20, 1000)[1].decode().split())\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert shown == "0 1 2 3\n/dev/null\n"  # the last is the directory that is listed


def test_a_command_dies_of_a_broken_pipe() -> None:
    """SIGPIPE ends a command as it does in a shell, though python itself ignores it."""
    mask = next(line for line in said("cat", "/proc/self/status").splitlines() if line.startswith("SigIgn:"))
    assert not int(mask.split()[1], 16) & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_only_the_given_environment_is_there() -> None:
    """Nothing of the agent's own environment reaches a command."""
    assert said("env").splitlines() == ["PATH=" + ENVIRONMENT["PATH"]]


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], -9),
        (["no-such-program"], 127),
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_status_says_how_it_ended(argv: list[str], status: int) -> None:
    """The exit status, the signal as a negative number, 127 for what is not there, 126 for what cannot be executed."""
    assert System().query(argv).exit == status


def test_the_path_of_the_given_environment_is_searched(tmp_path: Path) -> None:
    """The first program that can be executed is taken, from the PATH the command is given, not from the agent's."""
    for name, mode in (("first", 0o644), ("second", 0o755)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tool").write_text(f"#!/bin/sh\necho {name}\n")
        (folder / "tool").chmod(mode)
    path = f"{tmp_path}/none:{tmp_path}/first:{tmp_path}/second"
    assert process.run(["tool"], b"", {"PATH": path}, 20, 100)[:2] == (0, b"second\n")


def test_a_child_that_cannot_start_leaves_nothing_open() -> None:
    """A failed start closes the pipes it made."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Child(["no-such-program"], ENVIRONMENT, takes_input=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_child_that_ended_leaves_nothing_open() -> None:
    """After a command no pipe of it is left, and its process is reaped."""
    before = len(os.listdir("/proc/self/fd"))
    assert process.run(["cat"], b"through", ENVIRONMENT, 20, 100)[:2] == (0, b"through")
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
