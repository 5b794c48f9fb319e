"""The stand-ins for dataclasses and typing behave on a host as the real ones do on the controller."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import marshal
import subprocess
import sys
import tempfile
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestr.agent import bootstrap, light, wire
from orchestr.agent.resource import Resource, kinds
from orchestr.agent.secret import Secret
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
from tests.property.worlds.debian import RESOURCES

PACKAGE = Path(bundle.__file__).parents[1]
TRAVELLING = sorted(
    path for folder in ("agent", "resources") for path in (PACKAGE / folder).rglob("*.py") if path.stem != "light"
)


def _as_on_a_host(module: str) -> ModuleType:
    """Return a module's source executed with the stand-ins in place of the real modules."""
    made = ModuleType(module)
    code = compile(bundle.source(module), f"<{module}>", "exec", dont_inherit=True)
    sys.modules[f"light.{module}"] = made
    made.__dict__.update(__name__=module, __builtins__=bootstrap._builtins(bootstrap._OWN_STAND_INS))
    exec(code, made.__dict__)
    return made


@pytest.fixture(scope="module")
def twins() -> dict[str, type]:
    """Return kind → the class as it is on a host."""
    modules = sorted({type(example(strategy)).__module__ for strategy in RESOURCES.values()})
    before = kinds()
    try:
        made = [vars(_as_on_a_host(module)) for module in modules]
    finally:
        from orchestr.agent import resource

        resource._KINDS.update(before)
    return {cls.kind: cls for names in made for cls in names.values() if hasattr(cls, "kind") and isinstance(cls, type)}


