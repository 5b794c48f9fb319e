"""Checks of an application's services on its hosts: their containers, their health, the hosts that reach them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import testinfra  # type: ignore[import-untyped]  # it has annotations, but no marker that says so

from orchestr.planning.plan import Host, Peer
from orchestr.verification.inside import SILENCE_S, connected, is_insider, outside_address
from orchestr.verification.outside import Outside

_LABELS = ("com.docker.compose.project", "com.docker.compose.service", "com.docker.swarm.service.name")
_FORMAT = "{{.ID}}\t" + "\t".join(f'{{{{.Label "{label}"}}}}' for label in _LABELS)
# Tries all ports at once, with one timeout for all. Standard library of any Python 3; prints the ports that answer.
_OPEN = """
import errno, json, select, socket, sys, time
address, give_up = sys.argv[1], time.monotonic() + float(sys.argv[2])
waiting = {}
for port in map(int, sys.argv[3:]):
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setblocking(False)
    if connection.connect_ex((address, port)) in (0, errno.EINPROGRESS):
        waiting[connection] = port
answering = []
while waiting and time.monotonic() < give_up:
    ready = select.select([], list(waiting), [], max(0, give_up - time.monotonic()))[1]
    for connection in ready:
        port = waiting.pop(connection)
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            answering.append(port)
print(json.dumps(sorted(answering)))
"""


def on(peer: Peer) -> Any:
    """Return testinfra's view of a connected host."""
    return testinfra.get_host(f"orchestr://{peer.name}")


def application_of(machine: Host) -> str:
    """Return the application that the checked role runs inside; the role itself where it runs on its own."""
    return machine.role.within or machine.role.name


def containers(host: Any, project: str, service: str) -> list[str]:
    """Return the running containers of a service on a host, of the compose project or of the stack."""
    lines = host.check_output("docker ps --format %s", _FORMAT).splitlines()
    rows = [(line.split("\t") + [""] * 3)[:4] for line in lines]
    own = ((project, service, ""), ("", "", f"{project}_{service}"))
    return [row[0] for row in rows if tuple(row[1:]) in own]


def where(machine: Host, service: str) -> tuple[Any, str]:
    """Return (view of the host, container) of a service with one replica. Fail unless it runs exactly once."""
    project = application_of(machine)
    views = [on(peer) for peer in connected(machine.group("all"))]
    running = [(view, container) for view in views for container in containers(view, project, service)]
    assert len(running) == 1, f"{service} runs {len(running)} times, not once; look at: docker ps, docker service ls"
    return running[0]


def assert_healthy(machine: Host, service: str) -> None:
    """Fail unless the service's one container is up and its own health check passes."""
    host, container = where(machine, service)
    text = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    state = host.check_output("docker inspect --format %s %s", text, container).split()
    assert state == ["running", "healthy"], f"{service} is {' and '.join(state)}; look at: docker logs {container}"


def assert_closed(outside: Outside, machine: Host, ports: Sequence[int]) -> None:
    """Fail if a port of a host answers this machine or another host: only the application's network may reach it."""
    address = outside_address(machine)
    peers = [peer for peer in connected(machine.group("all")) if peer.name != machine.name]
    asked = [] if is_insider(machine, ()) else [*ports]
    with ThreadPoolExecutor(len(peers) + len(ports)) as pool:
        near = {peer.name: pool.submit(copy_context().run, _answering, peer, machine.address, ports) for peer in peers}
        far = {port: pool.submit(copy_context().run, outside.connects, address, port, SILENCE_S) for port in asked}
        answering = {name: attempt.result() for name, attempt in near.items()}
        is_open = [port for port, attempt in far.items() if attempt.result() == "open"]
    look = f"look at: docker ps and ss -ltnp on {machine.name}, and its firewall"
    assert not is_open, f"{_words(is_open)} of {address} is open to everyone; {look}"
    let_in = {name: open_ports for name, open_ports in answering.items() if open_ports}
    reached = "; ".join(f"{name} reaches {_words(numbers)} of {machine.address}" for name, numbers in let_in.items())
    assert not let_in, f"{reached}: only the application's own network may; {look}"


def _answering(peer: Peer, address: str, ports: Sequence[int]) -> list[int]:
    words = " ".join(["%s"] * (len(ports) + 3))
    answer = on(peer).check_output(f"python3 -c {words}", _OPEN, address, str(SILENCE_S), *map(str, ports))
    open_ports: list[int] = json.loads(answer)
    return open_ports


def _words(ports: Sequence[int]) -> str:
    return f"port {', '.join(map(str, ports))}"
