"""orchestr as a library: typed, silent, usable twice and from a thread, and nothing stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

import orchestr
from orchestr.planning.role import load_role
from orchestr.transport.memory import MemoryHost, memory_connector
from tests.waiting import HANG_S, wait_until

PROGRAM = """\
from collections.abc import Iterator

import orchestr
from orchestr import File, Host, Resource, SecretText, System, registered

inventory: orchestr.Inventory = orchestr.load_inventory("inventories/prod.yml")
planned: orchestr.RunResult = orchestr.plan(inventory, limit="livekit", tags=["redis"])
for name, host in planned.hosts.items():
    for change in host.changes:
        print(name, change["name"], change["diff"])
def watch(event: orchestr.Event) -> None: ...
done = orchestr.run(inventory, limit="livekit", on_event=watch)
code: int = done.exit_code + orchestr.verify(inventory).exit_code
free: int = orchestr.facts(inventory).hosts["lk1"].facts["memory_bytes"]
answer: str = orchestr.execute(inventory, "all", ["uname"]).hosts["lk1"].stdout
grown: orchestr.UpgradeResult = orchestr.upgrade(inventory, orchestr.load_inventory("inventories/more.yml"))
shrunk: int = orchestr.rollback("last", extra_vars={"redis_password": "x"}).exit_code

class Params(orchestr.Params):
    password: SecretText
def deploy(host: Host, params: Params) -> Iterator[Resource]:
    yield File("/etc/motd", content=params.password, mode=0o600)
def application(host: Host, params: Params) -> orchestr.Application:
    return orchestr.Application((orchestr.ApplicationService(orchestr.ContainerService("web", "web:1")),))
"""
#: The same with a resource of the project's own, which a host has to import: there is no such package there.
OWN_RESOURCE = """
from __future__ import annotations
from orchestr import (
    Action,  # two names of one module, and some of others
    File,
    record,
    registered,
)
@record
@registered("speech")
class Speech(Action):
    path: str = ""
    @property
    def label(self):
        return self.path
    def is_done(self, reader):
        return False
    def perform(self, system):
        from orchestr import Secret
        with open(self.path, "w") as file:
            file.write("%s %s" % (File.__module__, Secret.__name__))
"""
ROLE = """
from orchestr import Params as Base
from orchestr.resources.commands import Command
class Params(Base):
    word: str = "x"
def deploy(host, params):
    yield Command(("echo", params.word), unless=("test", "-d", "/"))
"""


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one role and three hosts: this machine."""
    for name, text in {
        "roles/speaker/__init__.py": ROLE,
        "playbooks/site.yml": "- hosts: all\n  roles: [speaker]\n",
        "hosts.yml": "all:\n  vars: {ansible_connection: local}\n  hosts: {h1: , h2: , h3: }\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    return tmp_path / "hosts.yml"


def test_a_program_is_checked_by_its_types(tmp_path: Path) -> None:
    """mypy --strict accepts the README's kind of program, and finds a misspelt argument in it."""
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(PROGRAM.replace("limit=", "limt="))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    root = Path(orchestr.__file__).parents[1]
    options: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "MYPYPATH": str(root)}, "capture_output": True}
    # One process for both: reading the package's types is what takes the time.
    done = subprocess.run([*command, "right.py", "wrong.py"], text=True, **options)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[0] for line in errors] == ["wrong.py", "wrong.py"], done.stdout
    assert all('"limt"' in line for line in errors)


def test_a_projects_resource_imports_from_orchestr(inventory: Path) -> None:
    """On a host, ``from orchestr import …`` gets the names from the modules that were sent."""
    folder = inventory.parent / "roles/speaker"
    (folder / "resources.py").write_text(OWN_RESOURCE)
    (folder / "__init__.py").write_text(
        "from .resources import Speech\ndef deploy(host, params):\n"
        f"    yield Speech(path='{inventory.parent}/' + host.name)\n"
    )
    result = orchestr.run(orchestr.load_inventory(inventory))
    assert {name: host.errors for name, host in result.hosts.items()} == {"h1": [], "h2": [], "h3": []}
    assert (inventory.parent / "h1").read_text() == "orchestr.resources.files Secret"


@pytest.mark.parametrize("transport", ["local", "memory"])
def test_nothing_stays_behind(inventory: Path, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After twenty runs there is no thread, descriptor, child or temporary more than before."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # one that no other process uses
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    options: dict[str, Any] = {}
    if transport == "memory":
        hosts = {f"h{number}": MemoryHost(commands={("test",): ""}) for number in (1, 2, 3)}
        options["connector"] = memory_connector(hosts)

    def once() -> None:
        assert orchestr.run(orchestr.load_inventory(inventory), **options).exit_code == 0

    threads = set(threading.enumerate())
    children = _children()
    once()  # what is loaded and opened once for all
    wait_until(lambda: not set(threading.enumerate()) - threads and _children() == children, "the first run goes on")
    before = _held()
    for _ in range(20):
        once()
    # An agent's threads end by themselves.
    wait_until(lambda: not set(threading.enumerate()) - threads and _held() == before, "something stayed behind")


def test_it_is_silent_and_works_from_threads(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Several threads run at the same time, each gets its own result, and nothing is printed."""
    results: list[orchestr.RunResult] = []

    def work() -> None:
        loaded = orchestr.load_inventory(inventory)
        results.extend((orchestr.plan(loaded), orchestr.ping(loaded)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert [result.exit_code for result in results] == [0] * 6
    assert len({result.run for result in results}) == 6
    assert capfd.readouterr() == ("", "")


def test_a_role_is_loaded_once_for_threads_at_the_same_time(inventory: Path) -> None:
    """A thread that needs a role which another one is loading gets the whole of it."""
    folder = inventory.parent / "roles/slow"
    folder.mkdir()
    (folder / "__init__.py").write_text("import time\ntime.sleep(0.2)\nfrom orchestr import Params\ndone = True\n")
    complete: list[bool] = []

    def load() -> None:
        complete.append(hasattr(load_role("slow", inventory.parent).module, "done"))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert complete == [True] * 3


def _held() -> tuple[list[str], list[str], list[str]]:
    numbers = sorted(Path("/proc/self/fd").iterdir())
    descriptors = sorted(kind for kind in map(_kind, numbers) if kind)
    return descriptors, _children(), sorted(os.listdir(tempfile.gettempdir()))


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def _kind(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink()).partition(":")[0]
    except OSError:
        return ""  # the one that lists them
