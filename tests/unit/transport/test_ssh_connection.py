"""Connecting and talking to a real sshd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sshd_on_loopback import Front, Sshd, StartSshd

from orchestr.errors import UnreachableError
from orchestr.transport import ssh_channel
from orchestr.transport.base import Channel
from orchestr.transport.connect import connect
from orchestr.transport.openssh_config import resolve
from orchestr.transport.ssh import fabric_config
from orchestr.transport.ssh_dial import dial
from orchestr.transport.ssh_limits import Deadline

MIB = 1024 * 1024


def read_all(channel: Channel) -> bytes:
    """Read to the end of the stream."""
    parts = []
    while data := channel.read(MIB, 20):
        parts.append(data)
    return b"".join(parts)


def test_a_command_gets_its_arguments_unharmed(sshd: Sshd) -> None:
    """An argument list arrives as it was given, whatever the shell would make of it."""
    words = ["a b", "$HOME", "'", '"', "*", "", "ü;ls\n"]
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["printf", "<%s>", *words])
        assert read_all(channel).decode() == "".join(f"<{word}>" for word in words)


def test_stdout_and_stderr_come_merged_and_the_status_is_told(sshd: Sshd) -> None:
    """Both streams are read as one, and the exit status is there after the end."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["sh", "-c", "echo out; echo err >&2; exit 7"])
        assert sorted(read_all(channel).split()) == [b"err", b"out"]
        assert channel.exit_status(5) == 7


def test_input_reaches_the_command(sshd: Sshd) -> None:
    """The command reads the bytes that are written."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["head", "-c", "5"])
        channel.write(b"hello")
        assert read_all(channel) == b"hello"


def test_ten_megabytes_go_both_ways_at_once(sshd: Sshd) -> None:
    """A command that answers while it is written to does not deadlock."""
    sent = os.urandom(MIB) * 10
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["head", "-c", str(len(sent))])
        writer = threading.Thread(target=channel.write, args=(sent,))
        writer.start()
        received = read_all(channel)
        writer.join(20)
        assert received == sent


def test_a_silent_command_raises_a_timeout_and_stays_usable(sshd: Sshd) -> None:
    """Nothing within the time is TimeoutError, and the channel goes on afterwards."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["cat"])
        with pytest.raises(TimeoutError):
            channel.read(10, 0.1)
        channel.write(b"still here")
        assert channel.read(10, 10) == b"still here"


def test_the_exit_status_of_a_running_command_is_not_known(sshd: Sshd) -> None:
    """exit_status waits no longer than asked and says None."""
    with closing(connect(sshd.settings())) as connection:
        assert connection.start(["cat"]).exit_status(0.05) is None


def test_a_lost_connection_ends_a_read_with_unreachable(sshd: Sshd) -> None:
    """When sshd's process for us dies, the waiting read says so instead of waiting on or pretending an end."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["sh", "-c", "echo $PPID; cat"])
        server_process = int(channel.read(100, 10))
        killer = threading.Timer(0.1, os.kill, (server_process, signal.SIGKILL))
        killer.start()
        with pytest.raises(UnreachableError, match="was lost"):
            channel.read(100, 20)


def test_a_lost_connection_fails_a_write(sshd: Sshd) -> None:
    """Writing into a connection that is gone is UnreachableError."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["sh", "-c", "echo $PPID; sleep 60"])
        os.kill(int(channel.read(100, 10)), signal.SIGKILL)
        with pytest.raises(UnreachableError):
            for _ in range(1000):
                channel.write(b"x" * 100_000)


