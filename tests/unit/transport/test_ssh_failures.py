"""Servers that are not there, or behave badly: a clear error within the time, and a next step to type."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sshd_on_loopback import Front, Sshd, StartSshd, fill_backlog, free_port, reset

from orchestr.errors import UnreachableError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.transport.connect import connect
from orchestr.transport.openssh_config import Target
from orchestr.transport.ssh_errors import TransientError, dial_error
from orchestr.transport.ssh_limits import HANDSHAKES_AT_ONCE, Deadline, retried
from tests.waiting import HANG_S

Rude = Callable[[Callable[[socket.socket], None]], int]


def unreachable(port: int, timeout_s: float = 10.0) -> UnreachableError:
    """Return the error of connecting to a port of loopback."""
    settings = ConnectionSettings("127.0.0.1", port=port, user="root", ssh_common_args=("-F", "none"))
    with pytest.raises(UnreachableError) as caught:
        connect(settings, timeout_s=timeout_s)
    assert caught.value.next_step
    return caught.value


def test_a_refused_connection_is_called_that() -> None:
    """Nothing listens: the address and ansible_port are named."""
    error = unreachable(free_port())
    assert "refused the connection" in str(error)
    assert "ansible_port" in error.next_step


def test_a_port_that_never_answers_times_out() -> None:
    """A full backlog drops our SYN: the error says how long was waited."""
    with socket.socket() as server, contextlib.ExitStack() as held:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in fill_backlog(server.getsockname()):
            held.enter_context(client)
        assert "did not answer within 0.4 s" in str(unreachable(server.getsockname()[1], 0.4))


def test_a_silent_server_times_out(rude: Rude) -> None:
    """A server that takes the connection and says nothing does not hold the run."""
    error = unreachable(rude(lambda client: None), 0.4)
    assert "no SSH session started within 0.4 s" in str(error)


def test_a_server_silent_after_its_banner_times_out(rude: Rude) -> None:
    """Half a handshake is bounded too, and by our time: paramiko's own limit is 15 s."""
    port = rude(lambda client: client.sendall(b"SSH-2.0-slow\r\n"))
    with ThreadPoolExecutor() as pool:
        error = pool.submit(unreachable, port, 0.4).result(timeout=12)
    assert "no SSH session started within 0.4 s" in str(error)


def test_a_server_that_closes_at_once_is_tried_three_times(rude: Rude) -> None:
    """Dropped before the banner: three tries, then MaxStartups is suggested."""
    seen: list[int] = []

    def drop(client: socket.socket) -> None:
        seen.append(1)
        client.close()

    error = unreachable(rude(drop))
    assert "closed the connection before the login" in str(error)
    assert "MaxStartups" in error.next_step
    assert len(seen) == 3


def test_a_reset_is_reported_like_a_close(rude: Rude) -> None:
    """RST instead of an orderly end."""
    assert "connection" in str(unreachable(rude(reset)))


def test_another_protocol_is_recognised(rude: Rude) -> None:
    """A web server on the port is not an SSH server."""
    error = unreachable(rude(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 200)))
    assert "does not speak SSH" in str(error)
    assert "ansible_port" in error.next_step


def test_no_common_algorithm_is_said_without_retries(start_sshd: StartSshd, front: Callable[[int, int], Front]) -> None:
    """A server that offers only algorithms that paramiko lacks is not tried again."""
    server = start_sshd("KexAlgorithms diffie-hellman-group18-sha512")
    door = front(server.port, 0)
    with pytest.raises(UnreachableError, match="no algorithm in common"):
        connect(server.settings(port=door.port))
    assert door.seen == 1


def test_connect_timeout_of_ssh_config_holds(sshd: Sshd, rude: Rude) -> None:
    """ConnectTimeout shortens the wait."""
    sshd.configure("ConnectTimeout 1")
    with pytest.raises(UnreachableError, match="within 1 s"):
        connect(sshd.settings(port=rude(lambda client: None)), timeout_s=60)


TARGET = Target("web", "web.example", 22, "root")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to web.example port 22"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no route to web.example port 22"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "cannot find an address for web.example"),
        (ConnectionResetError(), "dropped the connection"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_each_way_not_to_connect_has_its_message(error: OSError, expected: str) -> None:
    """The classes that loopback cannot show, by their errors."""
    told = dial_error(TARGET, error, 1.0)
    assert expected in str(told)
    assert told.next_step


def test_a_name_that_cannot_exist_is_a_clear_error() -> None:
    """A malformed host name is no traceback."""
    settings = ConnectionSettings("a..b", user="root", ssh_common_args=("-F", "none"))
    with pytest.raises(UnreachableError):
        connect(settings, timeout_s=5)


def test_only_transient_errors_are_tried_again() -> None:
    """A login that is refused is refused."""
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise UnreachableError("no")

    with pytest.raises(UnreachableError):
        retried(attempt, Deadline(10))
    assert len(tries) == 1


def test_retries_end_with_the_last_error() -> None:
    """After three tries the error itself comes out, not tenacity's wrapper."""
    with pytest.raises(TransientError, match="dropped"):
        retried(lambda: (_ for _ in ()).throw(TransientError("dropped")), Deadline(10))


def test_the_library_prints_nothing_when_connections_break(rude: Rude) -> None:
    """paramiko's tracebacks do not reach the user's terminal."""
    port = rude(lambda client: client.close())
    code = (
        "from orchestr.inventory.settings import ConnectionSettings\n"
        "from orchestr.transport.connect import connect\n"
        f"try: connect(ConnectionSettings('127.0.0.1', port={port}, user='root', ssh_common_args=('-F', 'none')))\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ})
    assert (done.stdout, done.stderr) == ("TransientError\n", "")


def test_a_failed_handshake_leaves_no_thread_behind(rude: Rude) -> None:
    """paramiko's handshake timer would hold the program's exit up for 15 seconds."""
    port = rude(lambda client: client.sendall(b"SSH-2.0-slow\r\n"))
    before = set(threading.enumerate())
    unreachable(port, 0.4)
    for timer in set(threading.enumerate()) - before:
        timer.join(5)
    assert not [thread for thread in set(threading.enumerate()) - before if isinstance(thread, threading.Timer)]


def test_silent_hosts_do_not_keep_a_live_one_waiting(sshd: Sshd, rude: Rude) -> None:
    """Silent machines hold every slot, and the live one is in while all of them still wait."""
    slots_filled = threading.Semaphore(0)
    ports = [rude(lambda client: slots_filled.release()) for _ in range(2)]
    threads = [threading.Thread(target=unreachable, args=(port, 5)) for port in ports for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(HANDSHAKES_AT_ONCE):
        assert slots_filled.acquire(timeout=HANG_S)
    connect(sshd.settings(), timeout_s=20).close()
    assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(30)
