"""Content too large for a task, kept on the controller by digest and sent only to hosts that ask for it.

It is part of a file of this machine, or it has come from a host: then it is in a file without a name, which is gone
with the run, however that ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from orchestr.agent.wire import CHUNK
from orchestr.resources.files import Blob

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Slice:
    path: Path
    offset: int
    size_bytes: int


class BlobStore:
    """Blobs of one run: digest → where on this machine its bytes are. Safe to use from several threads.

    ``directory`` is where content that hosts send is held, without a name; default: where temporary files are.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._held: dict[str, tuple[IO[bytes], int]] = {}
        self._slices: dict[str, _Slice] = {}
        self._found: dict[Hashable, object] = {}
        self._lock = threading.RLock()

    def add_file(self, path: str | Path) -> Blob:
        """Register a whole file, read once for all hosts as long as it stays the same. Raises OSError."""
        path = Path(path)
        found = path.stat()
        stamp = (str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        sha256, size_bytes = self.once(stamp, lambda: _digest(path))
        return self.add_slice(sha256, path, 0, size_bytes)

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return ``make()``, called for the first host of this run that asks under ``key``."""
        with self._lock:
            if key not in self._found:
                self._found[key] = make()
            value: Value = self._found[key]  # type: ignore[assignment]  # the same key, the same make
            return value

    def add_slice(self, sha256: str, path: Path, offset: int, size_bytes: int) -> Blob:
        """Register part of a file whose digest is already known."""
        with self._lock:
            self._slices[sha256] = _Slice(path, offset, size_bytes)
        return Blob(sha256, size_bytes)

    def chunks(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most CHUNK. Raises KeyError for an unknown digest, OSError."""
        held = self._held.get(sha256)
        if held is not None:
            stream, size_bytes = held
            for offset in range(0, size_bytes, CHUNK):  # with no position of its own: several hosts read at once
                yield os.pread(stream.fileno(), CHUNK, offset)
            return
        part = self._slices[sha256]
        with part.path.open("rb") as stream:
            stream.seek(part.offset)
            left = part.size_bytes
            while left > 0:
                data = stream.read(min(CHUNK, left))
                if not data:
                    raise OSError(f"{part.path} became shorter while it was being sent")
                left -= len(data)
                yield data

    # -- from hosts -----------------------------------------------------------------------------------------------
    def incoming(self, size_bytes: int) -> Incoming:
        """Return what takes content from a host, about this much. Raises OSError when there is no room for it."""
        directory = self._directory or Path(tempfile.gettempdir())
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        free_bytes = shutil.disk_usage(directory).free
        if free_bytes < size_bytes:
            raise OSError(f"{directory} of the controller has {free_bytes} bytes free, and {size_bytes} are to come")
        return Incoming(self, tempfile.TemporaryFile(dir=directory))

    def room_bytes(self) -> int:
        """Return how much content from hosts there is room for."""
        directory = self._directory or Path(tempfile.gettempdir())
        while not directory.exists():
            directory = directory.parent
        return shutil.disk_usage(directory).free

    def hold(self, sha256: str, stream: IO[bytes], size_bytes: int) -> Blob:
        """Register content in an open file, which is this store's from now on."""
        with self._lock:
            if sha256 in self._held:
                stream.close()
            else:
                self._held[sha256] = (stream, size_bytes)
        return Blob(sha256, size_bytes)

    def close(self) -> None:
        """Give up what hosts have sent."""
        with self._lock:
            for stream, _ in self._held.values():
                stream.close()
            self._held.clear()


class Incoming:
    """Content on its way from a host: ``write`` it, then ``finish`` or ``discard``. Raises OSError from all three."""

    def __init__(self, store: BlobStore, stream: IO[bytes]) -> None:
        self._store, self._stream = store, stream
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._digest.update(chunk)

    def finish(self, sha256: str, size_bytes: int) -> Blob:
        """Register it when it is what was sent; else raise OSError, keeping nothing."""
        self._stream.flush()
        found = (self._digest.hexdigest(), self._stream.tell())
        if found != (sha256, size_bytes):
            self.discard()
            raise OSError(f"it arrived damaged: {found[1]} bytes of {size_bytes}, or another sha256 than sent")
        return self._store.hold(sha256, self._stream, size_bytes)

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # what was not written yet may find no room: nobody wants it
            self._stream.close()


def _digest(path: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
        return digest.hexdigest(), stream.tell()
