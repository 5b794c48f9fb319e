"""Data that follows its host, on hosts in memory: from one to another, to one that an upgrade brings, and back.

``app`` keeps ``/opt/app/data`` and a volume on the host of the group ``store``; all of a run is real but the tools.
"""

from __future__ import annotations

from typing import Any

import pytest

import orchestr
from orchestr import events
from orchestr.applications.moves import keeper
from orchestr.blobs import BlobStore
from orchestr.resources.trees import Tree
from orchestr.transport.memory import MemorySystem, Node, memory_connector
from orchestr.upgrades.run import upgrade
from tests.resources.simulated_trees import MemoryVolumes, SimulatedTrees
from tests.unit.engine.conftest import Project

DATA = "/opt/app/data"
VOLUME = "/var/lib/docker/volumes/app_data/_data"
MARKS = "/var/lib/orchestr/trees"
ROLE = f'''
"""Keeps data on one host."""
from orchestr import Params as Base
from orchestr.applications.model import Application, Data, Placement, Service
from orchestr.containers.compose import ContainerService
from orchestr.resources.files import File

class Params(Base):
    directory: str = "{DATA}"

def application(host, params):
    store = Placement("store")
    return Application(
        services=(Service(ContainerService("app", "app:1"), store),),
        data=(
            Data("uploads", "app", store, path=params.directory),
            Data("volume", "app", store, volume="data"),
        ),
    )

def deploy(host, params):
    if host.in_group("store"):
        yield File("/opt/started", content=host.name)
'''
hold = BlobStore.hold


class Cluster(Project):
    """Hosts a, b and c, of which ``store`` is one; what users put there is under DATA and in the volume."""

    def __init__(self, root: Any) -> None:
        super().__init__(root, ("a", "b", "c"))
        self.tools = {name: SimulatedTrees(host) for name, host in self.hosts.items()}
        self.engines = {name: MemoryVolumes(host) for name, host in self.hosts.items()}
        self.write("roles/app/__init__.py", ROLE)
        self.write("playbooks/site.yml", "- name: app\n  hosts: all\n  any_errors_fatal: true\n  roles: [app]\n")
        for name, members in (("alone", "a"), ("many", "a b c")):
            self.inventory(name, members, "a" if name == "alone" else "c")

    def inventory(self, name: str, members: str, store: str) -> None:
        hosts = ", ".join(f"{member}: " for member in members.split())
        text = f"all:\n  hosts: {{{hosts}}}\n  children:\n    store: {{hosts: {{{store}: }}}}\n"
        self.write(f"inventories/{name}.yml", text)

    def load(self, name: str) -> orchestr.Inventory:
        return orchestr.load_inventory(self.root / f"inventories/{name}.yml")

    def fill(self, host: str, places: tuple[str, ...] = (DATA, VOLUME), **files: str) -> None:
        """Put files into both trees of a host, or into one, as their service does."""
        for place in places:
            system = MemorySystem(self.hosts[host])
            if system.stat(place) is None:
                system.make_directory(place, mode=0o750, uid=7, gid=8)
            for name, text in files.items():
                self.hosts[host].nodes[f"{place}/{name}"] = Node("file", text.encode(), 0o640, 1234, 4321)

    def files(self, host: str, place: str = DATA) -> dict[str, str]:
        found = self.tools[host].below(place).items()
        return {name[1:]: node.data.decode() for name, node in found if node.type == "file"}

    def run_once(self, name: str) -> orchestr.RunResult:
        self.events.clear()
        connector = memory_connector(self.hosts)
        return orchestr.run(self.load(name), connector=connector, on_event=self.events.append)

    def upgrade(self, before: str, after: str) -> Any:
        self.events.clear()
        connector = memory_connector(self.hosts)
        inventories = (self.load(before), self.load(after))
        return upgrade(*inventories, connector=connector, on_event=self.events.append, verify=False)

    def errors(self, result: Any) -> str:
        hosts = (result.run if hasattr(result, "run") and not isinstance(result.run, str) else result).hosts
        return " ".join(each["message"] for host in hosts.values() for each in host.errors)

    def holders(self, place: str = DATA) -> list[str]:
        return [name for name in self.hosts if self.files(name, place)]

    def everything(self) -> set[str]:
        """Return all contents of files that are anywhere on any host."""
        return {node.data.decode() for host in self.hosts.values() for node in host.nodes.values()}


