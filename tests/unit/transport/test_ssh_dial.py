"""The TCP connection: both address families, and the settings of ssh_config that concern it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sshd_on_loopback import Sshd, fill_backlog, free_port

from orchestr.errors import UnreachableError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.transport.connect import connect
from orchestr.transport.openssh_config import Target
from orchestr.transport.ssh_dial import dial
from orchestr.transport.ssh_limits import Deadline

TARGET = Target("web", "web.example", 22, "root")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of loopback that drops every packet: its backlog is full."""
    with socket.socket() as server, contextlib.ExitStack() as held:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in fill_backlog(server.getsockname()):
            held.enter_context(client)
        yield server.getsockname()[1]


def resolve_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Let every name have an address of loopback for each port."""
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given: infos)


def test_a_silent_address_does_not_use_up_the_time(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    """The next address is tried a moment after the first, not when that one has failed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        resolve_to(monkeypatch, silent_port, server.getsockname()[1])
        with closing(dial(TARGET, Deadline(20))) as connection:
            assert connection.getpeername() == server.getsockname()


def test_a_slow_address_stays_in_the_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first address that answers wins, though others would as well."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        resolve_to(monkeypatch, first.getsockname()[1], second.getsockname()[1])
        with closing(dial(TARGET, Deadline(20))) as connection:
            assert connection.getpeername() == first.getsockname()


def test_a_refusal_says_more_than_silence(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    """Of several failures the one that a machine answered with is reported."""
    resolve_to(monkeypatch, silent_port, free_port())
    with pytest.raises(UnreachableError, match="refused the connection"):
        dial(TARGET, Deadline(1))


def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6, IPv4, IPv6: the second address tried is of the other family (RFC 8305)."""
    tried: list[Any] = []
    families = (socket.AF_INET6, socket.AF_INET6, socket.AF_INET)
    infos = [(family, socket.SOCK_STREAM, 6, "", (str(number), 22)) for number, family in enumerate(families)]

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *given: infos)
    monkeypatch.setattr("orchestr.transport.ssh_dial.PromptSocket.connect", refuse)
    with pytest.raises(UnreachableError):
        dial(TARGET, Deadline(5))
    assert tried == ["0", "2", "1"]


def options(sshd: Sshd, *words: str) -> ConnectionSettings:
    arguments = sshd.settings().ssh_common_args
    return sshd.settings(ssh_common_args=(*arguments, *(part for word in words for part in ("-o", word))))


def test_the_address_family_of_ssh_config_holds(sshd: Sshd) -> None:
    """AddressFamily inet6 does not reach an IPv4 address, and is named in the error."""
    with closing(connect(options(sshd, "AddressFamily=inet"))):
        pass
    with pytest.raises(UnreachableError, match=r"cannot find an IPv6 address for 127\.0\.0\.1") as caught:
        connect(options(sshd, "AddressFamily=inet6"))
    assert "remove AddressFamily inet6" in caught.value.next_step


def test_the_bind_address_of_ssh_config_holds(sshd: Sshd) -> None:
    """The server sees us come from BindAddress."""
    with closing(connect(options(sshd, "BindAddress=127.0.0.2"))):
        pass
    assert "from 127.0.0.2 port" in sshd.log()


def test_a_bind_address_that_is_not_ours_is_an_error(sshd: Sshd) -> None:
    """The kernel's refusal is reported instead of another address taken."""
    with pytest.raises(UnreachableError, match="Cannot assign requested address"):
        connect(options(sshd, "BindAddress=192.0.2.1"))