def example(strategy: st.SearchStrategy[Resource]) -> Resource:
    found: list[Resource] = []

    @settings(max_examples=1, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(value: Resource) -> None:
        found.append(value)

    draw()
    return found[0]


def _values(resource: Any) -> dict[str, Any]:
    return {field.name: getattr(resource, field.name) for field in dataclasses.fields(resource)}


@pytest.mark.parametrize("kind", sorted(RESOURCES))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_resource_is_the_same_value_on_a_host(kind: str, twins: dict[str, type], data: st.DataObject) -> None:
    """Fields, construction, equality, hash and text of a resource do not depend on which dataclass made it."""
    real = data.draw(RESOURCES[kind])
    other = data.draw(RESOURCES[kind])
    twin, twin_of_other = (twins[kind](**_values(each)) for each in (real, other))
    assert {name: getattr(twin, name) for name in twin.__dataclass_fields__} == _values(real)
    assert repr(twin) == repr(real)
    assert hash(twin) == hash(real)
    assert (twin == twin_of_other) == (real == other)
    assert twins[kind](*_values(real).values()) == twin
    assert wire.encode({"type": "tasks", "tasks": [twin]}) == wire.encode({"type": "tasks", "tasks": [real]})


def _refuses(call: Any) -> type[BaseException] | None:
    try:
        call()
    except (TypeError, AttributeError) as error:
        return TypeError if isinstance(error, TypeError) else AttributeError
    return None


SOURCE = '''
from __future__ import annotations
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Dict, List, NamedTuple, Optional, Tuple

Alias = Dict[str, Tuple[int, ...]]

class Point(NamedTuple):
    """A point."""
    x: int
    y: int = 2
    @property
    def sum(self) -> int:
        return self.x + self.y

@dataclass(frozen=True)
class Base:
    kind: ClassVar[str] = "base"
    a: int
    b: Optional[str] = None

@dataclass(frozen=True)
class Child(Base):
    c: List[int] = field(default_factory=list)
    d: int = field(default=4)
    def __post_init__(self) -> None:
        object.__setattr__(self, "d", self.d + 1)

@dataclass(frozen=True)
class Own:
    a: int = 1
    def __repr__(self) -> str:
        return "own"
    def __hash__(self) -> int:
        return 7

@dataclass
class Open:
    a: int = 1

@dataclass(order=True)
class Ordered:
    a: int = 1
'''


def _both() -> tuple[dict[str, Any], dict[str, Any]]:
    code = compile(SOURCE, "<both>", "exec", dont_inherit=True)
    names = {"typing": "orchestr.agent.light", "dataclasses": "orchestr.agent.light"}
    made: list[dict[str, Any]] = []
    for mapping in ({}, names):
        module = ModuleType("both")
        sys.modules["both"] = module
        exec(code.replace(co_names=tuple(mapping.get(name, name) for name in code.co_names)), module.__dict__)
        made.append(module.__dict__)
    return made[0], made[1]


@pytest.mark.parametrize(
    "text",
    [
        "Point(1), Point(1).sum, Point(y=1, x=2)._replace(x=3), Point._fields, Point.__doc__, Point(1) == (1, 2)",
        "Point()",
        "Point(1, 2, 3)",
        "Point(1, x=2)",
        "Point(1, z=2)",
        "Point(1)._asdict(), Point._make([1, 2]), repr(Point(1)), Point._field_defaults",
        "hash(Point(1)) == hash((1, 2)), Point(1) < Point(2), [*Point(1)], Point(1)[1:]",
        "Point._make([1, 2, 3])",
        "setattr(Point(1), 'x', 2)",
        "setattr(Point(1), 'z', 2)",
        "Point(1).x.__class__, isinstance(Point(1), tuple), Point.__name__, Point.__module__",
        "Child(1), Child(1, 'b', [3], 9), Child(b='x', a=2).c, Child(1) == Child(1), Child(1) == Base(1)",
        "Child()",
        "Child(1, 2, 3, 4, 5)",
        "Child(1, a=2)",
        "Child(1, z=2)",
        "setattr(Child(1), 'a', 2)",
        "delattr(Child(1), 'a')",
        "hash(Base(1)) == hash(Base(1)), hash(Own()), repr(Own())",
        "hash(Open())",
        "setattr(Open(), 'a', 2), Open(3) == Open(3), Open(1) != Open(2), Open() == 1",
        "replace(Base(1), b='c')",
        "replace(Base(1), z='c')",
        "Ordered(1) < Ordered(2)",
        "Base.kind, Child.kind, Child.d, hasattr(Child, 'c')",
    ],
)
def test_the_stand_ins_do_as_the_real_ones(text: str) -> None:
    """What a module may do with a dataclass or a NamedTuple gives the same, or is refused, with either."""
    real, other = _both()
    results = []
    for names in (real, other):
        refused = _refuses(lambda names=names: eval(text, dict(names)))
        results.append(refused or repr(eval(text, dict(names))))
    assert results[0] == results[1]


def test_what_the_stand_ins_lack_comes_from_the_real_modules() -> None:
    """A project's own resource may use all of typing and dataclasses; it only takes longer to import."""
    import typing

    assert light.asdict is dataclasses.asdict  # type: ignore[attr-defined]
    assert light.Protocol is typing.Protocol  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = light.nothing_of_the_kind  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", TRAVELLING, ids=lambda path: path.stem)
def test_what_travels_imports_nothing_slow_for_its_types(path: Path) -> None:
    """Our modules take from typing and dataclasses by name, and only names for which the slow ones are not imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"typing", "dataclasses"}
        elif isinstance(node, ast.ImportFrom) and node.module in ("typing", "dataclasses"):
            for alias in node.names:
                assert alias.name in {*vars(light), *light._ANNOTATIONS, "Any"}, alias.name


@pytest.mark.parametrize("path", TRAVELLING, ids=lambda path: path.stem)
def test_what_travels_takes_only_what_stands_in(path: Path) -> None:
    """Each name that our modules take from a module which has a stand-in on hosts is there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in bootstrap._OWN_STAND_INS:
            stand_in = importlib.import_module(bootstrap._OWN_STAND_INS[node.module])
            for alias in node.names:
                assert hasattr(stand_in, alias.name), f"{path.name} takes {alias.name} from {node.module}"


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
        command = [sys.executable, "-S", "-E", "-s", file.name]
        asked = b"" if bytecode == bundle.BYTECODE else bundle.agent_sources()
        done = subprocess.run(command, input=asked, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (b"\nn?\n" in done.stdout) == bool(asked), "sources are asked for where they are needed, and nowhere else"
    return done.stdout.decode().strip().rpartition("\n")[2]


#: Modules of the standard library that an agent may have imported when it says hello, those of python's own
#: start among them. Each costs every host of every run; add one only together with the reason.
STDLIB_AT_START = 45
#: What neither an agent nor an ordinary task that finds nothing to do imports.
SLOW = {
    "dataclasses", "typing", "inspect", "subprocess", "tempfile", "shutil", "hashlib", "calendar", "socket",
    "re", "enum", "json", "threading", "functools", "collections", "queue", "signal", "types",
}  # fmt: skip


@pytest.mark.parametrize("bytecode", [bundle.BYTECODE, "00"], ids=["compiled", "sources"])
def test_the_agent_imports_little(bytecode: str) -> None:
    """An agent that has just started has imported few modules, none of the slow ones, from code or from sources."""
    said = _agent_python("print(*[name for name in sys.modules if not name.startswith('orchestr')])", bytecode).split()
    assert not SLOW & set(said)
    assert len(said) <= STDLIB_AT_START, sorted(said)


def test_a_projects_own_module_has_the_real_ones() -> None:
    """Only what it takes from typing and dataclasses comes from a stand-in: anything else is as on any machine."""
    text = (
        "import json, threading, typing\n"
        "from dataclasses import dataclass\n"
        "from queue import Queue\n"
        "from signal import Signals\n"
        "from threading import Thread\n"
        "found = [json.JSONDecoder, threading.Barrier, typing.Any, dataclass, Queue, Signals, Thread]\n"
    )
    work = f"finder.modules.update({{'shop': '', 'shop.own': {text!r}}}); import shop.own; "
    said = _agent_python(work + "print(*[each.__module__ for each in shop.own.found])").split()
    assert said == ["json.decoder", "threading", "typing", "orchestr.agent.light", "queue", "signal", "threading"]


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
        first = bundle._compiled("orchestr.agent.sample")
        path.write_text("VALUE = 22\n")
        bundle._own_source.cache_clear()
        second = bundle._compiled("orchestr.agent.sample")
    finally:
        bundle._own_source.cache_clear()
    assert first != second
    assert isinstance(second, bytes)
    assert 22 in marshal.loads(second).co_consts


#: Bytes of the program that starts an agent: what was measured and a tenth.
PROGRAM_BYTES = 100_000


def test_the_program_stays_small() -> None:
    """What starts an agent is bounded, and all but its first part is the same for every host of a run."""
    one, other = (bundle.program({"nonce": bundle.new_nonce(), "run": "r"}) for _ in range(2))
    assert len(one) <= PROGRAM_BYTES
    differing = [index for index, (first, second) in enumerate(zip(one, other, strict=True)) if first != second]
    assert 0 < len(differing) and differing[-1] - differing[0] < len(bundle.new_nonce())


def test_secrets_stay_hidden_in_a_light_value() -> None:
    """The text of a light dataclass shows no secret it holds."""
    made = light.dataclass(frozen=True)(type("Holder", (), {"__annotations__": {"value": "Any"}}))
    assert "hidden-text" not in repr(made(Secret("hidden-text")))


def test_importlib_is_the_real_one() -> None:
    """Nothing but our own modules is served from memory: the standard library is the host's."""
    assert importlib.import_module("dataclasses").__name__ == "dataclasses"
    said = _agent_python("import dataclasses, typing; print(dataclasses.__file__ != typing.__file__)")
    assert said == "True"


def test_hosts_that_start_together_have_it_packed_once() -> None:
    """Who asks while another packs waits for that one, and gets the same bytes."""
    asked: list[str] = []
    is_begun, may_end = threading.Event(), threading.Event()

    def make(bytecode: str) -> bytes:
        asked.append(bytecode)
        is_begun.set()
        may_end.wait(30)
        return bytecode.encode()

    packed = bundle._made_once(make)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(packed, "00")
        assert is_begun.wait(30)
        second = pool.submit(packed, "00")
        may_end.set()
        assert first.result() == second.result() == b"00"
    assert asked == ["00"]