@pytest.fixture
def cluster(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    cluster = Cluster(tmp_path / "project")
    cluster.fill("a", early="1", doomed="2")
    return cluster


def test_an_upgrade_takes_data_along(cluster: Cluster) -> None:
    """Both trees are on the new host with their owners and modes; the old ones are kept, under another name."""
    result = cluster.upgrade("alone", "many")
    assert result.exit_code == 0, cluster.errors(result)
    for place in (DATA, VOLUME):
        assert cluster.files("c", place) == {"early": "1", "doomed": "2"} and cluster.holders(place) == ["c"]
        node = cluster.hosts["c"].nodes[place + "/early"]
        assert (node.mode, node.uid, node.gid) == (0o640, 1234, 4321)
        top = cluster.hosts["c"].nodes[place]
        assert (top.mode, top.uid, top.gid) == (0o750, 7, 8)
        assert [name for name in cluster.hosts["a"].nodes if name.startswith(place + ".moved-") and "early" in name]
    assert VOLUME in cluster.hosts["a"].nodes  # the engine wants the directory of a volume to be there
    assert not [name for name in cluster.hosts["a"].nodes if name.startswith(MARKS + "/")]


def test_two_paths_of_one_playbook_are_the_same_plays(cluster: Cluster) -> None:
    """Hosts of an old inventory that writes the playbook's path in another way still hand over their data."""
    cluster.upgrade("alone", "many")
    path = cluster.root / "inventories/many.yml"
    path.write_text(path.read_text() + "  vars: {orchestr_playbook: playbooks/../playbooks/site.yml}\n")
    result = cluster.upgrade("many", "alone")
    assert result.exit_code == 0, cluster.errors(result)
    assert cluster.holders() == cluster.holders(VOLUME) == ["a"]


def test_a_departing_host_that_cannot_be_described_ends_it_first(cluster: Cluster) -> None:
    """Nobody knows then whether it has data, so the upgrade is refused and no host is contacted."""
    failing = '    if len(host.group("all")) > 1:\n        raise InputError("no setting")\n    store = Placement'
    role = ROLE.replace("import Params", "import InputError, Params").replace("    store = Placement", failing)
    cluster.write("roles/app/__init__.py", role)
    with pytest.raises(orchestr.InputError, match="no setting"):
        cluster.upgrade("many", "alone")
    assert not any(host.log for host in cluster.hosts.values()) and cluster.holders() == ["a"]


def test_the_newest_comes_back_from_a_host_that_goes(cluster: Cluster) -> None:
    """What was added since the upgrade is there after the way back; what was deleted stays deleted."""
    cluster.upgrade("alone", "many")
    cluster.fill("c", added="3")
    for place in (DATA, VOLUME):
        del cluster.hosts["c"].nodes[place + "/doomed"]
    result = cluster.upgrade("many", "alone")
    assert result.exit_code == 0, cluster.errors(result)
    for place in (DATA, VOLUME):
        assert cluster.files("a", place) == {"early": "1", "added": "3"} and cluster.holders(place) == ["a"]


def test_all_deleted_stays_deleted(cluster: Cluster) -> None:
    """An emptied directory does not bring the old one back."""
    cluster.upgrade("alone", "many")
    for place in (DATA, VOLUME):
        for name in ("early", "doomed"):
            del cluster.hosts["c"].nodes[f"{place}/{name}"]
    assert cluster.upgrade("many", "alone").exit_code == 0
    assert cluster.holders() == cluster.holders(VOLUME) == []


def test_a_run_moves_data_within_a_cluster(cluster: Cluster) -> None:
    """Where the group names another host of the same inventory a plain run moves it, and the next changes nothing."""
    cluster.inventory("many", "a b c", "b")
    assert cluster.run_once("many").exit_code == 0
    assert cluster.files("b") == {"early": "1", "doomed": "2"} and cluster.holders() == ["b"]
    again = cluster.run_once("many")
    assert (again.exit_code, again.changed) == (0, 0)


def test_it_is_measured_before_and_started_after(cluster: Cluster) -> None:
    """Size and way are told before anything is taken; the service starts when all is placed and put aside."""
    cluster.inventory("many", "a b c", "b")
    cluster.engines["a"].services = {"app": "running", "other": "running"}
    cluster.engines["a"].users = {"app": DATA}
    cluster.run_once("many")
    assert cluster.engines["a"].services == {"app": "exited", "other": "running"}
    notes = [(n, e.message) for n, e in enumerate(cluster.events) if isinstance(e, events.Note)]
    done = [(n, e.resource) for n, e in enumerate(cluster.events) if isinstance(e, events.TaskFinished)]
    moved = "app_uploads 0.0 MB from a to b, app_volume 0.0 MB from a to b"
    assert [text for _, text in notes] == [f"data of app moves, {moved}: down during the move: app; expect about 20 s"]
    wanted = ("application_services_stopped", "tree_taken", "tree_placed", "tree_retired", "file")
    order = [kind for _, kind in done if kind in wanted]
    assert order[1] == "application_services_stopped"  # after the note of the trees on the host
    assert order[2:] == ["tree_taken"] * 2 + ["tree_placed"] * 2 + ["tree_retired"] * 2 + ["file"]
    assert notes[0][0] < next(n for n, kind in done if kind == "tree_taken")


@pytest.mark.parametrize("way", ["there", "back"])
def test_killed_at_any_write_of_any_host_the_same_command_goes_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, way: str
) -> None:
    """Wherever a run ends, nothing is lost, and the same command again ends where the first was to."""
    inventories = ("alone", "many") if way == "there" else ("many", "alone")
    target = "c" if way == "there" else "a"
    written = MemorySystem._written
    deaths, is_whole = 0, False
    while not is_whole:
        again = Cluster(tmp_path / f"{way}-{deaths}")
        again.fill("a" if way == "there" else "c", early="1", doomed="2")
        left = deaths

        def dying(self: MemorySystem) -> None:
            nonlocal left
            if left <= 0:
                raise OSError("the host is gone")
            left -= 1
            written(self)

        with monkeypatch.context() as patched:
            patched.setattr(MemorySystem, "_written", dying)
            is_whole = again.upgrade(*inventories).exit_code == 0
        for text in ("1", "2"):
            assert text in again.everything(), f"killed at write {deaths}"
        holders = [name for name in again.hosts if {"1", "2"} == set(again.files(name).values())]
        assert holders, f"killed at write {deaths}: no host has it whole at its place"
        result = again.upgrade(*inventories)
        assert result.exit_code == 0, (deaths, again.errors(result))
        for place in (DATA, VOLUME):
            assert again.holders(place) == [target], f"killed at write {deaths}"
            assert again.files(target, place) == {"early": "1", "doomed": "2"}
        deaths += 1
    assert deaths > 12


