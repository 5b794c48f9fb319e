"""A system's services as its hosts have them: which container is whose, is it healthy, who reaches it. For checks."""

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
# All ports at once: silence is waited for once. Standard library of any Python 3; prints the ports that answer.
_OPEN = """
import errno, json, select, socket, sys, time
address, give_up = sys.argv[1], time.monotonic() + float(sys.argv[2])
waiting = {}
for port in map(int, sys.argv[3:]):
    way = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    way.setblocking(False)
    if way.connect_ex((address, port)) in (0, errno.EINPROGRESS):
        waiting[way] = port
found = []
while waiting and time.monotonic() < give_up:
    ready = select.select([], list(waiting), [], max(0, give_up - time.monotonic()))[1]
    for way in ready:
        port = waiting.pop(way)
        if way.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            found.append(port)
print(json.dumps(sorted(found)))
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
    found = [(line.split("\t") + [""] * 3)[:4] for line in lines]
    own = ((project, service, ""), ("", "", f"{project}_{service}"))
    return [words[0] for words in found if tuple(words[1:]) in own]


def where(machine: Host, service: str) -> tuple[Any, str]:
    """Return (view of the host, container) of a service that is one. Fails when it runs nowhere, or twice."""
    project = application_of(machine)
    views = [on(peer) for peer in connected(machine.group("all"))]
    found = [(view, each) for view in views for each in containers(view, project, service)]
    assert len(found) == 1, f"{service} runs {len(found)} times, not once; look at: docker ps, docker service ls"
    return found[0]


def assert_healthy(machine: Host, service: str) -> None:
    """Fail unless the service's one container is up, and its own health check passes."""
    host, container = where(machine, service)
    text = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    found = host.check_output("docker inspect --format %s %s", text, container).split()
    assert found == ["running", "healthy"], f"{service} is {' and '.join(found)}; look at: docker logs {container}"


def assert_within_the_system(outside: Outside, machine: Host, ports: Sequence[int]) -> None:
    """Fail when a port of a host answers this machine, or another host: what it is for is in the system's network."""
    address = outside_address(machine)
    peers = [peer for peer in connected(machine.group("all")) if peer.name != machine.name]
    asked = [] if is_insider(machine, ()) else [*ports]
    with ThreadPoolExecutor(len(peers) + len(ports)) as pool:
        near = {peer.name: pool.submit(copy_context().run, _answering, peer, machine.address, ports) for peer in peers}
        far = {port: pool.submit(copy_context().run, outside.connects, address, port, SILENCE_S) for port in asked}
        answering = {name: each.result() for name, each in near.items()}
        is_open = [port for port, each in far.items() if each.result() == "open"]
    look = f"look at: docker ps and ss -ltnp on {machine.name}, and its firewall"
    assert not is_open, f"{_words(is_open)} of {address} answers anybody; {look}"
    let_in = {name: found for name, found in answering.items() if found}
    told = "; ".join(f"{name} reaches {_words(found)} of {machine.address}" for name, found in let_in.items())
    assert not let_in, f"{told}: only the system's own network should; {look}"


def _answering(peer: Peer, address: str, ports: Sequence[int]) -> list[int]:
    words = " ".join(["%s"] * (len(ports) + 3))
    said = on(peer).check_output(f"python3 -c {words}", _OPEN, address, str(SILENCE_S), *map(str, ports))
    found: list[int] = json.loads(said)
    return found


def _words(ports: Sequence[int]) -> str:
    return f"port {', '.join(map(str, ports))}"
