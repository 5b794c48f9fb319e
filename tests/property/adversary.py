"""A host with an ordinary user who swaps files, links and directories while root applies a resource below that user's
home, on a real file system. What the user can read afterwards, and root's own files, tell whether anything was gained.

The kinds of resources come from the registry, their values and the tools they run from their worlds
(`test_every_kind`). Nothing here is to last, so files are in memory where they can be, and are not made durable.
"""

from __future__ import annotations

import copy
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from orchestr.agent import door, filesystem, host_files
from orchestr.agent.converge import converge
from orchestr.agent.record import fields, is_record, replace
from orchestr.agent.resource import Resource, Task
from orchestr.agent.system import Completed, System
from orchestr.resources.files import Blob
from orchestr.testing import World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.property.test_every_kind import WORLDS, _registered

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root is the one who is led astray")
MEMORY = "/dev/shm"

MALLORY = 4242  # an ordinary user
HOME = "/home/mallory"
SECRET = b"root's own secret"
DRAWN = 12  # resources of each kind that are looked at
SAMPLES = 4  # of these and of what may be at their paths, that are tried
#: Calls that do not go to the file system, or only to what is open already.
HARMLESS = {"close", "fdopen", "getpid", "geteuid", "getuid", "getcwd", "urandom", "strerror", "path"}
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


class Watched:
    """The module os, with somebody who acts before each call."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.steps = 0
        self._act = act

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        if name == "fsync":
            return lambda descriptor: None
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
    make_double: Callable[[], MemoryHost]
    paths: list[str]
    kind_there: str
    double: MemoryHost = field(default_factory=MemoryHost)
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
        """Make it anew, as it was at first: also what its tools have changed in memory."""
        self.double = self.make_double()
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
        for folder, _, _ in os.walk(self.roots + HOME):
            os.chmod(folder, 0o710)  # such as no resource wants, so that each change is seen
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
        """Have on disk what the tools of the double have changed in memory.

        They follow no link: how real ones do is their own, and `resources/exposed.py` keeps them from it.
        """
        for path, node in sorted(self.double.nodes.items()):
            now = (node.type, node.data, node.mode, node.uid, node.gid, node.target)
            if self.written.get(path) != now:
                self.written[path] = now
                inside = self.jail + path
                with suppress(OSError):
                    if node.type == "link" or os.path.realpath(inside) == inside:
                        _make_node(inside, node)

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
        super().__init__(fetch=lambda digest, size_bytes: iter([ARCHIVE[:1], ARCHIVE[1:]]), line=Line())
        self.own_host, self.watched, self.memory = host, watched, memory
        self.http, self.connects, self.ssh_connection = memory.http, memory.connects, memory.ssh_connection  # type: ignore[method-assign]
        self.monotonic, self.now, self.sleep = memory.monotonic, memory.now, memory.sleep  # type: ignore[method-assign]

    def _execute(self, argv: Any, *words: Any) -> Completed:
        self.watched.step()
        if argv[0] in REAL_TOOLS:
            done = super()._execute([argv[0], *self._inside(argv[1:])], *words)
        else:
            done = self.memory._execute(argv, *words)
            self.own_host.copy_nodes()
        self.watched.step()
        return done

    def _inside(self, words: Sequence[str]) -> Iterator[str]:
        """Yield words of a command with the places on this machine; names behind ``--`` are seen from /."""
        jail, is_name = self.own_host.jail, False
        for word in words:
            is_path = len(word) > 1 and word.startswith("/")
            is_within = is_name and not word.startswith("proc/")
            yield self.own_host.inside(word) if is_path else f"{jail[1:]}/{word}" if is_within else word
            is_name = is_name or word == "--"


def _archive() -> bytes:
    packed, tree = io.BytesIO(), tarfile.TarInfo("./")
    tree.type, tree.mode = tarfile.DIRTYPE, 0o755
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tree)
        archive.addfile(tarfile.TarInfo("./f"), io.BytesIO())
    return packed.getvalue()


ARCHIVE = _archive()  # the content of all that the controller sends


# -- resources and their paths ----------------------------------------------------------------------------------------
def mapped(value: Any, paths: set[str]) -> Any:
    """Return a resource with its absolute paths below the user's home, and note them."""
    if isinstance(value, str) and value.startswith("/") and "\n" not in value and len(value) > 1:
        path = value if f"{value}/".startswith(HOME + "/") else HOME + value.rstrip("/")
        paths.add(os.path.normpath(path))
        return path
    if isinstance(value, tuple):
        return tuple(mapped(item, paths) for item in value)
    if isinstance(value, Blob):
        return Blob(hashlib.sha256(ARCHIVE).hexdigest(), len(ARCHIVE))
    if is_record(type(value)):
        given = {item.name: getattr(value, item.name) for item in fields(value)}
        if "home" in given:  # an account's, whose files are the user's
            given.update(home=HOME, uid=MALLORY)
            paths.add(HOME + "/.ssh/authorized_keys")
        changes = {name: mapped(item, paths) for name, item in given.items()}
        return replace(value, **changes)
    return value


