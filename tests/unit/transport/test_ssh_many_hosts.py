"""What a run costs per host: files are read once, and places in the queue are held while it moves on."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import fabric  # type: ignore[import-untyped]
import paramiko
import pytest
from sshd_on_loopback import Sshd

from orchestr.transport import known_hosts, paramiko_internals, ssh_keys
from orchestr.transport.connect import connect
from orchestr.transport.known_hosts import read
from orchestr.transport.paramiko_internals import SshTransport
from orchestr.transport.ssh_limits import Deadline, Slots
from tests.waiting import HANG_S


def test_many_logins_read_each_file_once(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty-four logins load the private key once and parse known_hosts once."""
    key = tmp_path / "key"  # which no test has used before
    key.write_bytes(sshd.user_key.read_bytes())
    loaded: list[str] = []
    parsed: list[str] = []
    load, parse = paramiko.PKey.from_path, known_hosts.parse

    def load_and_note(path: Any) -> paramiko.PKey:
        loaded.append(str(path))
        return load(path)

    def parse_and_note(file: str, text: str) -> Any:
        parsed.append(file)
        return parse(file, text)

    monkeypatch.setattr(paramiko.PKey, "from_path", load_and_note)
    monkeypatch.setattr(known_hosts, "parse", parse_and_note)
    for _ in range(24):
        connect(sshd.settings(key_file=str(key)), timeout_s=20).close()
    assert loaded.count(str(key)) == 1
    assert parsed.count(str(sshd.known_hosts)) == 1


def test_a_key_recorded_meanwhile_is_seen(tmp_path: Path) -> None:
    """A known_hosts file that was written to is read again."""
    file = tmp_path / "known_hosts"
    assert read([str(file)]) == []
    file.write_text("web1 ssh-ed25519 AAAA\n")
    assert [key.names for key in read([str(file)])] == ["web1"]
    with file.open("a") as stream:
        stream.write("web2 ssh-ed25519 AAAA\n")
    assert [key.names for key in read([str(file)])] == ["web1", "web2"]


def test_a_key_that_was_replaced_is_loaded_again(sshd: Sshd, keys: dict[str, Path], tmp_path: Path) -> None:
    """The same path with another key in it is another key."""
    file = tmp_path / "key"
    for source in (sshd.user_key, keys["other"]):
        file.write_bytes(source.read_bytes())
        file.chmod(0o600)
        assert ssh_keys.load(str(file)) == paramiko.PKey.from_path(str(source))


def test_a_queue_that_moves_keeps_its_places() -> None:
    """Who waits longer than the patience still gets a place, as long as places come free meanwhile."""
    slots = Slots(1, patience_s=30.0)
    assert slots.acquire()
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(slots.acquire())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        slots.release()
    for thread in threads:
        thread.join(30)
    assert got == [True, True, True]


def test_a_queue_that_stands_still_is_left() -> None:
    """Silent machines hold every place, and the next one goes on without."""
    slots = Slots(1, patience_s=0.05)
    assert slots.acquire()
    assert not slots.acquire()


def test_waiting_in_our_own_queue_is_not_the_machines_time() -> None:
    """The seconds spent waiting for a place are put on the deadline."""
    deadline = Deadline(10)
    assert deadline.later(5).left() > deadline.left() + 4
    assert deadline.later(5).timeout_s == 10


def test_the_first_command_does_not_wait_for_its_channel(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request follows the opening at once, a round trip sooner; that of a second command waits for its number."""
    channels: list[int] = []
    was_asked: list[bool] = []
    asked = threading.Event()
    request, opened = SshTransport.send_request, SshTransport._parse_channel_open_success

    def request_and_note(transport: SshTransport, channel: int, text: bytes) -> None:
        channels.append(channel)
        asked.set()
        request(transport, channel, text)

    def open_after_request(transport: SshTransport, message: paramiko.Message) -> None:
        was_asked.append(asked.wait(HANG_S))
        opened(transport, message)

    monkeypatch.setattr(SshTransport, "send_request", request_and_note)
    monkeypatch.setattr(SshTransport, "_parse_channel_open_success", open_after_request)
    with closing(connect(sshd.settings(), timeout_s=20)) as connection:
        first = connection.start(["cat"])
        said = connection.start(["echo", "second"]).read(100, 20)
        first.write(b"first")
        assert (first.read(100, 20), said) == (b"first", b"second\n")
    assert was_asked[0]
    assert channels == [0, 1]


def test_another_server_is_not_guessed_at(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only OpenSSH is known to number its channels from 0; others are waited for."""
    monkeypatch.setattr(paramiko_internals, "COUNTS_FROM_ZERO", "SSH-2.0-dropbear")
    with closing(connect(sshd.settings(), timeout_s=20)) as connection:
        assert connection.start(["echo", "in"]).read(100, 20) == b"in\n"


def test_a_command_that_ends_before_anyone_looks_is_not_lost(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko forgets a channel that closes while it is still being opened; the command's output is there."""
    with closing(connect(sshd.settings(), timeout_s=20)) as connection:

        def create_too_late(session: fabric.Connection) -> None:
            create(session).status_event.wait(20)
            raise paramiko.SSHException("Unable to open channel.")

        create = fabric.Connection.create_session
        monkeypatch.setattr(fabric.Connection, "create_session", create_too_late)
        channel = connection.start(["echo", "in"])
        assert (channel.read(100, 20), channel.exit_status(20)) == (b"in\n", 0)