def test_writing_to_an_ended_command_says_so(sshd: Sshd) -> None:
    """A command that ended is told from a lost connection, even while a child of it holds the channel open."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["sh", "-c", "sleep 5 & exit 3"])
        assert channel.exit_status(5) == 3
        with pytest.raises(UnreachableError, match="ended"):
            channel.write(b"too late")


def test_close_ends_a_waiting_read(sshd: Sshd) -> None:
    """Closing from another thread lets a reader go with an end of stream; closing twice is fine."""
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["cat"])
        threading.Timer(0.1, channel.close).start()
        assert channel.read(10, 20) == b""
        channel.close()


def test_closing_the_connection_ends_the_command_on_the_host(sshd: Sshd, tmp_path: Path) -> None:
    """A command whose controller leaves sees the end of its input."""
    done = tmp_path / "done"
    os.mkfifo(done)
    connection = connect(sshd.settings())
    connection.start(["sh", "-c", f"cat; echo ended > {done}"])
    connection.close()
    connection.close()
    assert done.read_text() == "ended\n"


def test_start_on_a_closed_connection_is_unreachable(sshd: Sshd) -> None:
    """A closed connection starts nothing and says so."""
    connection = connect(sshd.settings())
    connection.close()
    with pytest.raises(UnreachableError):
        connection.start(["true"])


def test_two_commands_run_side_by_side(sshd: Sshd) -> None:
    """One connection carries several channels."""
    with closing(connect(sshd.settings())) as connection:
        first, second = connection.start(["cat"]), connection.start(["cat"])
        first.write(b"1")
        second.write(b"2")
        assert (second.read(1, 10), first.read(1, 10)) == (b"2", b"1")


def test_a_noisy_banner_is_no_obstacle(start_sshd: StartSshd, tmp_path: Path) -> None:
    """A login banner does not get in the way and is not output."""
    banner = tmp_path / "banner"
    banner.write_text("UNAUTHORISED ACCESS\n" * 200)
    server = start_sshd(f"Banner {banner}")
    server.record()
    with closing(connect(server.settings())) as connection:
        assert read_all(connection.start(["echo", "ok"])) == b"ok\n"


def test_starts_dropped_by_the_server_are_tried_again(sshd: Sshd, front: Callable[[int, int], Front]) -> None:
    """Two connections dropped before the banner, as MaxStartups does, and the third is served."""
    door = front(sshd.port, 2)
    sshd.record(name=f"[127.0.0.1]:{door.port}")
    with closing(connect(sshd.settings(port=door.port))) as connection:
        assert read_all(connection.start(["echo", "in"])) == b"in\n"
    assert door.seen == 3


def test_many_connections_at_once_pass_a_strict_sshd(start_sshd: StartSshd) -> None:
    """Twenty simultaneous connects succeed against sshd's default MaxStartups; dropped ones are tried again."""
    server = start_sshd("MaxStartups 10:30:100")
    server.record()
    answers: list[bytes] = []

    def visit() -> None:
        with closing(connect(server.settings(), timeout_s=60)) as connection:
            answers.append(read_all(connection.start(["echo", "in"])))

    threads = [threading.Thread(target=visit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [b"in\n"] * 20


def test_a_command_that_takes_no_input_stalls_the_write(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full window that never opens again is UnreachableError, not a wait without end."""
    monkeypatch.setattr(ssh_channel, "STALL_S", 0.3)
    with closing(connect(sshd.settings())) as connection:
        channel = connection.start(["sleep", "60"])
        with pytest.raises(UnreachableError, match=r"accepted no data for 0\.3 s"):
            channel.write(b"x" * 16 * MIB)


def test_a_login_that_may_not_run_commands_is_told_from_a_lost_one(start_sshd: StartSshd) -> None:
    """No sessions allowed: the error says so, with the settings to look for."""
    server = start_sshd("MaxSessions 0")
    server.record()
    with closing(connect(server.settings())) as connection, pytest.raises(UnreachableError) as caught:
        connection.start(["true"])
    assert "started no command" in str(caught.value)
    assert "MaxSessions" in caught.value.next_step


def test_small_messages_are_not_held_back(sshd: Sshd) -> None:
    """TCP_NODELAY is set on the socket we dial."""
    with closing(dial(resolve("127.0.0.1", sshd.port, "root", ("-F", "none")), Deadline(10))) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_choosing_a_transport_imports_none() -> None:
    """fabric and paramiko are imported for the first SSH host, not for the module or a local one."""
    code = (
        "import sys\n"
        "from orchestr.transport import connect\n"
        "from orchestr.inventory.settings import ConnectionSettings\n"
        "connect.connect(ConnectionSettings('localhost', connection='local')).close()\n"
        "print('paramiko' in sys.modules, 'fabric' in sys.modules)\n"
        "import orchestr.transport.ssh\n"
        "print('paramiko' in sys.modules, 'fabric' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False False\nTrue True\n", done.stderr


def test_connections_share_no_configuration() -> None:
    """fabric empties a configuration to fill it again, so two threads must never be given the same one."""
    assert fabric_config() is not fabric_config()
