"""This machine as a host, by the same contract."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestr.errors import UnreachableError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.transport.base import Channel, Connection
from orchestr.transport.connect import connect

MIB = 1024 * 1024


@pytest.fixture
def here() -> Iterator[Connection]:
    connection = connect(ConnectionSettings("localhost", connection="local"))
    yield connection
    connection.close()


def read_all(channel: Channel) -> bytes:
    parts = []
    while data := channel.read(MIB, 20):
        parts.append(data)
    return b"".join(parts)


def test_arguments_arrive_unharmed(here: Connection) -> None:
    """No shell takes the arguments apart."""
    words = ["a b", "$HOME", "'", '"', "*", "", "ü;ls\n"]
    assert read_all(here.start(["printf", "<%s>", *words])).decode() == "".join(f"<{word}>" for word in words)


def test_streams_are_merged_and_the_status_told(here: Connection) -> None:
    """stderr comes with stdout, then the exit status."""
    channel = here.start(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert read_all(channel) == b"out\nerr\n"
    assert channel.exit_status(5) == 7


def test_a_missing_command_ends_with_127_as_over_ssh(here: Connection) -> None:
    """No exception, but the shell's word and status."""
    channel = here.start(["no-such-command"])
    assert b"not found" in read_all(channel)
    assert channel.exit_status(5) == 127


def test_ten_megabytes_go_both_ways_at_once(here: Connection) -> None:
    """Writing and reading at once does not deadlock."""
    sent = os.urandom(MIB) * 10
    channel = here.start(["head", "-c", str(len(sent))])
    writer = threading.Thread(target=channel.write, args=(sent,))
    writer.start()
    assert read_all(channel) == sent
    writer.join(20)


def test_silence_is_a_timeout(here: Connection) -> None:
    """Nothing within the time is TimeoutError; the channel goes on."""
    channel = here.start(["cat"])
    with pytest.raises(TimeoutError):
        channel.read(1, 0.05)
    channel.write(b"x")
    assert channel.read(1, 10) == b"x"


def test_writing_to_an_ended_command_is_an_error(here: Connection) -> None:
    """A broken pipe is UnreachableError."""
    channel = here.start(["true"])
    assert read_all(channel) == b""
    with pytest.raises(UnreachableError, match="ended"):
        channel.write(b"x" * MIB)


def test_close_ends_a_waiting_read(here: Connection) -> None:
    """Another thread's close gives the reader an end of stream."""
    channel = here.start(["cat"])
    threading.Timer(0.1, channel.close).start()
    assert channel.read(1, 20) == b""
    channel.close()


def test_close_kills_what_does_not_end_by_itself(here: Connection, tmp_path: Path) -> None:
    """A command that ignores the end of its input is killed, its children too."""
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    channel = here.start(["sh", "-c", f"exec 9>{alive}; trap '' HUP TERM PIPE; sleep 1000 & wait"])
    with alive.open("rb") as held:  # opens once the command has opened its end
        channel.close()
        assert held.read() == b""  # an end of file: nobody holds the other end any more
    assert channel.exit_status(0.1) is None
