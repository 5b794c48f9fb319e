"""Rolls: of hosts that have their turns, the emptiest changes first; hosts that stay as they are wait for nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

import orchestr
from orchestr import events
from orchestr.transport.memory import Node, memory_connector
from orchestr.upgrades.run import upgrade
from tests.unit.engine.conftest import Project

ROLE = '''
"""A node that says how many people are there."""
from orchestr.resources.files import File
from orchestr.planning.role import Params as Base
from .resources import Load

class Params(Base):
    level: int = 1

def deploy(host, params):
    yield File("/level", content=str(params.level))

def busy(host, params):
    yield Load("people")
'''
DRAIN = """

def drain(host, params):
    yield File("/drained", content="yes")
"""
RESOURCES = '''
"""How many people are there."""
from __future__ import annotations
from orchestr import Survey, record, registered

@record
@registered("load_of_a_test")
class Load(Survey):
    """Observes: /people. Changes: nothing. Never touches: anything."""

    name: str

    def outcome(self, reader):
        people = reader.read_text("/people")
        return {"busy": int(people), "text": people + " people"} if people else {}
'''
HONEST = '{"busy": int(people), "text": people + " people"} if people else {}'


class Nodes(Project):
    """Hosts a to d with 5, 0, 3 and (c) no people."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.write("roles/node/__init__.py", ROLE)
        self.write("roles/node/resources.py", RESOURCES)
        self.playbook()
        for host, people in (("a", "5"), ("b", "1"), ("d", "3")):
            self.hosts[host].add_file("/people", people)

    def playbook(self, more: str = "serial: 1") -> None:
        self.write("playbooks/site.yml", f"- {{name: nodes, hosts: all, roles: [node], {more}}}\n")

    def level(self, level: int, **hosts: int) -> None:
        """Write the inventory, with another level for some hosts."""
        lines = "".join(f"    {name}: {{node_level: {hosts.get(name, level)}}}\n" for name in self.hosts)
        self.write("inventories/all.yml", f"all:\n  hosts:\n{lines}")

    def batches(self) -> list[list[str]]:
        """Return the batches of the deploy, in the order they had their turn."""
        return [list(event.hosts) for event in self.of(events.BatchStarted) if event.play == "nodes"]


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    nodes = Nodes(tmp_path / "project")
    nodes.level(1)
    return nodes


def test_the_emptiest_host_changes_first_and_the_busiest_last(nodes: Nodes) -> None:
    """Whatever the order in the inventory; one that cannot say counts as empty; the order is said."""
    assert nodes.run().exit_code == 0
    assert nodes.batches() == [["c"], ["b"], ["d"], ["a"]]
    said = [event.message for event in nodes.of(events.Note)]
    assert said == ["nodes: the emptiest host first: c (not running), b (1 people), d (3 people), a (5 people)"]


@pytest.mark.parametrize("said", ['"many"', "True", "()", 'float("nan")', "10**400", "None"])
def test_a_host_that_gives_no_number_counts_as_empty(nodes: Nodes, said: str) -> None:
    """A host may say what it wants: the run of the others goes on."""
    lie = f'{{"busy": {said}, "text": 5}} if people == "3" else {{"busy": int(people)}} if people else {{}}'
    nodes.write("roles/node/resources.py", RESOURCES.replace(HONEST, lie))
    assert nodes.run().exit_code == 0
    assert nodes.batches() == [["c"], ["d"], ["b"], ["a"]]


def test_hosts_for_which_nothing_changes_are_done_at_once(nodes: Nodes) -> None:
    """Before the others, and all together: a run that changes nothing has one turn, and asks nobody."""
    nodes.run()
    nodes.run()
    assert nodes.batches() == [["a", "b", "c", "d"]]
    assert nodes.of(events.Note) == []
    nodes.level(1, a=2, b=2)
    result = nodes.run()
    assert nodes.batches() == [["c", "d"], ["b"], ["a"]]
    assert {name: host.changed for name, host in result.hosts.items()} == {"a": 1, "b": 1, "c": 0, "d": 0}


def test_turns_keep_their_sizes(nodes: Nodes) -> None:
    """``serial`` splits the hosts in their new order."""
    nodes.playbook("serial: [1, 50%]")
    nodes.run()
    assert nodes.batches() == [["c"], ["b", "d"], ["a"]]


@pytest.mark.parametrize(
    ("play", "batches"),
    [
        ("serial: 1, order: reverse_inventory", [["d"], ["c"], ["b"], ["a"]]),
        ("gather: ", [["a", "b", "c", "d"]]),
    ],
)
def test_an_order_of_the_users_stays(nodes: Nodes, play: str, batches: list[list[str]]) -> None:
    """As does a play without turns."""
    nodes.playbook(play if "serial" in play else "max_fail_percentage: 0")
    nodes.run()
    assert nodes.batches() == batches


def test_a_plan_looks_once(nodes: Nodes) -> None:
    """A dry run restarts nobody, so it asks nobody."""
    nodes.run(check=True)
    assert nodes.of(events.Note) == []
    assert nodes.batches() == [["a"], ["b"], ["c"], ["d"]]


def test_a_failure_of_the_emptiest_stops_the_roll(nodes: Nodes) -> None:
    """Before it comes to the busy ones."""
    nodes.playbook("serial: 1, any_errors_fatal: true")
    nodes.hosts["b"].nodes["/level"] = Node("directory")
    assert nodes.run().exit_code == 1
    assert nodes.batches() == [["c"], ["b"]]


def test_kept_hosts_of_an_upgrade_have_their_turns_likewise(nodes: Nodes) -> None:
    """New hosts first; then of the kept ones the emptiest, drained before it is deployed; the busiest last."""
    nodes.write("roles/node/__init__.py", ROLE + DRAIN)
    inventory = nodes.root / "inventories/all.yml"
    nodes.write("inventories/before.yml", inventory.read_text().replace("    c: {node_level: 1}\n", ""))
    before = orchestr.load_inventory(nodes.root / "inventories/before.yml")
    assert orchestr.run(before, connector=memory_connector(nodes.hosts)).exit_code == 0
    nodes.level(2)
    after = orchestr.load_inventory(inventory)
    upgrade(before, after, connector=memory_connector(nodes.hosts), on_event=nodes.events.append, verify=False)
    changes = [(e.host, e.name) for e in nodes.of(events.TaskFinished) if e.verdict == "changed"]
    kept = [(host, path) for host in "bda" for path in ("/drained", "/level")]
    assert changes == [("c", "/level"), *kept]
