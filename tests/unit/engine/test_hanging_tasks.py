"""Tasks that hang in real processes: in a system call, and in a child that no signal of politeness ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestr.agent import resource
from orchestr.transport.local import LocalConnection
from orchestr.transport.memory import memory_connector
from tests.unit.engine.conftest import Project
from tests.waiting import wait_until

OWN = """
import os
from orchestr.agent.record import record
from orchestr.agent.resource import Action, registered

@record
@registered("own_reader")
class Reader(Action):
    path: str

    @property
    def label(self):
        return self.path

    def is_done(self, reader):
        return bool(open(self.path).read())
"""
ROLE = """
from orchestr import Task
from orchestr.resources.commands import Command
from .resources import Reader

def deploy(host, params):
    path = host.variable("path")
    if host.name == "a":
        yield Task(Reader(path), timeout_s=0.2)
        yield Command(("true",))
    elif host.name == "b":
        yield Task(Command(("sh", "-c", "echo $$ >%s; trap '' TERM; while :; do sleep 1000; done" % path)), timeout_s=1)
"""


@pytest.fixture(autouse=True)
def forget_own_kind() -> Iterator[None]:
    """Keep the resource of these tests out of the others."""
    yield
    resource._KINDS.pop("own_reader", None)


def test_each_hanging_task_fails_alone(project: Project, tmp_path: Path) -> None:
    """A FIFO that nobody writes to and a child that ignores SIGTERM: both fail in time, and nothing of them is left."""
    fifo, pid_file = tmp_path / "fifo", tmp_path / "pid"
    os.mkfifo(fifo)
    project.write("roles/own/__init__.py", ROLE)
    project.write("roles/own/resources.py", OWN)
    project.write("playbooks/site.yml", "- {hosts: all, roles: [own]}\n- {hosts: 'c:d', roles: [hello]}\n")
    project.write(
        "inventories/all.yml",
        f"all:\n  vars: {{hello_token: canary-hello}}\n  hosts:\n    a: {{path: {fifo}}}\n    b: {{path: {pid_file}}}\n"
        "    c: {path: x}\n    d: {path: x}\n",
    )
    memory = memory_connector(project.hosts)
    result = project.run(
        connector=lambda settings: LocalConnection() if settings.address in "ab" else memory(settings), forks=4
    )
    (error,) = result.hosts["a"].errors
    assert "within its timeout_s of 0.2 s" in error["message"]
    assert "in is_done" in error["stderr"]
    assert (result.hosts["a"].failed, result.hosts["a"].skipped) == (1, 1)
    assert "ended after 1 s" in result.hosts["b"].errors[0]["message"]
    assert [result.hosts[name].changed for name in "cd"] == [3, 3]
    wait_until(lambda: not _is_alive(int(pid_file.read_text())), "the command outlived its task")


def _is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and "Z" not in state
