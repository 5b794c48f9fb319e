"""Content too large for a task: the controller keeps it by digest and sends it only to hosts that request it.

It is part of a file of the controller, or it was received from a host: then it is in a temporary file without a name,
which disappears with the run, even after a crash.
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
    """Blobs of one run: digest → location of the bytes on the controller. Thread-safe.

    ``directory`` is for temporary files without a name, with content from hosts; default: the system's.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._held: dict[str, tuple[IO[bytes], int]] = {}
        self._slices: dict[str, _Slice] = {}
        self._cache: dict[Hashable, object] = {}
        self._lock = threading.RLock()

    def add_file(self, path: str | Path) -> Blob:
        """Register a whole file; it is read once for all hosts, as long as it does not change. Raises OSError."""
        path = Path(path)
        stat = path.stat()
        stamp = (str(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        sha256, size_bytes = self.once(stamp, lambda: _digest(path))
        return self.add_slice(sha256, path, 0, size_bytes)

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return ``make()``; the result is cached under ``key`` for all hosts of this run."""
        with self._lock:
            if key not in self._cache:
                self._cache[key] = make()
            value: Value = self._cache[key]  # type: ignore[assignment]  # the same key, the same make
            return value

    def add_slice(self, sha256: str, path: Path, offset: int, size_bytes: int) -> Blob:
        """Register part of a file with a known digest."""
        with self._lock:
            self._slices[sha256] = _Slice(path, offset, size_bytes)
        return Blob(sha256, size_bytes)

    def chunks(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most CHUNK. Raises KeyError for an unknown digest, OSError."""
        held = self._held.get(sha256)
        if held is not None:
            stream, size_bytes = held
            for offset in range(0, size_bytes, CHUNK):  # pread has no shared position: several hosts read at once
                yield os.pread(stream.fileno(), CHUNK, offset)
            return
        part = self._slices[sha256]
        with part.path.open("rb") as stream:
            stream.seek(part.offset)
            remaining = part.size_bytes
            while remaining > 0:
                data = stream.read(min(CHUNK, remaining))
                if not data:
                    raise OSError(f"{part.path} became shorter during the transfer")
                remaining -= len(data)
                yield data

    # -- from hosts -----------------------------------------------------------------------------------------------
    def incoming(self, size_bytes: int) -> Incoming:
        """Return a receiver for content from a host, of about ``size_bytes``. Raises OSError without enough space."""
        directory = self._directory or Path(tempfile.gettempdir())
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        free_bytes = shutil.disk_usage(directory).free
        if free_bytes < size_bytes:
            raise OSError(f"{directory} of the controller has {free_bytes} bytes free, {size_bytes} are needed")
        return Incoming(self, tempfile.TemporaryFile(dir=directory))

    def room_bytes(self) -> int:
        """Return the free space for content from hosts, in bytes."""
        directory = self._directory or Path(tempfile.gettempdir())
        while not directory.exists():
            directory = directory.parent
        return shutil.disk_usage(directory).free

    def hold(self, sha256: str, stream: IO[bytes], size_bytes: int) -> Blob:
        """Register content in an open file; the store closes the file."""
        with self._lock:
            if sha256 in self._held:
                stream.close()
            else:
                self._held[sha256] = (stream, size_bytes)
        return Blob(sha256, size_bytes)

    def close(self) -> None:
        """Close the files with content from hosts, which removes them."""
        with self._lock:
            for stream, _ in self._held.values():
                stream.close()
            self._held.clear()


class Incoming:
    """A receiver for content from a host: ``write`` it, then ``finish`` or ``discard``. All three raise OSError."""

    def __init__(self, store: BlobStore, stream: IO[bytes]) -> None:
        self._store, self._stream = store, stream
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._digest.update(chunk)

    def finish(self, sha256: str, size_bytes: int) -> Blob:
        """Register the content. Raises OSError, and discards it, when digest or size differ."""
        self._stream.flush()
        received = (self._digest.hexdigest(), self._stream.tell())
        if received != (sha256, size_bytes):
            self.discard()
            raise OSError(f"it arrived damaged: {received[1]} bytes of {size_bytes}, or another sha256 than sent")
        return self._store.hold(sha256, self._stream, size_bytes)

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # unwritten data may not fit on the disk; it is not needed
            self._stream.close()


def _digest(path: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
        return digest.hexdigest(), stream.tell()
