"""Content too large for a task, kept on the controller by digest and sent only to hosts that ask for it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestr.agent.wire import CHUNK
from orchestr.resources.files import Blob


@dataclass(frozen=True)
class _Slice:
    path: Path
    offset: int
    size_bytes: int


class BlobStore:
    """Blobs of one run: digest → where on this machine its bytes are. Safe to use from several threads."""

    def __init__(self) -> None:
        self._slices: dict[str, _Slice] = {}
        self._lock = threading.Lock()

    def add_file(self, path: str | Path) -> Blob:
        """Register a whole file; return what a resource carries. Raises OSError."""
        path = Path(path)
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                digest.update(chunk)
            size = stream.tell()
        return self.add_slice(digest.hexdigest(), path, 0, size)

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
