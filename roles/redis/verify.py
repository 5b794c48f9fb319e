"""Who needs it reaches it and must log in, nobody else reaches it at all."""

from __future__ import annotations

import ipaddress
from typing import Any

from orchestr.planning.plan import Host, Peer
from orchestr.verification.inside import Inside, closed_to_outside, connected, is_insider, views
from orchestr.verification.outside import Outside
from orchestr.verification.system_services import assert_healthy

from . import Params, config_path, container_name, firewall_rules

FIREWALL = "look at: ufw status (a rule of somebody else's?), and whether the role firewall is on this host"


def clients(machine: Host, params: Params) -> tuple[str, ...]:
    """Return the addresses and networks that are let in from other hosts."""
    return tuple(source for rule in firewall_rules(machine, params) for source in rule.sources)


def needs_it(peer: Peer, sources: tuple[str, ...]) -> bool:
    """Tell whether a host is among those let in."""
    address = ipaddress.ip_address(peer.address)
    return any(address in ipaddress.ip_network(source, strict=False) for source in sources)


def test_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside its port cannot be reached."""
    if is_insider(machine, clients(machine, params)):
        return
    assert closed_to_outside(outside, machine, params.port), f"Redis answers anybody at port {params.port}; {FIREWALL}"


def test_open_to_those_who_need_it_and_asks_for_the_password(machine: Host, params: Params) -> None:
    """Every host that uses it reaches it, and is refused without the password."""
    sources = clients(machine, params)
    for peer in connected(machine.group("all")):
        if peer.name == machine.name or not needs_it(peer, sources):
            continue
        answer = Inside.of(peer.name).says(machine.address, params.port, "PING")
        assert answer, (
            f"{peer.name} cannot reach Redis at {machine.address}:{params.port}; look at: ufw status on "
            f"{machine.name}, docker logs {container_name(machine)} there, and what lies between the two"
        )
        assert answer.startswith("-NOAUTH"), (
            f"Redis answers {peer.name} without a password ({answer.strip()[:60]}); "
            f"look at requirepass in {config_path(machine)}, and whether the container was restarted since it changed"
        )


def test_closed_to_hosts_without_need(machine: Host, params: Params) -> None:
    """From hosts of the inventory that have no use for it, its port cannot be reached."""
    sources = clients(machine, params)
    others = [peer for peer in machine.group("all") if peer.name != machine.name and not needs_it(peer, sources)]
    let_in = [name for name, found in views(others, machine.address, params.port).items() if found == "open"]
    assert not let_in, f"Redis answers {', '.join(let_in)}, which have no use for it; {FIREWALL}"


def test_asks_for_the_password_on_its_own_host(host: Any, machine: Host, params: Params) -> None:
    """It runs, and tells nobody anything without the password, not even on its own host."""
    if machine.role.within:
        return
    answer = Inside(host).says("127.0.0.1", params.port, "PING")
    assert answer, f"Redis does not answer on its own host; look at: docker logs {container_name(machine)}"
    assert answer.startswith("-NOAUTH"), (
        f"Redis answers without a password ({answer.strip()[:60]}); look at requirepass in {config_path(machine)}"
    )


def test_is_healthy(host: Any, machine: Host) -> None:
    """Its container is up, and its own health check passes."""
    if machine.role.within:
        assert_healthy(machine, "redis")
        return
    text = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    found = host.run("docker inspect --format %s %s", text, container_name(machine)).stdout.split()
    assert found == ["running", "healthy"], (
        f"the container is {' and '.join(found) or 'missing'}; look at: docker logs {container_name(machine)}"
    )


def test_password_file_is_private(host: Any, machine: Host, params: Params) -> None:
    """The file with the password is readable for Redis alone."""
    if machine.role.within:
        return
    found = host.run("stat -c '%%u %%a' %s", config_path(machine)).stdout.strip()
    assert found == f"{params.user_id} 600", (
        f"{config_path(machine)} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), "
        f"not {params.user_id} 600: the password is in it; run orchestr again"
    )
