"""The agent runs on every python from 3.8 that this machine has, and takes nothing from the directory it starts in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import orchestr
from orchestr.agent.resource import Task
from orchestr.blobs import BlobStore
from orchestr.engine import bundle, privilege
from orchestr.engine.session import Session, SessionOptions
from orchestr.engine.start_errors import MARKS, no_agent
from orchestr.errors import AgentError
from orchestr.inventory import ConnectionSettings
from orchestr.resources.commands import Command
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File
from orchestr.resources.lines import Line
from orchestr.secret import Secret
from orchestr.transport.local import LocalConnection

OLDEST = (3, 8)
PACKAGE = Path(orchestr.__file__).parent
LOCAL = ConnectionSettings(address="localhost", connection="local")


def _version_of(python: Path) -> tuple[int, ...]:
    command = [python, "-c", "import sys; print('%d %d %d' % sys.version_info[:3])"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return tuple(int(word) for word in done.stdout.split())


def _pythons() -> dict[str, str]:
    """Return version → path of every python here that an agent must run on; that of the tests at least."""
    folders = [*(Path.home() / ".pyenv/versions").glob("*/bin"), *map(Path, os.get_exec_path())]
    paths = [folder / name for folder in folders for name in ("python3", *(f"python3.{n}" for n in range(8, 30)))]
    names: dict[str, str] = {}
    for path in [*paths, Path(sys.executable)]:
        if not os.access(path, os.X_OK) or "/shims/" in str(path):
            continue
        version = _version_of(path)
        if version[:2] >= OLDEST:
            names[".".join(map(str, version))] = str(path)
    return names


PYTHONS = _pythons()


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return PYTHONS[request.param]


@pytest.fixture
def blobs() -> BlobStore:
    return BlobStore()


@pytest.fixture
def session(python: str, blobs: BlobStore) -> Iterator[Session]:
    session = Session(
        "here", replace(LOCAL, python=python), lambda settings: LocalConnection(), SessionOptions("run"), blobs
    )
    yield session
    session.close()


def test_the_python_of_the_tests_is_tried() -> None:
    """However few there are: this test file never passes without a run."""
    assert ".".join(map(str, sys.version_info[:3])) in PYTHONS


def test_tasks_are_done_and_done_only_once(session: Session, tmp_path: Path) -> None:
    """Directories, files, lines, environment files and commands change the host once; the second run finds nothing."""
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    (tmp_path / "lines").write_text("first\n")
    resources: list[Any] = [
        Directory(str(tmp_path / "d"), mode=0o750, **owner),
        File(str(tmp_path / "d/f"), content=Secret("s3cr3t-text\n"), mode=0o600, **owner),
        Line(str(tmp_path / "lines"), "added"),
        EnvFile(str(tmp_path / "d/env"), variables=(("A", "1 2"),), mode=0o640, **owner),
        Command(("sh", "-c", "cat >%s" % (tmp_path / "d/out")), input="é", creates=str(tmp_path / "d/out")),
    ]
    session.open()
    verdicts = []
    for _ in range(2):
        messages: list[dict[str, Any]] = []
        tasks = [Task(resource, id=str(number)) for number, resource in enumerate(resources)]
        session.run_tasks(tasks, check=False, on_message=messages.append)
        verdicts.append([message["verdict"] for message in messages if message["type"] == "result"])
        assert "s3cr3t-text" not in repr(messages)
    assert verdicts == [["changed"] * 5, ["ok"] * 5], messages
    assert (tmp_path / "d/out").read_text() == "é"


def test_a_large_file_arrives(session: Session, blobs: BlobStore, tmp_path: Path) -> None:
    """Fetched in chunks by its digest."""
    content = os.urandom(3_000_000)
    (tmp_path / "content").write_bytes(content)
    blob = blobs.add_file(tmp_path / "content")
    file = File(str(tmp_path / "f"), blob, owner=str(os.getuid()), group=str(os.getgid()))
    session.open()
    messages: list[dict[str, Any]] = []
    session.run_tasks([Task(file, id="t")], check=False, on_message=messages.append)
    assert "changed" in [message.get("verdict") for message in messages], messages
    assert (tmp_path / "f").read_bytes() == content


def test_what_stands_in_does_as_the_real_modules(python: str) -> None:
    """JSON, threads, digests, children and records, compared there with the standard library of that python."""
    command = [python, "-S", "-I", str(Path(__file__).with_name("stand_ins.py")), str(PACKAGE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "alike\n", done.stderr


INSTALLED = sorted((Path.home() / ".pyenv/versions").glob("*/bin/python"))
TOO_OLD = [path for path in INSTALLED if (0,) < _version_of(path) < OLDEST]


@pytest.mark.parametrize("path", TOO_OLD, ids=lambda path: path.parts[-3])
def test_an_older_python_is_named_with_its_version(path: Path) -> None:
    """Also Python 2, which does not know the option -I."""
    with pytest.raises(AgentError, match=r"and 3\.8 or newer is needed") as caught:
        Session("here", replace(LOCAL, python=str(path)), lambda each: LocalConnection(), SessionOptions("r")).open()
    version = ".".join(map(str, _version_of(path)))
    assert version.startswith(caught.value.message.split(" is Python ")[1].split(",")[0])


def test_python_2_is_told_by_the_option_it_refuses() -> None:
    """On a machine without one as well."""
    error = no_agent(LOCAL, b"Unknown option: -I\nusage: python [option] ...", 2, "ended before it began")
    assert "is Python 2, and 3.8 or newer is needed" in error.message


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a login directory that holds a module of every name in the standard library, each of which notes its run."""
    directory = tmp_path / "login"
    directory.mkdir()
    names = {*sys.stdlib_module_names, "sitecustomize", "usercustomize", "_sysconfigdata", "orchestr"} - {"this"}
    text = "import sys\nsys.stderr.write('HOSTILE %s' % __name__)\nopen({!r}, 'a').write(__name__ + ' ')\n"
    for name in names:
        (directory / f"{name}.py").write_text(text.format(str(tmp_path / "ran")))
    monkeypatch.chdir(directory)
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE"):
        monkeypatch.setenv(name, str(directory / "os.py" if name == "PYTHONSTARTUP" else directory))
    monkeypatch.setenv("HOME", str(directory))
    return tmp_path / "ran"


