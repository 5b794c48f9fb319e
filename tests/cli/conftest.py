"""A small project, hosts in memory, and the command line in this process or as the user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestr.cli.main import main
from orchestr.transport.memory import MemoryHost, memory_connector
from tests.waiting import HANG_S

CANARY = "canary-7f3d9b1c"
INVENTORY = """\
all:
  vars: {app_word: hello}
  children:
    web:
      hosts:
        web1: {ansible_host: 10.0.0.1}
        web2: {ansible_host: 10.0.0.2}
    db:
      hosts:
        db1: {ansible_host: 10.0.0.3}
"""
PLAYBOOK = """\
- name: the app
  hosts: all
  roles: [app]
"""
ROLE = '''\
"""Put a word where the app reads it."""

from pydantic import Field

from orchestr.planning.role import Params as Base
from orchestr.planning.role import SecretText
from orchestr.resources.files import Directory, File


class Params(Base):
    """What the app needs."""

    word: str = Field("hello", description="what it says")
    port: int = Field(80, ge=1, le=65535, description="where it listens")
    token: SecretText | None = None


def deploy(host, params):
    yield Directory("/opt/app")
    yield File("/opt/app/word", content=params.word + "\\n")
    if params.token is not None:
        yield File("/opt/app/token", content=params.token, mode=0o600)
'''
CHECKS = '''\
def test_word(host, params):
    """The word is where the app reads it."""
    assert host.run("cat /opt/app/word").stdout == params.word + "\\n"


def test_it_knows_its_peers(machine, peers):
    assert machine.name in [peer.name for peer in peers("app")]
'''


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


Orchestr = Callable[..., Outcome]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one role, three hosts, and its own state directory; the working directory."""
    for name, text in {
        "inventories/site.yml": INVENTORY,
        "playbooks/site.yml": PLAYBOOK,
        "roles/app/__init__.py": ROLE,
        "roles/app/verify.py": CHECKS,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, MemoryHost]:
    """web1, web2 and db1 in memory; take one out and it is unreachable."""
    machines = {f"10.0.0.{number}": MemoryHost() for number in (1, 2, 3)}
    connect = memory_connector(machines)

    def connecting(settings: Any, **options: Any) -> Any:
        return connect(settings)

    monkeypatch.setattr("orchestr.transport.connect.connect", connecting)
    return machines


@pytest.fixture
def orchestr(project: Path, hosts: Mapping[str, MemoryHost], capsys: pytest.CaptureFixture[str]) -> Iterator[Orchestr]:
    """Run a command line in this process: ``orchestr("run", "inventories/site.yml")``."""
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def call(*words: str) -> Outcome:
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    yield call
    for name, handler in handlers.items():
        signal.signal(name, handler)


@pytest.fixture
def process(project: Path) -> Orchestr:
    """Run a command line as the user does, in a process of its own; hosts must be ``ansible_connection: local``."""

    def call(*words: str, **options: Any) -> Outcome:
        command = [sys.executable, "-m", "orchestr", *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANG_S, **options)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call
