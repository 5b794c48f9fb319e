"""A host that exists only in memory: files in a dict, commands answered from a script, a clock that sleeps at once.

A test can hold real tool output per version as fixtures, and see every write.
"""

from __future__ import annotations

import errno
import hashlib
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from orchestr.agent.door import MAX_LINKS, UnsafePath
from orchestr.agent.system import CommandFailed, Completed, FileStat, System

Answer = str | tuple[int, str] | tuple[int, str, str] | Callable[["MemorySystem", tuple[str, ...], bytes], Any]


@dataclass
class Node:
    """A file, directory or link of a MemorySystem."""

    type: str
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    target: str = ""
    changed_ns: int = 0
    modified_ns: int = 0


class ReadOnlyViolation(AssertionError):
    """A write in a read-only system."""


@dataclass
class MemoryHost:
    """A host's state: files by path, scripted commands (longest matching argv prefix wins), facts, open ports."""

    nodes: dict[str, Node] = field(default_factory=dict)
    commands: dict[tuple[str, ...], Answer] = field(default_factory=dict)
    streams: dict[tuple[str, ...], Callable[[MemorySystem, tuple[str, ...]], Iterator[bytes]]] = field(
        default_factory=dict
    )  # commands whose output is streamed to the controller
    http: dict[str, tuple[int, bytes] | Callable[[str, bytes], tuple[int, bytes]]] = field(default_factory=dict)
    ports: set[tuple[str, int]] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    log: list[tuple[str, ...]] = field(default_factory=list)
    writes: int = 0
    clock: float = 1_000.0
    holder: dict[str, Any] | None = None
    agent_cpu_s: float = 0.0  # CPU time of its agents in this process; on a real host it would be the host's

    def __post_init__(self) -> None:
        for path in ("/", "/etc", "/opt", "/usr", "/usr/bin", "/var", "/var/lib", "/run", "/tmp"):  # noqa: S108
            self.nodes.setdefault(path, Node("directory", mode=0o755))
        self.add_file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n")
        self.add_file("/etc/group", "root:x:0:\nnogroup:x:65534:\n")

    def add_file(self, path: str, content: str | bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Put a file there, unless there is one."""
        data = content.encode() if isinstance(content, str) else content
        self.nodes.setdefault(path, Node("file", data, mode, uid, gid))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count this thread's CPU time as the host's, not the controller's."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.agent_cpu_s += time.thread_time() - began

    def text(self, path: str) -> str:
        """Return a file's content as text. Raises KeyError."""
        return self.nodes[path].data.decode()


class MemorySystem(System):
    """A System on a MemoryHost. ``read_only`` makes every write raise ReadOnlyViolation."""

    def __init__(self, host: MemoryHost | None = None, *, read_only: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.host = host or MemoryHost()
        self.read_only = read_only

    # -- commands -------------------------------------------------------------------------------------------------
    def _execute(
        self,
        argv: Sequence[str],
        input: bytes | Iterator[bytes],
        env: Mapping[str, str] | None,
        timeout_s: float,
        check: bool,
        on_output: Callable[[str], None] | None,
    ) -> Completed:
        words = tuple(argv)
        self.host.log.append(words)
        data = input if isinstance(input, bytes) else b"".join(input)
        done = Completed(words, *self._answer(words, data))
        if on_output is not None and done.stdout:
            on_output(done.stdout)
        if check and done.exit != 0:
            raise CommandFailed(done)
        return done

    def _answer(self, words: tuple[str, ...], input: bytes) -> tuple[int, str, str]:
        for size in range(len(words), 0, -1):
            if words[:size] in self.host.commands:
                answer = self.host.commands[words[:size]]
                if callable(answer):
                    answer = answer(self, words, input)
                if answer is None:
                    return 0, "", ""
                if isinstance(answer, str):
                    return 0, answer, ""
                return (*answer, "")[:3]
        return 127, "", f"{words[0]}: not found"

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self._written()
        return super().run(argv, **options)

    def output_of(self, argv: Sequence[str], timeout_s: float) -> Iterator[bytes]:
        words = tuple(argv)
        self.host.log.append(words)
        sizes = [size for size in range(len(words), 0, -1) if words[:size] in self.host.streams]
        if not sizes:
            raise CommandFailed(Completed(words, 127, "", f"{words[0]}: not found"))
        yield from self.host.streams[words[: sizes[0]]](self, words)

    # -- files ----------------------------------------------------------------------------------------------------
    def _written(self) -> None:
        if self.read_only:
            raise ReadOnlyViolation("a write while only looking is allowed")
        self.host.writes += 1
        self.host.clock += 0.001

    def read_bytes(self, path: str, limit: int | None = None) -> bytes | None:
        node = self._followed(path)
        if node is None:
            return None
        if node.type != "file":
            raise IsADirectoryError(path)
        return node.data if limit is None else node.data[:limit]

    def _followed(self, path: str) -> Node | None:
        return self.host.nodes.get(self.real_path(path))

    def stat(self, path: str) -> FileStat | None:
        node = self.host.nodes.get(path)
        if node is None:
            return None
        size = len(node.data)
        return FileStat(node.type, node.mode, node.uid, node.gid, size, node.changed_ns, node.target, node.modified_ns)

    def read_file(self, path: str) -> tuple[bytes, FileStat] | None:
        data = self.read_bytes(path)
        status = self.stat(path)
        return None if data is None or status is None else (data, status)

    def real_path(self, path: str) -> str:
        for _ in range(MAX_LINKS):
            node = self.host.nodes.get(path)
            if node is None or node.type != "link":
                return path
            self._require_followable(path, node)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), node.target))
        raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)

    def pinned(self, path: str, private: bool = False) -> Any:
        return nullcontext(path)

    def is_exposed(self, path: str) -> bool:
        return False

    def _require_followable(self, path: str, link: Node) -> None:
        folder, is_roots = path, link.uid == 0
        while is_roots and folder != "/":
            folder = posixpath.dirname(folder)
            node = self.host.nodes.get(folder)
            is_roots = node is None or (node.uid == 0 and not node.mode & 0o022)
        if not is_roots:
            message = f"{path} is a link to {link.target}: the link is not followed"
            raise UnsafePath(message, path, "name the path it leads to")

    def list_directory(self, path: str) -> list[str]:
        start = path.rstrip("/") + "/"
        return sorted({name[len(start) :].split("/")[0] for name in self.host.nodes if name.startswith(start)} - {""})

    def digest(self, path: str) -> str | None:
        if path in self.predicted:
            return self.predicted[path]
        data = self.read_bytes(path)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def _put(self, path: str, node: Node) -> None:
        self._written()
        parent = path.rstrip("/").rpartition("/")[0] or "/"
        if parent not in self.host.nodes:
            raise FileNotFoundError(2, "No such file or directory", path)
        node.changed_ns = node.modified_ns = int(self.host.clock * 1e9)
        self.host.nodes[path] = node

    def write_bytes(self, path: str, data: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        self._put(path, Node("file", data, mode, uid, gid))

    def rewrite(self, path: str, data: bytes, before: FileStat) -> None:
        self.write_bytes(path, data, mode=before.mode, uid=before.uid, gid=before.gid)

    def attributes(self, path: str) -> list[tuple[str, bytes]]:
        return []

    def write_blob(
        self, path: str, digest: str, size_bytes: int, *, mode: int = 0o600, uid: int = 0, gid: int = 0
    ) -> None:
        data = b"".join(self.blob(digest, size_bytes))
        if hashlib.sha256(data).hexdigest() != digest:
            raise OSError(f"the content that arrived for {path} is damaged (sha256 differs)")
        self.write_bytes(path, data, mode=mode, uid=uid, gid=gid)

    def adopt(self, path: str, digest: str, *, mode: int, uid: int, gid: int) -> None:
        self._written()
        node = self.host.nodes[path]
        node.mode, node.uid, node.gid = mode, uid, gid
        node.changed_ns = int(self.host.clock * 1e9)

    def make_directory(
        self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, must_be_new: bool = False
    ) -> None:
        self._written()
        if must_be_new and path in self.host.nodes:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        parts = path.strip("/").split("/")
        for size in range(1, len(parts)):
            self.host.nodes.setdefault("/" + "/".join(parts[:size]), Node("directory", mode=0o755))
        self._put(path, Node("directory", b"", mode, uid, gid))

    def set_mode(self, path: str, mode: int) -> None:
        self._written()
        self.host.nodes[path].mode = mode
        self.host.nodes[path].changed_ns = int(self.host.clock * 1e9)

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        self._written()
        self.host.nodes[path].uid, self.host.nodes[path].gid = uid, gid

    def symlink(self, target: str, path: str) -> None:
        self._put(path, Node("link", mode=0o777, target=target))

    def remove(self, path: str) -> None:
        self._written()
        for name in [name for name in self.host.nodes if name == path or name.startswith(path + "/")]:
            del self.host.nodes[name]

    def rename(self, source: str, target: str) -> None:
        self._written()
        if source not in self.host.nodes:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", source)
        if self.list_directory(target):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", target)
        nodes = self.host.nodes
        for name in [name for name in nodes if name == source or name.startswith(source + "/")]:
            nodes[target + name[len(source) :]] = nodes.pop(name)

    def remove_empty(self, path: str) -> None:
        self._written()
        if self.list_directory(path):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        del self.host.nodes[path]

    # -- sockets and clock ----------------------------------------------------------------------------------------
    def http(
        self,
        url: str,
        *,
        socket_path: str = "",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
    ) -> tuple[int, bytes]:
        key = f"{socket_path}:{url}" if socket_path else url
        answer = self.host.http.get(key)
        if answer is None:
            raise ConnectionRefusedError(111, "Connection refused", key)
        if method not in ("GET", "HEAD"):
            self._written()
        return answer(method, body) if callable(answer) else answer

    def connects(self, address: str, port: int, timeout_s: float = 3.0) -> bool:
        return (address, port) in self.host.ports

    def ssh_connection(self) -> str:
        return str(facts_of(self.host)["ssh_connection"])

    def monotonic(self) -> float:
        return self.host.clock

    def now(self) -> float:
        return self.host.clock

    def sleep(self, seconds: float) -> None:
        self.host.clock += seconds
        self.forget(())


def facts_of(host: MemoryHost) -> dict[str, Any]:
    """Return the facts of the host: sensible values, and the test's own."""
    known: dict[str, Any] = {
        "hostname": "memory",
        "distribution": "debian",
        "distribution_version": "12",
        "distribution_codename": "bookworm",
        "distribution_like": "",
        "python": "3.11.0",
        "user": "root",
        "uid": 0,
        "cpu_count": 2,
        "memory_bytes": 4 << 30,
        "disk_free_bytes": 100 << 30,
        "addresses": (),
        "time": 0.0,
        "architecture": "x86_64",
        "kernel": "6.1.0",
        "machine_id": "",
        "init": "systemd",
        "ssh_connection": "10.0.0.1 50000 10.0.0.2 22",
    }
    return {**known, **host.facts}
