"""An agent starts fast: it imports little, its program is small, and what is alike for all hosts is made once."""

from __future__ import annotations

import importlib
import marshal
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

from orchestr.engine import bundle
from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.docker.engine import DockerEngine
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File
from orchestr.resources.firewall.firewall import Firewall
from orchestr.resources.firewall.rules import Rule
from orchestr.resources.lines import Line
from orchestr.resources.packages import Package
from orchestr.resources.services import Service
from orchestr.resources.swarm.nodes import SwarmNode

#: What neither an agent nor an ordinary task that finds nothing to do imports.
SLOW = {
    "dataclasses", "typing", "inspect", "subprocess", "tempfile", "shutil", "hashlib", "calendar", "socket",
    "re", "enum", "json", "threading", "functools", "collections", "queue", "signal", "types",
}  # fmt: skip


def _agent_python(after: str, bytecode: str = bundle.BYTECODE) -> str:
    """Return what a host's python prints that did all but serve, then ``after``."""
    unpack = zlib.decompressobj()
    start = unpack.decompress(bundle.program({"nonce": "n", "run": "r"})).decode()
    start = start.replace("    serve.main(", "    found(").replace(bundle.BYTECODE, bytecode)
    rest = unpack.unused_data.hex()
    given = f"class d:\n  unused_data = bytes.fromhex({rest!r})\n"
    program = f"{given}import sys\ndef found(start, finder):\n  {after}\nexec({start!r})\n"
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        command = [sys.executable, "-S", "-I", file.name]
        asked = b"" if bytecode == bundle.BYTECODE else bundle.agent_sources()
        done = subprocess.run(command, input=asked, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (b"\nn?\n" in done.stdout) == bool(asked), "sources are asked for where they are needed, and nowhere else"
    return done.stdout.decode().strip().rpartition("\n")[2]


#: Modules of the standard library that an agent may have imported when it says hello, those of python's own
#: start among them. Each costs every host of every run; add one only together with the reason.
STDLIB_AT_START = 45


@pytest.mark.parametrize("bytecode", [bundle.BYTECODE, "00"], ids=["compiled", "sources"])
def test_the_agent_imports_little(bytecode: str) -> None:
    """An agent that has just started has imported few modules, none of the slow ones, from code or from sources."""
    said = _agent_python("print(*[name for name in sys.modules if not name.startswith('orchestr')])", bytecode).split()
    assert not SLOW & set(said)
    assert len(said) <= STDLIB_AT_START, sorted(said)


OWN = """
import json, threading, typing
from dataclasses import dataclass, field
from typing import ClassVar, Optional, Tuple
from orchestr.agent.resource import Resource, registered

@dataclass(frozen=True)
@registered("shop_own")
class Own(Resource):
    touches: ClassVar[Tuple[str, ...]] = ()
    name: str
    parts: Tuple[int, ...] = field(default_factory=tuple)
    limit: Optional[int] = None

found = [json.JSONDecoder, threading.Thread, typing.Any, dataclass]
"""


@pytest.mark.parametrize("bytecode", [bundle.BYTECODE, "00"], ids=["compiled", "sources"])
def test_a_projects_own_module_has_all_of_the_standard_library(bytecode: str) -> None:
    """Its resources may be plain dataclasses; every module it imports is python's own."""
    work = f"finder.modules.update({{'shop': '', 'shop.own': {OWN!r}}}); import shop.own; "
    work += "from orchestr.agent import wire; value = shop.own.Own('a', parts=(1,)); "
    work += "back = wire.decode(wire.encode({'type': 'x', 'value': value})[7:])['value']; "
    said = _agent_python(work + "print(*[each.__module__ for each in shop.own.found], back == value)", bytecode).split()
    assert said == ["json.decoder", "threading", "typing", "dataclasses", "True"]


@pytest.mark.parametrize("bytecode", [bundle.BYTECODE, "00"], ids=["compiled", "sources"])
def test_ordinary_tasks_import_little(bytecode: str) -> None:
    """Files, lines, packages, services, a firewall and containers are looked at without the slow ones."""
    ordinary = [File("/a"), Directory("/a"), Line("/a", "x"), Package("a"), Service("a"), Firewall((Rule(22),))]
    ordinary += [EnvFile("/a"), ComposeProject("/a", ("b",)), SwarmNode("a"), DockerEngine()]
    names = bundle.modules_for(type(each) for each in ordinary)
    names += [name for name in bundle.modules_asked_for("orchestr.resources.firewall.ufw", names) if name not in names]
    packed = bundle.packed(tuple(names), bytecode).hex()
    work = f"finder.add(bytes.fromhex({packed!r})); [__import__(name) for name in {names!r}]; "
    said = _agent_python(work + "print(*sys.modules)", bytecode).split()
    assert set(names) <= set(said)
    assert not SLOW & set(said)


def test_code_and_sources_are_of_the_same_modules() -> None:
    """A host of another python gets the same modules as one of the controller's, and reads them from text."""
    code, text = (
        marshal.loads(zlib.decompress(bundle.packed(bundle.AGENT_MODULES, bytecode)))
        for bytecode in (bundle.BYTECODE, "")
    )
    assert set(code) == set(text) == set(bundle.AGENT_MODULES)
    assert all(isinstance(each, str) for each in text.values())
    assert isinstance(marshal.loads(code["orchestr.agent.serve"]).co_code, bytes)


def test_code_is_never_older_than_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was changed since it was compiled is sent as it is now."""
    path = tmp_path / "sample.py"
    path.write_text("VALUE = 1\n")
    monkeypatch.setattr(bundle, "_path", lambda module: path)
    bundle._own_source.cache_clear()
    try:
        first = bundle._compile("orchestr.agent.sample")
        path.write_text("VALUE = 22\n")
        bundle._own_source.cache_clear()
        second = bundle._compile("orchestr.agent.sample")
    finally:
        bundle._own_source.cache_clear()
    assert first != second
    assert isinstance(second, bytes)
    assert 22 in marshal.loads(second).co_consts


#: Bytes of the program that starts an agent: what was measured and a tenth.
PROGRAM_BYTES = 104_000  # 10 kB of it walk to files that users can touch (orchestr.agent.door)


def test_the_program_stays_small() -> None:
    """What starts an agent is bounded, and all but its first part is the same for every host of a run."""
    one, other = (bundle.program({"nonce": bundle.new_nonce(), "run": "r"}) for _ in range(2))
    assert len(one) <= PROGRAM_BYTES
    differing = [index for index, (first, second) in enumerate(zip(one, other, strict=True)) if first != second]
    assert 0 < len(differing) and differing[-1] - differing[0] < len(bundle.new_nonce())


def test_importlib_is_the_real_one() -> None:
    """Nothing but our own modules is served from memory: the standard library is the host's."""
    assert importlib.import_module("dataclasses").__name__ == "dataclasses"
    said = _agent_python("import dataclasses, typing; print(dataclasses.__file__ != typing.__file__)")
    assert said == "True"
