"""A user of the host who swaps files, links and directories while root works gains nothing.

Every kind of resource that takes a path is applied on a real file system, below a directory of an ordinary user, who
acts between any two calls of the door to the kernel: the steps are counted once, then one run follows for each. The
kinds come from the registry, their values and the tools they run from their worlds (`test_every_kind`).
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from orchestr.agent import door, filesystem, system
from orchestr.agent.converge import converge
from orchestr.agent.record import fields, is_record, replace
from orchestr.agent.resource import Resource, Task
from orchestr.agent.system import Completed, System
from orchestr.testing import World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.property.test_every_kind import WORLDS, _registered

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root is the one who is led astray")

MALLORY = 4242  # an ordinary user
HOME = "/home/mallory"
SECRET = b"root's own secret"
SAMPLES = 3  # resources of each kind, and hosts
STEPS = 16  # at most, of each: evenly over the run
#: Calls that do not go to the file system, or only to what is open already.
HARMLESS = {"close", "fdopen", "getpid", "geteuid", "getuid", "getcwd", "urandom", "strerror", "fsync", "path"}
REAL_TOOLS = {"tar", "sync", "du", "df"}


# -- the user ---------------------------------------------------------------------------------------------------------
@contextmanager
def as_mallory() -> Iterator[None]:
    """Be the ordinary user: the kernel decides what may be done."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(MALLORY)
    os.seteuid(MALLORY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@dataclass
class Swap:
    """At a step, a path of the user's becomes a link to root's; at the next one it may be back."""

    step: int
    path: str
    target: str
    goes_back: bool

    def act(self, now: int) -> None:
        with as_mallory(), suppress(OSError):
            if now == self.step:
                with suppress(FileNotFoundError):
                    os.rename(self.path, self.path + ".aside")
                os.symlink(self.target, self.path)
            elif now == self.step + 1 and self.goes_back:
                os.unlink(self.path)
                os.rename(self.path + ".aside", self.path)


class Watched:
    """The module os, with somebody who acts before each call."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.steps = 0
        self._act = act

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        if name in HARMLESS or not callable(value) or isinstance(value, type):
            return value

        def call(*words: Any, **options: Any) -> Any:
            self.step()
            return value(*words, **options)

        return call

    def step(self) -> None:
        self._act(self.steps)
        self.steps += 1


# -- the host ---------------------------------------------------------------------------------------------------------
@dataclass
class Host:
    """A root directory of its own (``jail``) with a user's home in it, and a directory of root's (``roots``)."""

    base: str
    double: MemoryHost
    paths: list[str]
    kind_there: str
    written: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def jail(self) -> str:
        return self.base + "/jail"

    @property
    def roots(self) -> str:
        return self.base + "/roots"

    def inside(self, path: str) -> str:
        """Return where a path of the host is on this machine."""
        return path if path.startswith((self.base, "/proc/")) else self.jail + path

    def make(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        for folder, mode in (("", 0o755), ("/jail", 0o755), ("/roots", 0o700)):
            os.mkdir(self.base + folder)
            os.chmod(self.base + folder, mode)
        self.written.clear()
        self.copy_nodes()
        os.makedirs(self.jail + HOME, exist_ok=True)
        for path in self.paths:
            self._furnish(self.jail + path, b"a=1\n", self.kind_there)
            self._furnish(self.roots + path, SECRET, self.kind_there if self.kind_there != "nothing" else "file")
        for folder, names, files in os.walk(self.jail + HOME):
            for name in ("", *names, *files):
                os.chown(os.path.join(folder, name), MALLORY, MALLORY, follow_symlinks=False)

    def _furnish(self, path: str, data: bytes, kind: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == "directory" and not os.path.isfile(path):
            os.makedirs(path + "/.ssh", exist_ok=True)
            for name in ("/f", "/.ssh/authorized_keys"):
                Path(path + name).write_bytes(data)
                os.chmod(path + name, 0o600)
        elif kind == "file" and not os.path.isdir(path):
            Path(path).write_bytes(data)
            os.chmod(path, 0o600)

    def copy_nodes(self) -> None:
        """Have on disk what the tools of the double have changed in memory."""
        for path, node in sorted(self.double.nodes.items()):
            now = (node.type, node.data, node.mode, node.uid, node.gid, node.target)
            if self.written.get(path) != now:
                self.written[path] = now
                with suppress(OSError):
                    _make_node(self.jail + path, node)

    def rights(self) -> dict[str, tuple[Any, ...]]:
        """Return all there is to know of root's directory."""
        known = {}
        for folder, names, files in os.walk(self.roots):
            for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
                status = os.lstat(path)
                data = Path(path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
                known[path] = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, data)
        return known

    def readable(self) -> dict[str, bytes]:
        """Return path → content of all that the user can read."""
        contents = {}
        with as_mallory():
            for folder, _, files in os.walk(self.base):
                for name in files:
                    with suppress(OSError):
                        contents[os.path.join(folder, name)] = Path(folder, name).read_bytes()
        return contents


def _make_node(path: str, node: Node) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if node.type == "directory":
        os.makedirs(path, exist_ok=True)
    elif node.type == "file":
        Path(path).write_bytes(node.data)
    elif node.type == "link":
        os.symlink(node.target, path)
        return
    os.chown(path, node.uid, node.gid)
    os.chmod(path, node.mode)


class Line:
    """A controller that takes all that is offered."""

    def __init__(self) -> None:
        self.taken = b""

    def next_transfer(self) -> int:
        return 1

    def send_chunk(self, transfer: int, chunk: bytes) -> None:
        self.taken += chunk

    def wait_for(self, *words: Any) -> str:
        return ""

    def send(self, message: Any) -> None:
        pass

    flush = next_transfer


class HostSystem(System):
    """Files are real, in the jail; tools are the double's, but for those that only pack, unpack and count."""

    def __init__(self, host: Host, watched: Watched, memory: MemorySystem) -> None:
        super().__init__(fetch=lambda digest, size_bytes: iter([ARCHIVE[:1], ARCHIVE[1:], b"\0"]), line=Line())
        self.own_host, self.watched, self.memory = host, watched, memory
        self.http, self.connects, self.ssh_connection = memory.http, memory.connects, memory.ssh_connection  # type: ignore[method-assign]
        self.monotonic, self.now, self.sleep = memory.monotonic, memory.now, memory.sleep  # type: ignore[method-assign]

    def _execute(self, argv: Any, *words: Any) -> Completed:
        self.watched.step()
        if argv[0] in REAL_TOOLS:
            inside = [argv[0], *(self.own_host.inside(word) if word.startswith("/") else word for word in argv[1:])]
            done = super()._execute(inside, *words)
        else:
            done = self.memory._execute(argv, *words)
            self.own_host.copy_nodes()
        self.watched.step()
        return done


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("./f"), io.BytesIO())
    return packed.getvalue()


