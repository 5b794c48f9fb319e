"""Content that hosts ask for: read once for all of them, handed out in whole packets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestr import blobs
from orchestr.agent import wire
from orchestr.blobs import BlobStore


def test_a_file_is_read_once_for_all_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hosts that get one file cost one reading of it; once it is another file, it is read again."""
    read: list[Path] = []
    digest = blobs._digest
    monkeypatch.setattr(blobs, "_digest", lambda path: (read.append(path), digest(path))[1])
    path, store = tmp_path / "large", BlobStore()
    path.write_bytes(b"first")
    assert len({store.add_file(path) for _ in range(3)}) == 1 and read == [path]
    path.write_bytes(b"another")
    assert store.add_file(path).sha256 == hashlib.sha256(b"another").hexdigest() and read == [path, path]


def test_chunks_fill_whole_packets(tmp_path: Path) -> None:
    """The frame of a full chunk is a whole number of SSH packets, so that none travels nearly empty."""
    path, store = tmp_path / "large", BlobStore()
    path.write_bytes(bytes(wire.CHUNK + 1))
    chunks = list(store.chunks(store.add_file(path).sha256))
    assert [len(chunk) for chunk in chunks] == [wire.CHUNK, 1]
    assert len(wire.chunk_frame(1, chunks[0])) % wire.PACKET == 0
