"""An engine that has left a swarm and keeps the port of its gossip."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.resources.swarm import gossip as swarm_gossip
from orchestr.transport.memory import MemoryHost, MemorySystem, Node

SOCKET = "/var/run/docker.sock"
HEAD = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
LISTENING = HEAD + "   0: 00000000:1F0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 31337 1\n"
RESTART = ("systemctl", "restart", "docker")


def show(host: MemoryHost, sockets: str) -> None:
    host.nodes["/proc/net/tcp"] = Node("file", sockets.encode())


@pytest.fixture
def host() -> MemoryHost:
    host = MemoryHost()
    show(host, LISTENING)
    host.http[f"{SOCKET}:/containers/json"] = (200, b"[]")
    host.http[f"{SOCKET}:/version"] = (200, b'{"Version": "26.1.5"}')

    def restart(*_: Any) -> str:
        show(host, HEAD)
        return ""

    host.commands[RESTART] = restart
    return host


def test_an_idle_engine_that_keeps_the_port_is_restarted(host: MemoryHost) -> None:
    """Where no container runs nobody notices, and the host can be a node of the next swarm."""
    swarm_gossip.await_closed(MemorySystem(host))
    assert host.text("/proc/net/tcp") == HEAD


def test_an_engine_with_containers_is_left_alone(host: MemoryHost) -> None:
    """A restart would stop them, so it is only said what has to be done."""
    host.http[f"{SOCKET}:/containers/json"] = (200, b'[{"Id": "a"}]')
    said: list[str] = []
    swarm_gossip.await_closed(MemorySystem(host, on_output=said.append))
    assert host.text("/proc/net/tcp") == LISTENING
    assert "restart it" in said[0]


def test_a_closed_port_needs_nothing(host: MemoryHost) -> None:
    """The usual case: the engine has closed it, and is not asked for anything."""
    show(host, HEAD)
    del host.commands[RESTART], host.http[f"{SOCKET}:/containers/json"]
    swarm_gossip.await_closed(MemorySystem(host))
