"""Upgrades: the order of machines, what is left alone, and what happens when a step fails. Hosts in memory."""

from __future__ import annotations

from typing import Any

import pytest

import orchestr
from orchestr import events
from orchestr.errors import InputError
from orchestr.transport.memory import MemoryHost, memory_connector
from orchestr.upgrades.run import UpgradeResult, compare, rollback, upgrade
from tests.unit.engine.conftest import Project

NODE_ROLE = '''
"""A node whose restart hurts, so it can be drained."""
from orchestr.resources.files import Directory, File
from orchestr.planning.role import Params as Base

class Params(Base):
    level: int = 1

def deploy(host, params):
    yield File("/opt/node", content=str(params.level))

def drain(host, params):
    yield File("/opt/drained", content="yes")

def stop(host, params):
    yield File("/opt/node", present=False)

def backup(host, params):
    yield File("/opt/backup", content="yes")
'''
PROXY_ROLE = '''
"""A proxy that lists the nodes."""
from orchestr.resources.files import File

def deploy(host, params):
    yield File("/opt/upstreams", content=" ".join(peer.name for peer in host.group("nodes")))
'''
PLAYBOOK = """
- {name: base, hosts: all, roles: [hello]}
- {name: nodes, hosts: nodes, roles: [node]}
- {name: proxy, hosts: proxy, roles: [proxy]}
"""


def inventory_text(nodes: str, extra: str = "") -> str:
    return (
        "all:\n  vars: {hello_token: t}\n  hosts: {bystander: }\n  children:\n"
        "    proxy: {hosts: {p1: }}\n"
        f"    nodes:\n      vars: {{{extra}}}\n      hosts: {{{', '.join(name + ': ' for name in nodes.split())}}}\n"
    )


class Cluster(Project):
    """p1 proxies n1 (n2, n3); a bystander has nothing to do with it."""

    def __init__(self, root: Any) -> None:
        super().__init__(root, ("p1", "n1", "n2", "n3", "bystander"))
        self.write("roles/node/__init__.py", NODE_ROLE)
        self.write("roles/proxy/__init__.py", PROXY_ROLE)
        self.write("playbooks/site.yml", PLAYBOOK)
        self.inventory("small", "n1")
        self.inventory("large", "n1 n2 n3")

    def inventory(self, name: str, nodes: str, extra: str = "") -> None:
        self.write(f"inventories/{name}.yml", inventory_text(nodes, extra))

    def load(self, name: str) -> orchestr.Inventory:
        return orchestr.load_inventory(self.root / f"inventories/{name}.yml")

    def deploy(self, name: str) -> None:
        assert orchestr.run(self.load(name), connector=memory_connector(self.hosts)).exit_code == 0

    def upgrade(self, before: str = "small", after: str = "large") -> UpgradeResult:
        self.events.clear()
        return upgrade(
            self.load(before),
            self.load(after),
            connector=memory_connector(self.hosts),
            on_event=self.events.append,
            verify=False,
        )

    def changes(self) -> list[tuple[str, str]]:
        """Return (host, path) of every change, in the order they were made."""
        return [(e.host, e.name) for e in self.of(events.TaskFinished) if e.verdict == "changed"]