def test_taken_back_before_the_end_it_stays_where_it_was(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that never counted is put aside; what was added to the old one in between is there."""
    cluster.inventory("many", "a b c", "b")
    with monkeypatch.context() as patched:
        patched.setattr("orchestr.resources.trees.TreeRetired.perform", _fail)
        assert cluster.run_once("many").exit_code == 1
    assert cluster.holders() == ["a", "b"]
    cluster.inventory("many", "a b c", "a")
    cluster.fill("a", added="3")
    assert cluster.run_once("many").exit_code == 0
    assert cluster.holders() == ["a"] and cluster.files("a") == {"early": "1", "doomed": "2", "added": "3"}
    assert not [name for name in cluster.hosts["a"].nodes if name.startswith(MARKS + "/")]
    assert (cluster.run_once("many").changed, cluster.holders(VOLUME)) == (0, ["a"])


def _fail(self: Any, system: Any) -> None:
    raise OSError("broken off")


def test_what_was_written_between_two_attempts_moves_with_the_second(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that has arrived is not taken for the data when the service ran again on the old host meanwhile."""
    cluster.inventory("many", "a b c", "b")
    with monkeypatch.context() as patched:
        patched.setattr("orchestr.resources.trees.TreeRetired.perform", _fail)
        cluster.run_once("many")
    cluster.fill("a", added="3")
    assert cluster.run_once("many").exit_code == 0
    assert cluster.files("b") == {"early": "1", "doomed": "2", "added": "3"} and cluster.holders() == ["b"]


def test_what_was_at_the_new_place_is_kept(cluster: Cluster) -> None:
    """Files that lay on the target are not mixed in, and not lost."""
    cluster.engines["a"].users = {"app": DATA, "database": VOLUME}  # says which of the two counts
    cluster.fill("b", (DATA,), stranger="9")
    cluster.inventory("many", "a b c", "b")
    result = cluster.run_once("many")
    assert result.exit_code == 1 and "is in use by app" in cluster.errors(result)
    assert not [words for words in cluster.hosts["a"].log if words[0] == "tar"], "packed while it is written to"
    cluster.engines["a"].users = {}
    assert cluster.run_once("many").exit_code == 0  # the mark of the first attempt says which counts
    assert cluster.files("b") == {"early": "1", "doomed": "2"} and "9" in cluster.everything()


def test_two_that_may_count_are_a_persons_choice(cluster: Cluster) -> None:
    """With data on two hosts, none in use and none under way, the run is refused before anything is changed."""
    cluster.fill("b", other="9")
    cluster.inventory("many", "a b c", "b")
    before = {name: host.writes for name, host in cluster.hosts.items()}
    result = cluster.run_once("many")
    assert result.exit_code == 1 and "app_uploads is on a and on b" in cluster.errors(result)
    assert {name: host.writes for name, host in cluster.hosts.items()} == before


@pytest.mark.parametrize(
    ("states", "known_on", "counts"),
    [
        ({}, "", ""),
        ({"a": "has"}, "", "a"),
        ({"a": "", "b": "has"}, "", "b"),
        ({"a": "has leaving", "b": "has arrived"}, "", "a"),
        ({"a": "has leaving", "b": "has is_used"}, "", "a"),
        ({"a": "has", "b": "has is_used"}, "", "b"),
        ({"a": "leaving", "b": "has arrived"}, "", "b"),
        ({"a": "has", "b": "has"}, "a", "a"),
        ({"a": "", "b": "has arrived"}, "a", "b"),
        ({"a": "has", "b": "has is_used"}, "a", "b"),
    ],
)
def test_which_of_several_counts(states: dict[str, str], known_on: str, counts: str) -> None:
    """The one a move was begun from, until it is put aside; else the one in use; else the one known; else the only."""
    tree = Tree("uploads", path=DATA)
    found = {
        name: {"trees": {"uploads": {word: word in state.split() for word in ("has", "leaving", "arrived", "is_used")}}}
        for name, state in states.items()
    }
    assert keeper(tree, known_on, found) == counts


@pytest.mark.parametrize("what", ["room there", "room here", "a mount"])
def test_what_cannot_move_is_refused_first(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """No room on the target or on this machine, or a place that cannot be renamed: nothing is changed."""
    cluster.inventory("many", "a b c", "b")
    words = {"room there": "b has 0 MB free", "room here": "which has 0 MB free", "a mount": "of a is a mount point"}
    if what == "room there":
        cluster.tools["b"].free_bytes = 1
    elif what == "a mount":
        cluster.tools["a"].mounts.add(DATA)
    else:
        monkeypatch.setattr("orchestr.blobs.BlobStore.room_bytes", lambda self: 1)
    writes = {name: host.writes for name, host in cluster.hosts.items()}
    result = cluster.run_once("many")
    assert result.exit_code == 1 and words[what] in cluster.errors(result)
    assert {name: host.writes for name, host in cluster.hosts.items()} == writes


@pytest.mark.parametrize("is_failing", [False, True])
def test_nothing_stays_on_this_machine(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, is_failing: bool) -> None:
    """When a run is over, also after a failure, the controller holds nothing of what went through it."""
    made: list[BlobStore] = []
    monkeypatch.setattr("orchestr.engine.run.BlobStore", lambda *given: made.append(BlobStore(*given)) or made[-1])
    if is_failing:
        monkeypatch.setattr("orchestr.resources.trees.TreeRetired.perform", _fail)
    cluster.inventory("many", "a b c", "b")
    held: list[int] = []
    monkeypatch.setattr(BlobStore, "hold", lambda store, *given: held.append(1) or hold(store, *given))
    assert cluster.run_once("many").exit_code == (1 if is_failing else 0)
    assert held and made and not any(store._held for store in made)


def test_a_host_that_goes_and_is_dead_ends_it_before_anything_is_changed(cluster: Cluster) -> None:
    """Hosts that an upgrade lets go take part in it: without one that may have the data nobody starts without it."""
    cluster.upgrade("alone", "many")
    gone, writes = cluster.hosts.pop("c"), cluster.hosts["a"].writes
    result = cluster.upgrade("many", "alone")
    assert result.exit_code == 4 and "does not answer" in cluster.errors(result)
    assert "nothing was changed" in cluster.of(events.RunStopped)[0].reason
    assert cluster.hosts["a"].writes == writes and gone.nodes[DATA + "/early"].data == b"1"


def test_a_failure_to_hand_over_ends_the_upgrade(cluster: Cluster) -> None:
    """When a host that goes cannot give what it has, the others do not go on without it, and the exit code says so."""
    cluster.upgrade("alone", "many")
    del cluster.hosts["c"].streams[("tar", "--create")]
    result = cluster.upgrade("many", "alone")
    assert result.exit_code == 1 and "tar" in cluster.errors(result)
    assert cluster.holders() == ["c"] and "/opt/started" not in cluster.hosts["a"].nodes
    assert not [e for e in cluster.of(events.PlayStarted) if e.play in ("app: place", "app: retire", "app")]
