"""GNU tar, mv, rmdir, sync, du, df and mountpoint on a host in memory, as moving a directory uses them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

from orchestr.transport.memory import MemoryHost, MemorySystem, Node

PIECE_BYTES = 640


def packed(nodes: dict[str, Node], top: str) -> bytes:
    """Return nodes (the directory ``top`` and what is below it) as GNU tar packs them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, node in sorted(nodes.items(), key=lambda pair: pair[0].split("/")):
            member = tarfile.TarInfo("." + name[len(top) :])
            if node.type == "directory":
                member.type, member.name = tarfile.DIRTYPE, member.name + "/"
            member.size, member.mode, member.uid, member.gid = len(node.data), node.mode, node.uid, node.gid
            archive.addfile(member, io.BytesIO(node.data))
    return out.getvalue()


class SimulatedTrees:
    """Packs what is below a directory with its owners and modes, and unpacks it; all else renames nodes."""

    def __init__(self, host: MemoryHost) -> None:
        self.host = host
        self.mounts: set[str] = set()
        self.free_bytes = 10**12
        host.streams[("tar", "--create")] = self.pack
        host.commands[("tar", "--extract")] = self.unpack
        host.commands[("mv", "--no-target-directory")] = self.move
        host.commands[("rmdir",)] = self.rmdir
        host.commands[("sync",)] = ""
        host.commands[("find",)] = ""
        host.commands[("du",)] = self.du
        host.commands[("df",)] = lambda system, words, given: f"Avail\n{self.free_bytes}\n"
        host.commands[("mountpoint",)] = lambda system, words, given: (0 if words[-1] in self.mounts else 1, "")

    def below(self, place: str) -> dict[str, Node]:
        """Return name → node of a directory ("" is the directory itself)."""
        nodes = self.host.nodes
        return {name[len(place) :]: nodes[name] for name in nodes if name == place or name.startswith(place + "/")}

    def pack(self, system: MemorySystem, words: tuple[str, ...]) -> Iterator[bytes]:
        assert words[-1] == "." and "--numeric-owner" in words
        data = packed(self.below(words[-2]), "")
        for start in range(0, len(data), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]

    def unpack(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        assert {"--numeric-owner", "--same-owner", "--same-permissions"} <= set(words)
        if given[-2 * tarfile.BLOCKSIZE :].strip(b"\0"):
            return 2, "", "tar: Unexpected EOF in archive"
        with tarfile.open(fileobj=io.BytesIO(given)) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                data = b"" if stream is None else stream.read()
                kind, name = "directory" if member.isdir() else "file", member.name.rstrip("/")[1:]
                self.host.nodes[words[-1] + name] = Node(kind, data, member.mode, member.uid, member.gid)
        return ""

    def move(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        source, target = words[-2:]
        if system.list_directory(target):
            return 1, "", f"mv: cannot move '{source}' to '{target}': Directory not empty"
        for name, node in self.below(source).items():
            del self.host.nodes[source + name]
            self.host.nodes[target + name] = node
        return ""

    def rmdir(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        if system.list_directory(words[-1]):
            return 1, "", "rmdir: Directory not empty"
        del self.host.nodes[words[-1]]
        return ""

    def du(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        found = self.below(words[-1])
        return f"{sum(len(node.data) for node in found.values())}\t{words[-1]}\n" if found else (1, "", "no such file")


class MemoryVolumes(dict[str, Any]):
    """The engine of a host in memory, as far as volumes and who has them mounted go; it answers on its socket."""

    ROOT = "/var/lib/docker/volumes"

    def __init__(self, host: MemoryHost) -> None:
        super().__init__()
        self._host = host
        self.users: dict[str, str] = {}  # running container → what it has mounted
        self.services: dict[str, str] = {}  # service of a compose project → state of its container
        self.node = ""
        host.http = self

    def get(self, key: str, default: Any = None) -> Any:
        path = key.partition("/var/run/docker.sock:")[2]
        return (lambda method, body: self._answer(method, path, body)) if path else default

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/volumes/create":
            root = f"{self.ROOT}/{json.loads(body)['Name']}"
            for path in ("/var/lib/docker", self.ROOT, root, root + "/_data"):
                self._host.nodes.setdefault(path, Node("directory", mode=0o755))
            return 201, b"{}"
        if path.startswith("/volumes/"):
            root = f"{self.ROOT}/{path.rpartition('/')[2]}"
            known = any(name == root or name.startswith(root + "/") for name in self._host.nodes)
            found = {"Mountpoint": root + "/_data"}
            return (200, json.dumps(found).encode()) if known else (404, b'{"message":"no such volume"}')
        if path.startswith("/containers/json?"):
            label = "com.docker.compose.service"
            listed = [{"Id": it, "State": state, "Labels": {label: it}} for it, state in self.services.items()]
            return 200, json.dumps(listed).encode()
        if path.startswith("/containers/") and path.partition("?")[0].endswith("/stop"):
            service = path.split("/")[2]
            self.services[service] = "exited"
            self.users.pop(service, None)
            return 204, b""
        if path == "/containers/json":
            mounts = [{"Names": ["/" + name], "Mounts": [{"Source": it}]} for name, it in self.users.items()]
            return 200, json.dumps(mounts).encode()
        return 200, json.dumps({"Swarm": {"NodeID": self.node}}).encode()
