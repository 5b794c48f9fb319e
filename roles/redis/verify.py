"""The hosts that use Redis can reach it and must log in; no other host can reach it."""

from __future__ import annotations

import ipaddress
from typing import Any

from orchestr import Host, Inside, Outside, Peer, closed_to_outside, is_insider
from orchestr.secret import cut_head
from orchestr.verification.applications import assert_healthy
from orchestr.verification.inside import connected, views

from . import Params, config_path, container_name, firewall_rules

FIREWALL = "look at: ufw status (is there a foreign rule?), and whether this host has the role firewall"


def clients(machine: Host, params: Params) -> tuple[str, ...]:
    """Return the addresses and networks of other hosts that may connect."""
    return tuple(source for rule in firewall_rules(machine, params) for source in rule.sources)


def needs_it(peer: Peer, sources: tuple[str, ...]) -> bool:
    """Return True if a host may connect."""
    address = ipaddress.ip_address(peer.address)
    return any(address in ipaddress.ip_network(source, strict=False) for source in sources)


def test_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """Its port is unreachable from outside."""
    if is_insider(machine, clients(machine, params)):
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"Redis' port {params.port} is open to everyone; {FIREWALL}"
    )


def test_open_to_its_clients_and_asks_for_the_password(machine: Host, params: Params) -> None:
    """Every host that uses it can reach it, and is refused without the password."""
    sources = clients(machine, params)
    for peer in connected(machine.group("all")):
        if peer.name == machine.name or not needs_it(peer, sources):
            continue
        answer = Inside.of(peer.name).says(machine.address, params.port, "PING")
        assert answer, (
            f"{peer.name} cannot reach Redis at {machine.address}:{params.port}; look at: ufw status on "
            f"{machine.name}, docker logs {container_name(machine)} there, and firewalls between the two"
        )
        assert answer.startswith("-NOAUTH"), (
            f"Redis answers {peer.name} without a password ({cut_head(answer.strip(), 60)}); "
            f"look at requirepass in {config_path(machine)}, and whether the container was restarted since it changed"
        )


def test_closed_to_hosts_without_need(machine: Host, params: Params) -> None:
    """Its port is unreachable from hosts of the inventory that do not use it."""
    sources = clients(machine, params)
    others = [peer for peer in machine.group("all") if peer.name != machine.name and not needs_it(peer, sources)]
    let_in = [name for name, state in views(others, machine.address, params.port).items() if state == "open"]
    assert not let_in, f"Redis answers {', '.join(let_in)}, which do not use it; {FIREWALL}"


def test_asks_for_the_password_on_its_own_host(host: Any, machine: Host, params: Params) -> None:
    """It runs, and answers nothing without the password, not even on its own host."""
    if machine.role.within:
        return
    answer = Inside(host).says("127.0.0.1", params.port, "PING")
    assert answer, f"Redis does not answer on its own host; look at: docker logs {container_name(machine)}"
    assert answer.startswith("-NOAUTH"), (
        f"Redis answers without a password ({cut_head(answer.strip(), 60)}); "
        f"look at requirepass in {config_path(machine)}"
    )


def test_is_healthy(host: Any, machine: Host) -> None:
    """Its container is up, and its own health check passes."""
    if machine.role.within:
        assert_healthy(machine, "redis")
        return
    text = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    state = host.run("docker inspect --format %s %s", text, container_name(machine)).stdout.split()
    assert state == ["running", "healthy"], (
        f"the container is {' and '.join(state) or 'missing'}; look at: docker logs {container_name(machine)}"
    )


def test_password_file_is_private(host: Any, machine: Host, params: Params) -> None:
    """The file with the password is readable only for Redis."""
    if machine.role.within:
        return
    current = host.run("stat -c '%%u %%a' %s", config_path(machine)).stdout.strip()
    assert current == f"{params.user_id} 600", (
        f"{config_path(machine)} has owner and mode {current or '(missing)'}, not {params.user_id} 600, "
        "and contains the password; run orchestr again"
    )