def samples(world: World, kind: str) -> list[tuple[Resource, Callable[[], MemoryHost], list[str]]]:
    """Return some resources of a kind that take a path, each with the maker of a host it can be tried on."""
    drawn: list[tuple[Resource, Callable[[], MemoryHost], list[str]]] = []

    @settings(
        max_examples=DRAWN, derandomize=True, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(world.kinds[kind], world.hosts)
    def draw(resource: Resource, double: Any) -> None:
        paths: set[str] = set()
        with suppress(ValueError):
            resource = mapped(resource, paths)
            if paths:
                drawn.append((resource, lambda: world.host(copy.deepcopy(double)), sorted(paths - {HOME})))

    draw()
    return drawn


KINDS = sorted((kind, world.name) for world in WORLDS for kind in world.kinds if kind in _registered())


@pytest.fixture
def base() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="orchestr-adversary-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(host: Host, resource: Resource, act: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Apply the resource on a host that was made; return how many steps there were, and what it came to."""
    watched = Watched(act)
    enter, seize = door.enter, door.seize
    with monkeypatch.context() as patch:
        patch.setattr(door, "enter", lambda path, *words, **options: enter(host.inside(path), *words, **options))
        patch.setattr(door, "seize", lambda path: seize(host.inside(path)))
        for module in (door, filesystem, host_files):
            patch.setattr(module, "os", watched)
        tools = HostSystem(host, watched, MemorySystem(host.double))
        result = converge(Task(resource), tools, False, False)
    assert SECRET not in tools.line.taken
    return watched.steps, str(result.get("error", result["verdict"]))


def trials(kind: str, name: str, base: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Host, Resource, int]]:
    """Return resources of a kind, each with a host on which it changes something, and the steps that this takes.

    They differ in whether the thing is to be there, and in what is at its paths before. A kind that changes nothing
    anywhere (it looks, or waits) is tried as it is.
    """
    changing: dict[object, dict[str, tuple[Host, Resource, int]]] = {}
    others: dict[object, dict[str, tuple[Host, Resource, int]]] = {}
    for resource, make_double, paths in samples(world_of(kind, name), kind):
        wish = tuple(bool(getattr(resource, name, None)) for name in ("present", "running", "authorized_keys"))
        for kind_there in ("file", "directory", "nothing"):
            if kind_there in changing.get(wish, ()):
                continue
            host = Host(base, make_double, paths, kind_there)
            host.make()
            steps, outcome = run(host, resource, lambda step: None, monkeypatch)
            chosen = changing if outcome == "changed" else others
            chosen.setdefault(wish, {}).setdefault(kind_there, (host, resource, steps))
    in_turn = zip_longest(*(trials.values() for trials in (changing or others).values()))
    return [trial for trials in in_turn for trial in trials if trial is not None][:SAMPLES]


def places(host: Host) -> list[str]:
    """Return what the user may swap: each path of the resource, and the directory it is in."""
    return sorted({*host.paths, *(os.path.dirname(path) for path in host.paths)} - {HOME, os.path.dirname(HOME)})


def assert_nothing_gained(host: Host, before: object, circumstances: object) -> None:
    """Root's files keep content, mode and owner, and nothing of them is readable for the user."""
    assert host.rights() == before, circumstances
    told = [path for path, content in host.readable().items() if SECRET in content]
    assert not told, (circumstances, told)


def world_of(kind: str, name: str) -> World:
    return next(world for world in WORLDS if world.name == name and kind in world.kinds)
