"""The swarm is complete: every node is Ready, most managers work, and its ports are open only to peers."""

from __future__ import annotations

import json
from typing import Any

from orchestr import Host, Outside, closed_to_outside, is_insider
from orchestr.cluster.swarm_hosts import MANAGERS, WORKERS, members
from orchestr.verification.inside import connected, views

from . import GOSSIP_PORT, PORT, Params, ports

FIREWALL = "look at: ufw status (or firewall-cmd --list-all) there, and whether the role firewall is on that host"


def is_member(machine: Host) -> bool:
    """Return True if the host belongs to the swarm; departing hosts are not checked."""
    return machine.in_group(MANAGERS) or machine.in_group(WORKERS)


def own_ports(machine: Host) -> tuple[int, ...]:
    """Return the TCP ports that the swarm uses on a host."""
    return (PORT, GOSSIP_PORT) if machine.in_group(MANAGERS) else (GOSSIP_PORT,)


def swarm_info(host: Any) -> dict[str, Any]:
    """Return the swarm's state according to the host's engine."""
    state: dict[str, Any] = json.loads(host.check_output("docker info --format '{{json .Swarm}}'"))
    return state


def test_is_in_the_swarm(host: Any, machine: Host, params: Params) -> None:
    """The engine is an active node, with the role that the inventory gives it."""
    if not is_member(machine):
        return
    state = swarm_info(host)
    assert state["LocalNodeState"] == "active", (
        f"the node is {state['LocalNodeState']} ({state.get('Error') or 'no reason given'}); "
        "look at: journalctl -u docker"
    )
    assert state["ControlAvailable"] == machine.in_group(MANAGERS), "it has the other role; run orchestr again"


def test_every_node_is_ready_and_most_managers_work(host: Any, machine: Host, params: Params) -> None:
    """According to its managers, every host is a Ready node, and a majority of managers is reachable."""
    if not machine.in_group(MANAGERS) or not is_member(machine):
        return
    ids = host.check_output("docker node ls --quiet").split()
    nodes = json.loads(host.check_output(f"docker node inspect {' '.join(ids)}"))
    ready = [node for node in nodes if node["Status"]["State"] == "ready"]
    here = members(machine)
    assert len(ready) >= len(here), (
        f"{len(ready)} of {len(here)} nodes are Ready; look at: docker node ls, and there: systemctl status docker"
    )
    managers = [node["ManagerStatus"]["Reachability"] for node in nodes if node.get("ManagerStatus")]
    working = managers.count("reachable")
    assert working > len(managers) // 2, f"only {working} of {len(managers)} managers work; look at: docker node ls"
    assert len(managers) == len(machine.group(MANAGERS)), f"the swarm has {len(managers)} managers; run orchestr again"


def test_ports_are_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """The swarm's ports are unreachable from outside."""
    sources = [source for rule in ports(machine, params) for source in rule.sources]
    if is_insider(machine, sources) or not machine.with_role("firewall") or not is_member(machine):
        return
    open_ports = [port for port in own_ports(machine) if not closed_to_outside(outside, machine, port)]
    assert not open_ports, f"{open_ports} are open to everyone: anyone with a join token could join; {FIREWALL}"


def test_ports_are_open_to_peers(machine: Host, params: Params) -> None:
    """Every other host of the swarm reaches its ports."""
    if not is_member(machine):
        return
    peers = [peer for peer in connected(members(machine)) if peer.name != machine.name]
    for port in own_ports(machine):
        silent = [name for name, state in views(peers, machine.address, port).items() if state != "open"]
        assert not silent, f"{', '.join(silent)} cannot reach {machine.address}:{port}; {FIREWALL}"