@pytest.fixture
def cluster(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    cluster = Cluster(tmp_path / "project")
    cluster.deploy("small")
    return cluster


def test_new_hosts_come_first_and_one_by_one(cluster: Cluster) -> None:
    """Each new node is done before the next begins, and the proxy learns of them last."""
    result = cluster.upgrade()
    assert result.exit_code == 0
    assert [host for host, path in cluster.changes() if path in ("/opt/node", "/opt/upstreams")] == ["n2", "n3", "p1"]
    assert cluster.hosts["p1"].text("/opt/upstreams") == "n1 n2 n3"


def test_machines_with_the_same_desired_state_are_untouched(cluster: Cluster) -> None:
    """A machine for which nothing changes is looked at and never written to, and the report says so."""
    writes = {name: cluster.hosts[name].writes for name in ("n1", "bystander")}
    result = cluster.upgrade()
    assert {name: cluster.hosts[name].writes for name in writes} == writes
    assert result.run.hosts["n1"].changed == 0
    assert result.run.hosts["n1"].ok > 0
    assert (result.states["bystander"], result.states["n2"]) == ("unchanged", "added (4 changes)")


def test_kept_nodes_are_drained_only_when_they_change_and_last(cluster: Cluster) -> None:
    """A kept node that changes is backed up first, and drained and redone after the proxy has switched."""
    cluster.inventory("large", "n1 n2", "node_level: 2")
    assert cluster.upgrade().exit_code == 0
    order = [change for change in cluster.changes() if change[0] == "n1" or change[1] == "/opt/upstreams"]
    assert order == [
        ("n1", "/opt/backup"),
        ("p1", "/opt/upstreams"),
        ("n1", "/opt/drained"),
        ("n1", "/opt/node"),
    ]
    assert "/opt/drained" not in cluster.hosts["n2"].nodes


def test_an_unreachable_new_host_stops_before_anything_changes(cluster: Cluster) -> None:
    """The preflight needs every machine; with one missing nothing is changed anywhere."""
    del cluster.hosts["n3"]
    result = cluster.upgrade()
    assert result.exit_code == 4
    assert cluster.changes() == []
    assert result.states["n3"] == "failed, nothing changed on it"


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [("time", 1.0, "clock"), ("disk_free_bytes", 5 << 20, "MiB are free"), ("architecture", "arm", "architectures")],
)
def test_preflight_refuses_unfit_machines(cluster: Cluster, fact: str, value: Any, said: str) -> None:
    """A wrong clock, a full disk or another architecture stop the upgrade before any change."""
    cluster.hosts["n2"].facts[fact] = value
    result = cluster.upgrade()
    assert result.exit_code == 1
    assert cluster.changes() == []
    assert said in str([host.errors for host in result.run.hosts.values()])


def test_a_failure_stops_and_says_how_each_machine_stands(cluster: Cluster) -> None:
    """When a new node fails the next is not begun, the proxy keeps its upstreams, and each machine's state is told."""
    cluster.hosts["n2"].nodes["/opt/node"] = cluster.hosts["n2"].nodes["/opt"]
    result = cluster.upgrade()
    assert result.exit_code == 1
    assert cluster.hosts["p1"].text("/opt/upstreams") == "n1"
    assert "/opt/node" not in cluster.hosts["n3"].nodes
    assert result.states["n2"] == "failed after 3 changes"
    assert result.states["p1"] == "unchanged"
    assert any("orchestr rollback" in note.message for note in cluster.of(events.Note))


def test_the_same_upgrade_again_goes_on(cluster: Cluster) -> None:
    """After the cause of a failure is gone the same command finishes what is left."""
    cluster.hosts["n2"].nodes["/opt/node"] = cluster.hosts["n2"].nodes["/opt"]
    cluster.upgrade()
    del cluster.hosts["n2"].nodes["/opt/node"]
    assert cluster.upgrade().exit_code == 0
    assert cluster.hosts["p1"].text("/opt/upstreams") == "n1 n2 n3"


def test_rollback_returns_to_the_former_topology(cluster: Cluster) -> None:
    """Rollback gives the proxy its former upstreams and drains and stops what the upgrade added."""
    run = cluster.upgrade().run.run
    result = rollback(run, connector=memory_connector(cluster.hosts), verify=False)
    assert result.exit_code == 0
    assert cluster.hosts["p1"].text("/opt/upstreams") == "n1"
    assert "/opt/node" not in cluster.hosts["n2"].nodes
    assert "/opt/drained" in cluster.hosts["n2"].nodes
    assert result.states["n2"] == "drained and stopped"


def test_rollback_of_a_plain_run_is_refused(cluster: Cluster) -> None:
    """Only an upgrade can be rolled back as a whole; the message says what to do instead."""
    run = orchestr.run(cluster.load("small"), connector=memory_connector(cluster.hosts)).run
    with pytest.raises(InputError, match="not an upgrade"):
        rollback(run, connector=memory_connector(cluster.hosts))


def test_inventories_without_a_common_host_are_no_upgrade(cluster: Cluster) -> None:
    """Two inventories that share no host are refused before any connection."""
    cluster.write("inventories/other.yml", "all: {hosts: {z1: }}\n")
    with pytest.raises(InputError, match="no host of"):
        compare(cluster.load("small"), cluster.load("other"))


def test_one_connection_per_host(cluster: Cluster) -> None:
    """A whole upgrade uses one agent per machine."""
    before = {name: host.log.count(("start",)) for name, host in cluster.hosts.items()}
    cluster.upgrade()
    after = {name: host.log.count(("start",)) for name, host in cluster.hosts.items()}
    assert {after[name] - before[name] for name in after} == {1}
    assert isinstance(cluster.hosts["p1"], MemoryHost)
