"""Feeding a child from an iterator: everything arrives, and nobody is left behind."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

import pytest

from orchestr.agent import process
from orchestr.agent.child import Child
from orchestr.agent.system import System
from tests.waiting import HANG_S


def test_every_chunk_arrives_in_order() -> None:
    """Chunks larger than a pipe, small and empty ones reach the child as one stream."""
    chunks = [b"", b"a" * 300_000, b"", b"b", b"c" * 70_000, b""]
    done = System().run(["sha256sum"], input=iter(chunks))
    assert done.stdout.split()[0] == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_a_child_that_stops_reading_ends_the_iterator() -> None:
    """A child that wants no more is no error; what feeds it is closed, so that it can clean up."""
    closed = []

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.append(True)

    assert System().run(["head", "-c", "1"], input=chunks()).stdout == "x"
    assert closed == [True]


def test_an_iterator_that_fails_kills_the_child() -> None:
    """The failure is passed on, and the child that was being fed is gone, not left with half its input."""
    pids: list[int] = []

    def chunks() -> Iterator[bytes]:
        yield b"half"
        give_up = time.monotonic() + HANG_S
        while not pids and time.monotonic() < give_up:  # a child has no command line while it is being executed
            names = [name for name in os.listdir("/proc") if name.isdigit()]
            pids.extend(int(name) for name in names if _command(name) == b"sleep\x0098765\x00")
        raise OSError("damaged")

    with pytest.raises(OSError, match="damaged"):
        System().run(["sleep", "98765"], input=chunks())
    assert len(pids) == 1 and _command(str(pids[0])) == b""


def _command(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def test_the_output_of_a_command_that_ends_between_two_looks_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a command may write and end after a look for output, and before the one for its end."""
    looks: list[int] = []

    def poll(child: Child) -> int | None:
        looks.append(child.pid)
        child.wait()  # as if it ended just now
        return child.exit

    monkeypatch.setattr(Child, "poll", poll)
    script = ["/bin/sh", "-c", "sleep 0.5; echo written; echo said >&2"]
    assert process.run(script, b"", {}, 60, 1 << 20) == (0, b"written\n", b"said\n", False)
    assert looks, "the command ended before it was looked at"