ARCHIVE = _archive()


# -- resources and their paths ----------------------------------------------------------------------------------------
def mapped(value: Any, paths: set[str]) -> Any:
    """Return a resource with its absolute paths below the user's home, and note them."""
    if isinstance(value, str) and value.startswith("/") and "\n" not in value and len(value) > 1:
        path = value if value.startswith(HOME + "/") else HOME + value.rstrip("/")
        paths.add(os.path.normpath(path))
        return path
    if isinstance(value, tuple):
        return tuple(mapped(item, paths) for item in value)
    if is_record(type(value)):
        given = {item.name: getattr(value, item.name) for item in fields(value)}
        if "home" in given:  # an account's, whose files are the user's
            given.update(home="/account", uid=MALLORY)
        changes = {name: mapped(item, paths) for name, item in given.items()}
        return replace(value, **changes)
    return value


def samples(world: World, kind: str) -> list[tuple[Resource, MemoryHost, list[str]]]:
    """Return some resources of a kind that take a path, each with a host it can be tried on."""
    drawn: list[tuple[Resource, MemoryHost, list[str]]] = []

    @settings(
        max_examples=SAMPLES, derandomize=True, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(world.kinds[kind], world.hosts)
    def draw(resource: Resource, double: Any) -> None:
        paths: set[str] = set()
        with suppress(ValueError):
            resource = mapped(resource, paths)
            if paths:
                drawn.append((resource, world.host(double), sorted(paths)))

    draw()
    return drawn


KINDS = sorted((kind, world.name) for world in WORLDS for kind in world.kinds if kind in _registered())


@pytest.fixture
def base() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="orchestr-adversary-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(host: Host, resource: Resource, swap: Swap | None, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Apply the resource while the user swaps; return how many steps there were, and what it came to."""
    host.make()
    watched = Watched(swap.act if swap is not None else lambda step: None)
    enter = door.enter
    with monkeypatch.context() as patch:
        patch.setattr(door, "enter", lambda path, *words, **options: enter(host.inside(path), *words, **options))
        for module in (door, filesystem, system):
            patch.setattr(module, "os", watched)
        tools = HostSystem(host, watched, MemorySystem(host.double))
        result = converge(Task(resource), tools, False, False)
    assert SECRET not in tools.line.taken
    return watched.steps, str(result.get("error", result["verdict"]))


def swaps(host: Host, steps: int) -> Iterator[Swap]:
    """Yield what the user may do: each path of the resource, and the directory it is in, at every step."""
    chosen = range(steps) if steps <= STEPS else [steps * number // STEPS for number in range(STEPS)]
    places = sorted({*host.paths, *(os.path.dirname(path) for path in host.paths)} - {HOME, os.path.dirname(HOME)})
    for number, step in enumerate(chosen):
        for place in places:
            yield Swap(step, host.jail + place, host.roots + place, goes_back=number % 2 == 1)


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[f"{kind}-{name}" for kind, name in KINDS])
def test_a_swap_at_any_step_leads_nobody_to_what_is_roots(
    kind: str, name: str, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's files keep content, mode and owner, and nothing of them is readable for the user."""
    world = next(world for world in WORLDS if world.name == name and kind in world.kinds)
    drawn = samples(world, kind)
    if not drawn:
        pytest.skip("it takes no path")
    for number, (resource, double, paths) in enumerate(drawn):
        host = Host(base, double, paths, ("file", "directory", "nothing")[number % 3])
        steps, _ = run(host, resource, None, monkeypatch)
        for swap in swaps(host, steps):
            host.make()
            before = host.rights()
            _, outcome = run(host, resource, swap, monkeypatch)
            assert host.rights() == before, (resource, swap, outcome)
            told = [path for path, content in host.readable().items() if SECRET in content]
            assert not told, (resource, swap, outcome, told)
