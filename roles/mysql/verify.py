"""It is healthy; the hosts that use it reach it, and no other host."""

from __future__ import annotations

from orchestr.planning.plan import Host
from orchestr.verification.inside import closed_to_outside, is_insider, views
from orchestr.verification.outside import Outside
from orchestr.verification.system_services import assert_healthy, assert_within_the_system

from . import PORT, Params, firewall_rules, service_name

FIREWALL = "look at: ufw status and iptables -S DOCKER-USER on its host"


def test_is_healthy(machine: Host) -> None:
    """Its container is up, and its own health check, an authenticated query, passes."""
    assert_healthy(machine, service_name(machine))


def test_only_its_application_reaches_it(outside: Outside, machine: Host) -> None:
    """Inside an application, neither the outside nor another host reaches MySQL."""
    if machine.role.within:
        assert_within_the_system(outside, machine, (PORT, 33060))


def test_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """By itself, its port cannot be reached from outside."""
    sources = [source for rule in firewall_rules(machine, params) for source in rule.sources]
    if machine.role.within or is_insider(machine, sources):
        return
    assert closed_to_outside(outside, machine, params.port), f"MySQL answers anybody at port {params.port}; {FIREWALL}"


def test_open_to_its_clients_alone(machine: Host, params: Params) -> None:
    """By itself, the hosts that use it reach its port, other hosts do not."""
    if machine.role.within:
        return
    sources = {source for rule in firewall_rules(machine, params) for source in rule.sources}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, answer in views(others, machine.address, params.port).items():
        address = next(peer.address for peer in others if peer.name == name)
        is_open = answer == "open"
        assert is_open == (address in sources), f"{name} finds {machine.address}:{params.port} {answer}; {FIREWALL}"
