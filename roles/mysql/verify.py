"""MySQL is healthy; the hosts that use it can reach it, and no other host can."""

from __future__ import annotations

from orchestr import Host, Outside, closed_to_outside, is_insider
from orchestr.verification.applications import assert_closed, assert_healthy
from orchestr.verification.inside import views

from . import PORT, Params, firewall_rules, service_name

FIREWALL = "look at: ufw status and iptables -S DOCKER-USER on its host"


def test_is_healthy(machine: Host) -> None:
    """Its container is up, and its own health check, an authenticated query, passes."""
    assert_healthy(machine, service_name(machine))


def test_only_its_application_reaches_it(outside: Outside, machine: Host) -> None:
    """Inside an application, MySQL is unreachable from outside and from other hosts."""
    if machine.role.within:
        assert_closed(outside, machine, (PORT, 33060))


def test_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """On its own, its port is unreachable from outside."""
    sources = [source for rule in firewall_rules(machine, params) for source in rule.sources]
    if machine.role.within or is_insider(machine, sources):
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"MySQL's port {params.port} is open to everyone; {FIREWALL}"
    )


def test_open_to_its_clients_alone(machine: Host, params: Params) -> None:
    """On its own, the hosts that use it reach its port, and other hosts do not."""
    if machine.role.within:
        return
    sources = {source for rule in firewall_rules(machine, params) for source in rule.sources}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, answer in views(others, machine.address, params.port).items():
        address = next(peer.address for peer in others if peer.name == name)
        is_open = answer == "open"
        assert is_open == (address in sources), f"from {name}, {machine.address}:{params.port} is {answer}; {FIREWALL}"
