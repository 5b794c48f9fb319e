"""What the role swarm plans, from what hosts said of themselves earlier in the run; nothing is connected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestr.cluster.swarm_hosts import acting_manager, publishing
from orchestr.engine.run import Run, RunOptions
from orchestr.errors import InputError
from orchestr.inventory import load_inventory
from orchestr.planning.plan import Host, plan_host
from orchestr.planning.playbook import load_playbook
from orchestr.resources.swarm.ingress import SwarmIngress
from orchestr.resources.swarm.membership import SwarmLeft, SwarmManager, SwarmMember
from orchestr.resources.swarm.nodes import SwarmDrained, SwarmNode, SwarmTwins
from orchestr.secret import Secret

ROOT = Path(__file__).resolve().parents[3]
ADDRESSES = {name: f"192.168.56.1{name[-1]}" for name in ("lab1", "lab2", "lab3", "lab4")}


class Swarm:
    """A run of the playbook on three managers, or one, with what the hosts said."""

    def __init__(
        self,
        place: Path,
        managers: list[str],
        workers: list[str],
        leaving: list[str],
        limit: str | None = None,
        **variables: Any,
    ) -> None:
        document = yaml.safe_load((ROOT / "inventories/lab/swarm.yml").read_text())
        hosts = [*managers, *workers, *leaving]
        document["all"]["hosts"] = {name: {"ansible_host": ADDRESSES[name]} for name in dict.fromkeys(hosts)}
        children = document["all"]["children"]
        children["swarm_managers"]["hosts"] = dict.fromkeys(managers)
        children["swarm_workers"]["hosts"] = dict.fromkeys(workers)
        if leaving:
            children["leaving"] = {"hosts": dict.fromkeys(leaving)}
        path = place / "inventory.yml"
        path.write_text(yaml.safe_dump(document))
        inventory = load_inventory(path, extra_vars=variables)
        playbook = load_playbook(ROOT / "playbooks/swarm.yml")
        options = RunOptions(verb="plan", check=True, limit=limit)
        self.run = Run(inventory, playbook, options, lambda event: None, _no_connection)
        self.names = [play.name for play in playbook.plays]

    def said(self, host: str, state: str = "inactive", **more: Any) -> None:
        """Have a host say something in the first play."""
        self.run.context.outcomes[host] = {"swarm/swarm_survey:swarm": {"state": state, **more}}

    def manages(self, host: str, cluster: str = "c1") -> None:
        nodes = tuple((f"id-{name}", name, "worker", "ready") for name in ADDRESSES)
        known = {"is_manager": True, "cluster": cluster, "node_id": f"id-{host}", "nodes": nodes}
        known.update(managers=(f"{ADDRESSES[host]}:2377",), worker_token=Secret("w"), manager_token=Secret("m"))
        self.said(host, "active", **known)

    def plan(self, phase: str, host: str) -> list[Any]:
        tasks = plan_host(self.run.context, self.names.index("swarm"), host, lifecycle=phase)
        return [task.resource for task in tasks]

    def host(self, name: str) -> Host:
        return Host(self.run.context, self.run.inventory.host(name))


def _no_connection(*arguments: Any) -> Any:
    raise AssertionError("planning connects to nothing")


@pytest.fixture
def swarm(tmp_path: Path) -> Any:
    def make(managers: str = "lab1", workers: str = "lab2 lab3", leaving: str = "", **variables: Any) -> Swarm:
        return Swarm(tmp_path, managers.split(), workers.split(), leaving.split(), **variables)

    return make


def test_the_first_manager_begins_what_the_others_join(swarm: Any) -> None:
    """On bare hosts: the first manager of the group inits with its own address, everybody else joins through it."""
    three = swarm("lab1 lab2 lab3", "lab4")
    for name in ADDRESSES:
        three.said(name)
    [begun] = three.plan("join", "lab1")
    assert isinstance(begun, SwarmManager) and begun.advertise == ADDRESSES["lab1"]
    three.manages("lab1")
    [joining], [working] = three.plan("join", "lab2"), three.plan("join", "lab4")
    assert isinstance(joining, SwarmMember) and isinstance(working, SwarmMember)
    assert (joining.role, joining.token, working.role, working.token) == ("manager", Secret("m"), "worker", Secret("w"))
    assert joining.managers == (f"{ADDRESSES['lab1']}:2377",) and joining.cluster == "c1"


def test_a_bare_first_manager_joins_those_that_are_left(swarm: Any) -> None:
    """A first manager with a new disk does not begin a second swarm beside the one that is there."""
    three = swarm("lab1 lab2 lab3", "")
    three.said("lab1")
    three.manages("lab2")
    three.manages("lab3")
    [joining] = three.plan("join", "lab1")
    assert isinstance(joining, SwarmMember) and joining.managers == (f"{ADDRESSES['lab2']}:2377",)


def test_a_worker_says_why_the_run_has_no_token_for_it(swarm: Any) -> None:
    """A limit left the manager out, it was unreachable, or it failed after it had been connected to."""
    [joining] = swarm("lab1", "lab2", limit="lab2").plan("join", "lab2")
    assert (joining.contact, joining.obstacle) == ("lab1", "left out")
    two = swarm("lab1", "lab2")
    [joining] = two.plan("join", "lab2")
    assert (joining.contact, joining.obstacle) == ("lab1", "unreachable")
    two.run.context.facts["lab1"] = {"addresses": ()}
    [joining] = two.plan("join", "lab2")
    assert (joining.contact, joining.obstacle) == ("lab1", "failed")
    two.manages("lab1")
    [joining] = two.plan("join", "lab2")
    assert joining.obstacle == ""


def test_no_swarm_is_begun_while_a_manager_is_silent(swarm: Any) -> None:
    """A manager that does not answer may have the swarm: it has to be asked first."""
    three = swarm("lab1 lab2 lab3", "")
    three.said("lab1")
    three.said("lab2")
    with pytest.raises(InputError, match="lab3 did not answer"):
        three.plan("join", "lab1")


def test_no_swarm_is_begun_beside_workers_of_a_lost_one(swarm: Any) -> None:
    """Workers that are in a swarm nobody here manages are a reason to ask."""
    one = swarm()
    for name, state in (("lab1", "inactive"), ("lab2", "active"), ("lab3", "inactive")):
        one.said(name, state)
    with pytest.raises(InputError, match="lab2 are in a swarm that no host of swarm_managers manages"):
        one.plan("join", "lab1")


def test_managers_of_two_swarms_are_named(swarm: Any) -> None:
    """Which host is in which is told; nothing is planned."""
    two = swarm("lab1 lab2 lab3", "")
    two.manages("lab1", "c1")
    two.manages("lab2", "c2")
    with pytest.raises(InputError, match="lab1 in c1, lab2 in c2"):
        two.plan("join", "lab3")


def test_one_manager_looks_after_all_nodes(swarm: Any) -> None:
    """Promotions come before demotions, leaving hosts last: as workers, drained, and waited for."""
    one = swarm("lab1 lab2", "lab3", "lab4")
    for name in ("lab1", "lab2"):
        one.manages(name)
    for name in ("lab3", "lab4"):
        one.said(name, "active", node_id=f"id-{name}")
    planned = one.plan("nodes", "lab1")
    nodes = [(each.hostname, each.role, each.availability) for each in planned if isinstance(each, SwarmNode)]
    assert nodes == [
        ("lab1", "manager", "active"),
        ("lab2", "manager", "active"),
        ("lab3", "worker", "active"),
        ("lab4", "worker", "drain"),
    ]
    labels = [each.labels for each in planned if isinstance(each, SwarmNode)]
    assert labels == [(), (), (("tier", "work"),), ()]
    assert [type(each) for each in planned[-2:]] == [SwarmDrained, SwarmTwins]
    assert set(planned[-1].current) >= {"id-lab3", "id-lab4"}
    assert one.plan("nodes", "lab2") == []
    assert [type(each) for each in one.plan("leave", "lab4")] == [SwarmLeft]
    [cleaned] = one.plan("clean", "lab1")
    assert cleaned.gone == ("id-lab4",)


def test_the_acting_manager_is_one_that_works(swarm: Any) -> None:
    """Stacks and nodes are looked after by the first manager that answers, not by the first of the list."""
    three = swarm("lab1 lab2 lab3", "")
    three.said("lab1", "error")
    three.manages("lab3")
    assert acting_manager(three.host("lab2")).name == "lab3"


@pytest.mark.parametrize(("mode", "publish", "endpoint"), [("host", "host", "dnsrr"), ("ingress", "ingress", "vip")])
def test_the_mesh_is_checked_where_it_is_used(swarm: Any, mode: str, publish: str, endpoint: str) -> None:
    """IPVS is asked for unless ports are published where tasks run; stacks follow the same parameter."""
    one = swarm(swarm_publish_mode=mode)
    for name in ("lab1", "lab2", "lab3"):
        one.said(name)
    assert any(isinstance(each, SwarmIngress) for each in one.plan("join", "lab1")) == (mode == "ingress")
    assert publishing(one.host("lab2")) == {"publish": publish, "endpoint_mode": endpoint}


def test_ports_are_for_the_other_hosts_of_the_swarm(swarm: Any) -> None:
    """2377 on managers only; gossip and overlay traffic everywhere; never for everybody."""
    from orchestr.planning.role import load_role

    one = swarm(swarm_data_path_port=4790)

    def rules(name: str) -> dict[tuple[str, str], tuple[str, ...]]:
        role = load_role("swarm", ROOT)
        host = Host(one.run.context, one.run.inventory.host(name), role)
        return {(str(rule.port), rule.protocol): rule.sources for rule in role.module.ports(host, host.params("swarm"))}

    others = (ADDRESSES["lab1"], ADDRESSES["lab3"])
    assert rules("lab2") == {("7946", "tcp"): others, ("7946", "udp"): others, ("4790", "udp"): others}
    assert rules("lab1")[("2377", "tcp")] == (ADDRESSES["lab2"], ADDRESSES["lab3"])
    one = swarm(swarm_encrypted=True)
    assert rules("lab2")[("any", "esp")] == others


def test_the_address_for_peers_can_be_said_by_its_network(swarm: Any) -> None:
    """The host's own address in it is taken; none or two of them is an error that says so."""
    one = swarm(swarm_advertise="10.0.0.0/24", swarm_data_path="eth1")
    for name in ("lab1", "lab2", "lab3"):
        one.said(name)
    one.run.context.facts["lab1"] = {"addresses": ("192.168.56.11", "10.0.0.7")}
    [begun] = one.plan("join", "lab1")
    assert (begun.advertise, begun.data_path) == ("10.0.0.7", "eth1")
    one.run.context.facts["lab1"] = {"addresses": ("192.168.56.11",)}
    with pytest.raises(InputError, match="no addresses in"):
        one.plan("join", "lab1")


def test_a_host_has_one_place(swarm: Any) -> None:
    """Being manager and worker, or leaving and staying, contradict each other."""
    one = swarm("lab1", "lab1 lab2")
    one.said("lab1")
    with pytest.raises(InputError, match="lab1: a host may be in only one of"):
        one.plan("join", "lab1")
