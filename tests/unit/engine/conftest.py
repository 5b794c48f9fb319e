"""A small project and its hosts in memory, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orchestr
from orchestr.engine.fleet import Fleet
from orchestr.events import Event
from orchestr.results import RunResult
from orchestr.transport.memory import MemoryHost, memory_connector

ROLE = '''
"""Say hello."""
from orchestr.planning.role import Params as Base, SecretText
from orchestr.resources.files import Directory, File

class Params(Base):
    word: str = "hi"
    token: SecretText

def deploy(host, params):
    yield Directory("/opt/hello")
    yield File("/opt/hello/word", content=params.word + "\\n")
    yield File("/opt/hello/token", content=params.token, mode=0o600)
'''


class Project:
    """Files of a project in a temporary directory, and its hosts ``a`` … in memory at addresses of the same name."""

    def __init__(self, root: Path, names: tuple[str, ...] = ("a", "b", "c", "d")) -> None:
        self.root = root
        self.hosts = {name: MemoryHost() for name in names}
        self.events: list[Event] = []
        self.write("roles/hello/__init__.py", ROLE)
        self.write("playbooks/site.yml", "- name: hello\n  hosts: all\n  roles: [hello]\n")
        lines = "".join(f"    {name}:\n" for name in names)
        self.write("inventories/all.yml", f"all:\n  vars:\n    hello_token: canary-hello\n  hosts:\n{lines}")

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def run(self, **options: Any) -> RunResult:
        """Run (``check=True``: plan) the project's inventory on the hosts in memory."""
        inventory = orchestr.load_inventory(self.root / "inventories/all.yml")
        self.events.clear()
        options.setdefault("connector", memory_connector(self.hosts))
        return orchestr.run(inventory, on_event=self.events.append, **options)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def interrupt_when(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], object]) -> None:
    """Press Ctrl-C, as it were, when hosts are at work and ``wait`` has returned; connecting is left alone."""
    each = Fleet.each

    def interrupted(fleet: Fleet, hosts: Any, work: Any) -> Any:
        if work.__name__ == "connect":
            return each(fleet, hosts, work)
        for host in hosts:
            fleet._pool.submit(work, host)  # type: ignore[union-attr]
        wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(Fleet, "each", interrupted)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    return Project(tmp_path / "project")


@pytest.fixture
def new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    return lambda *names: Project(tmp_path / "project", names)
