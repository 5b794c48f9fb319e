"""What a run costs per host: files are read once, and places in the queue are held while it moves on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import paramiko
import pytest
from sshd_on_loopback import Sshd

from orchestr.transport import known_hosts, ssh_login
from orchestr.transport.connect import connect
from orchestr.transport.file_version import version_of
from orchestr.transport.known_hosts import read
from orchestr.transport.ssh_limits import Deadline, Slots


def test_many_logins_read_each_file_once(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty-four logins load the private key once and parse known_hosts once."""
    loaded: list[str] = []
    parsed: list[str] = []
    load, parse = paramiko.PKey.from_path, known_hosts._parsed

    def load_and_note(path: Any) -> paramiko.PKey:
        loaded.append(str(path))
        return load(path)

    def parse_and_note(file: str, text: str) -> Any:
        parsed.append(file)
        return parse(file, text)

    monkeypatch.setattr(ssh_login.paramiko.PKey, "from_path", load_and_note)
    monkeypatch.setattr(known_hosts, "_parsed", parse_and_note)
    for _ in range(24):
        connect(sshd.settings(), timeout_s=20).close()
    assert loaded.count(str(sshd.user_key)) == 1
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
        found = ssh_login._read_key(str(file), version_of(str(file)))
        assert found == paramiko.PKey.from_path(str(source))


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
