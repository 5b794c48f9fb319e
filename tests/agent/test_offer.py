"""Content from a host to the controller: whole or not at all, as fast as it is taken, and nothing of it stays."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr import blobs
from orchestr.agent import wire
from orchestr.agent.resource import Task
from orchestr.blobs import BlobStore, Incoming
from orchestr.engine.download import Download
from orchestr.engine.session import Session, SessionOptions
from orchestr.engine.upload import WINDOW
from orchestr.errors import UnreachableError
from orchestr.inventory import ConnectionSettings
from orchestr.transport.local import LocalConnection
from orchestr.transport.memory import MemoryConnection, MemoryHost, MemorySystem
from tests.agent.offering import Offering

LOCAL = ConnectionSettings(address="localhost", connection="local")
ENDLESS = Offering(("cat", "/dev/zero"))
LARGE_BYTES = 2 * WINDOW + 12345


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "held")


@pytest.fixture(params=["a process", "memory"])
def session(request: pytest.FixtureRequest, store: BlobStore) -> Iterator[Session]:
    """An agent on this machine, or in memory, where ``cat`` and ``sh`` are played."""
    host = MemoryHost()
    host.streams[("cat",)] = _cat
    host.streams[("sh",)] = _sh
    here = LocalConnection if request.param == "a process" else lambda: MemoryConnection(host)
    session = Session("here", LOCAL, lambda settings: here(), SessionOptions("run"), store)
    session.open()
    yield session
    session.close()


def _cat(system: MemorySystem, words: tuple[str, ...]) -> Iterator[bytes]:
    with open(words[1], "rb") as stream:
        while chunk := stream.read(wire.CHUNK):
            yield chunk


def _sh(system: MemorySystem, words: tuple[str, ...]) -> Iterator[bytes]:
    from orchestr.agent.system import CommandFailed, Completed

    yield bytes(2_000_000)
    raise CommandFailed(Completed(words, 3, "", "file changed as we read it"))


def offered(session: Session, offering: Offering) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    session.run_tasks([Task(offering, id="t")], check=False, on_message=messages.append)
    return next(message for message in messages if message["type"] == "result")


def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(LARGE_BYTES))
    return path


def test_more_than_a_window_arrives_whole(session: Session, store: BlobStore, tmp_path: Path) -> None:
    """The outcome says sha256 and size, the store hands it out again, and no file has a name."""
    path = large(tmp_path)
    result = offered(session, Offering(("cat", str(path)), LARGE_BYTES))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert result["outcome"] == {"sha256": sha256, "size_bytes": LARGE_BYTES}
    assert b"".join(store.chunks(sha256)) == path.read_bytes()
    assert list((tmp_path / "held").iterdir()) == []
    store.close()
    with pytest.raises(KeyError):
        next(store.chunks(sha256))


def test_nothing_at_all_is_content_too(session: Session, store: BlobStore) -> None:
    """A command that writes nothing offers content of no bytes."""
    result = offered(session, Offering(("cat", "/dev/null")))
    assert result["outcome"]["size_bytes"] == 0
    assert list(store.chunks(result["outcome"]["sha256"])) == []


def test_a_command_that_fails_offers_nothing(session: Session, store: BlobStore) -> None:
    """What it wrote before is forgotten, its own words are told, and the next offer of the session is taken."""
    script = "head -c 2000000 /dev/zero; echo file changed as we read it >&2; exit 3"
    result = offered(session, Offering(("sh", "-c", script)))
    assert result["verdict"] == "failed" and "file changed as we read it" in result["error"]["stderr"]
    assert not store._held
    assert offered(session, Offering(("cat", "/dev/null")))["verdict"] == "changed"


def test_a_full_disk_here_ends_it_there(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offer without end is given up on the host as soon as the controller cannot write; the reason is told."""
    written = 0

    def write(incoming: Incoming, chunk: bytes) -> None:
        nonlocal written
        written += len(chunk)
        if written > 3_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Incoming, "write", write)
        result = offered(session, ENDLESS)
    assert result["verdict"] == "failed" and "No space left on device" in result["error"]["message"]
    assert offered(session, Offering(("cat", "/dev/null")))["verdict"] == "changed"


def test_no_room_is_said_before_anything_comes(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offer larger than the room there is, is refused by its announced size."""
    result = offered(session, Offering(ENDLESS.argv, size_bytes=1 << 60))
    assert result["verdict"] == "failed" and "bytes free" in result["error"]["message"]


def test_what_is_damaged_on_its_way_is_refused(
    session: Session, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content whose digest differs from the sender's is not kept, and the sender's task fails."""
    whole = Download.take
    monkeypatch.setattr(Download, "take", lambda self, number, chunk: whole(self, number, b"x" + chunk[1:]))
    path = tmp_path / "zeros"
    path.write_bytes(bytes(100))
    result = offered(session, Offering(("cat", str(path))))
    assert result["verdict"] == "failed" and "arrived damaged" in result["error"]["message"]
    assert not store._held


def test_a_line_lost_in_the_middle_leaves_nothing(
    session: Session, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run learns that the host is gone, and nothing is held of what had come."""
    made: list[Incoming] = []
    monkeypatch.setattr(blobs, "Incoming", lambda *given: made.append(Incoming(*given)) or made[-1])
    write = Incoming.write
    monkeypatch.setattr(Incoming, "write", lambda self, chunk: (write(self, chunk), session.close()))
    with pytest.raises(UnreachableError):
        offered(session, Offering(("cat", str(large(tmp_path)))))
    assert not store._held and [each._stream.closed for each in made] == [True]


def test_hosts_read_what_one_sent_at_the_same_time(store: BlobStore) -> None:
    """Two readers of one content do not disturb each other."""
    content = os.urandom(3 * wire.CHUNK + 7)
    incoming = store.incoming(len(content))
    incoming.write(content)
    sha256 = incoming.finish(hashlib.sha256(content).hexdigest(), len(content)).sha256
    pairs = list(zip(store.chunks(sha256), store.chunks(sha256), strict=True))
    assert b"".join(one for one, _ in pairs) == b"".join(other for _, other in pairs) == content
