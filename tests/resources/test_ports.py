"""Ports that must be free: who holds them is said before a container fails on it."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import unquote

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.agent.system import System
from orchestr.resources.ports import PortsFree, held_ports
from orchestr.transport.memory import MemoryHost, MemorySystem

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENING = HEAD + (
    "   0: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 4242 1 0 100 0 0 10 0\n"
    "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0\n"
)
STUN = HEAD + (
    "  7: 00000000000000000000000000000000:0D96 00000000000000000000000000000000:0000 07 00000000:00000000 "
    "00:00000000 00000000 0 0 4244 2 0 0\n"
)
SS = (
    'tcp LISTEN 0 511 0.0.0.0:6379 0.0.0.0:* users:(("redis-server",pid=612,fd=6)) uid:999 ino:4242 sk:1 <->\n'
    'udp UNCONN 0 0 [::]:3478 [::]:* users:(("turnserver",pid=700,fd=3)) ino:4244 sk:2 <->\n'
)


@pytest.fixture
def host() -> MemoryHost:
    """A host with Redis on 6379/tcp, a TURN server on 3478/udp (IPv6), and a mere connection from port 8080."""
    found = MemoryHost()
    found.add_file("/proc/net/tcp", LISTENING)
    found.add_file("/proc/net/udp6", STUN)
    found.commands[("ss",)] = SS
    return found


def run(host: MemoryHost, *ports: str, check: bool = False) -> dict[str, Any]:
    return converge(Task(PortsFree(ports, project="redis")), MemorySystem(host, read_only=check), check, False)


def test_a_held_port_is_told_with_its_program(host: MemoryHost) -> None:
    """The run fails before anything is started, and says which program it is; it is not stopped."""
    result = run(host, "6379/tcp", "3478/udp")
    assert result["verdict"] == "failed"
    assert "6379/tcp by redis-server (pid 612)" in result["error"]["message"]
    assert "3478/udp by turnserver (pid 700)" in result["error"]["message"]


@pytest.mark.parametrize("port", ["8080/tcp", "6379/udp", "3478/tcp", "50000/tcp"])
def test_free_ports_are_fine(host: MemoryHost, port: str) -> None:
    """A connection is no listener, and a port of the other protocol is another port."""
    assert run(host, port)["verdict"] == "ok"


def test_a_plan_does_not_fail_on_it(host: MemoryHost) -> None:
    """What a plan finds held may be freed by a change before it."""
    assert run(host, "6379/tcp", check=True)["verdict"] == "skipped"


class _Manager(dict[str, Any]):
    """The engine of a swarm's manager that has the stacks named, and no compose project."""

    def __init__(self, *stacks: str) -> None:
        super().__init__()
        self._stacks = stacks

    def get(self, key: str, default: Any = None) -> Any:
        path = unquote(key.partition("docker.sock:")[2])
        services = [{"ID": name} for name in self._stacks if f"com.docker.stack.namespace={name}" in path]
        answers = {"/info": {"Swarm": {"ControlAvailable": True}}, "/services": services}
        return lambda method, body: (200, json.dumps(answers.get(path.partition("?")[0], [])).encode())


@pytest.mark.parametrize(("stack", "verdict"), [("redis", "ok"), ("another", "failed")])
def test_a_stack_that_the_project_replaces_may_hold_its_ports(host: MemoryHost, stack: str, verdict: str) -> None:
    """Before it is saved and removed its gateway is on the ports; those of another stack are taken all the same."""
    host.http = _Manager(stack)
    host.add_file("/usr/sbin/dockerd", "", mode=0o755)
    assert run(host, "6379/tcp")["verdict"] == verdict


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_kernels_own_table_is_understood(family: socket.AddressFamily) -> None:
    """A port that this test listens on is seen as held, and no longer once it is closed."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert port in held_ports(System(), "tcp")
    assert port not in held_ports(System(), "tcp")