@pytest.mark.parametrize("bytecode", [bundle.BYTECODE, "00"], ids=["compiled", "sources"])
def test_nothing_is_imported_from_the_login_directory(
    session: Session, hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytecode: str
) -> None:
    """Neither as the agent starts nor when tasks import more; not from PYTHONPATH and its kin either."""
    monkeypatch.setattr(bundle, "BYTECODE", bytecode)
    session.open()
    messages: list[dict[str, Any]] = []
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    tasks = [Task(File(str(tmp_path / "f"), "x", **owner), id="f"), Task(Line(str(tmp_path / "f"), "y"), id="l")]
    session.run_tasks(tasks, check=False, on_message=messages.append)
    assert [message["verdict"] for message in messages if message["type"] == "result"] == ["changed"] * 2, messages
    assert not hostile.exists(), hostile.read_text()


def test_nothing_is_imported_before_the_password_is_granted(python: str, hostile: Path) -> None:
    """With a sudo password another line runs before the loader: it is isolated as well."""
    settings = replace(LOCAL, python=python, become=True, become_password=Secret("x"))
    command, _ = privilege.agent_command(settings, bundle.loader(1))
    there = command.index(python)
    done = subprocess.run(command[there:], input=b"", capture_output=True, check=False)
    assert done.returncode == 97, done.stderr
    assert done.stdout.decode().strip() == MARKS["python"]
    assert not hostile.exists(), hostile.read_text()
