"""Content too large for a task, kept on the controller by digest and sent only to hosts that ask for it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orchestr.agent.wire import CHUNK
from orchestr.resources.files import Blob

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Slice:
    path: Path
    offset: int
    size_bytes: int


class BlobStore:
    """Blobs of one run: digest → where on this machine its bytes are. Safe to use from several threads."""

    def __init__(self) -> None:
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


def _digest(path: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
        return digest.hexdigest(), stream.tell()
