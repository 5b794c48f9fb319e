"""A swarm of real nodes: begun, joined, grown, hurt; and a stack on it that is followed until it runs."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestr.agent.resource import Resource, Task
from orchestr.blobs import BlobStore
from orchestr.containers.compose import ContainerService
from orchestr.containers.stack import Change, Deploy, MountedFile, SwarmService, stack
from orchestr.engine.session import Session, SessionOptions
from orchestr.images.archive import ImageSource, open_image
from orchestr.inventory.settings import ConnectionSettings
from orchestr.resources.swarm.membership import SwarmSurvey
from orchestr.resources.swarm.nodes import SwarmNode
from orchestr.secret import Secret
from orchestr.transport.connect import connect
from tests.lab.cluster import Done, Orchestr, wait_until
from tests.lab.conftest import ADDRESSES, LAB, ROOT, lab, ssh

#: Others can be used while developing; their number is what matters.
NODES = os.environ.get("ORCHESTR_SWARM_NODES", "lab1,lab2,lab3").split(",")
FIRST, SECOND, THIRD = NODES
for _name in NODES:
    ADDRESSES.setdefault(_name, f"192.168.56.{10 + int(_name[3:])}")
PORT = 8088
INVENTORY = ROOT / "inventories/lab/swarm.yml"
#: Cheap, and patient with a busy machine: something listens on 8080 (proc(5), /proc/net/tcp).
ALIVE = "HEALTHCHECK --interval=1s --timeout=20s --retries=5 CMD grep -q :1F90 /proc/net/tcp"
NEVER = "HEALTHCHECK --interval=1s --timeout=20s --retries=1 CMD false"


# -- what tests work with ---------------------------------------------------------------------------------------------
def inventory(place: Path, managers: list[str], workers: list[str], leaving: list[str] = []) -> Path:  # noqa: B006
    """Write the lab's inventory with other hosts in its groups."""
    document = yaml.safe_load(INVENTORY.read_text().replace("{{ inventory_dir }}/../..", str(ROOT)))
    document["all"]["vars"]["orchestr_playbook"] = str(ROOT / "playbooks/swarm.yml")
    document["all"]["hosts"] = {name: {"ansible_host": ADDRESSES[name]} for name in (*managers, *workers, *leaving)}
    document["all"]["vars"]["firewall_rules"] = [{"port": PORT, "comment": "the stack of tests"}]
    groups = document["all"]["children"]
    groups["swarm_managers"]["hosts"] = dict.fromkeys(managers)
    groups["swarm_workers"]["hosts"] = dict.fromkeys(workers)
    if leaving:
        groups["leaving"] = {"hosts": dict.fromkeys(leaving)}
    path = place / "swarm.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def orchestr(bare: list[str], tmp_path_factory: pytest.TempPathFactory) -> Orchestr:
    """The command line, and bare nodes to use it on."""
    return Orchestr(tmp_path_factory.mktemp("swarm") / "state")


@pytest.fixture(scope="module")
def standard(orchestr: Orchestr, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory of one manager and two workers."""
    return inventory(tmp_path_factory.mktemp("standard"), [FIRST], [SECOND, THIRD])


@pytest.fixture(scope="module")
def begun(orchestr: Orchestr, standard: Path) -> Done:
    """The swarm, begun by a run on bare nodes."""
    return orchestr.succeed("run", standard)


BLOBS = BlobStore()


def run_on(node: str, *resources: Resource) -> list[dict[str, Any]]:
    """Bring resources about on a node with an agent of its own; return their results, and what was said last."""
    options = ("-o", f"UserKnownHostsFile={LAB / 'known_hosts'}")
    settings = ConnectionSettings(
        address=ADDRESSES[node], user="root", key_file=str(LAB / "id_ed25519"), ssh_common_args=options
    )
    results: list[dict[str, Any]] = []
    said: list[str] = []

    def listen(message: dict[str, Any]) -> None:
        if message["type"] == "output":
            said.append(message["text"].strip())
        elif message["type"] == "result":
            results.append({**message, "said": list(said)})

    with closing(Session(node, settings, connect, SessionOptions(run="test"), BLOBS)) as session:
        session.open()
        tasks = [Task(each, id=f"{number} {each.kind}") for number, each in enumerate(resources)]
        with beating(session):
            session.run_tasks(tasks, check=False, on_message=listen)
    return results


@contextmanager
def beating(session: Session) -> Iterator[None]:
    """Let the agent know that we are there, however long it is busy; a run's fleet does this for its sessions."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(5.0):
            session.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def verdicts(results: list[dict[str, Any]]) -> set[str]:
    return {result["verdict"] for result in results}


def failure(results: list[dict[str, Any]]) -> dict[str, str]:
    """Return the error of the one task that failed."""
    [error] = [result["error"] for result in results if result["verdict"] == "failed"]
    return dict(error)


@pytest.fixture(scope="module")
def images(begun: Done, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ImageSource]]:
    """Three versions of the web application, on all nodes: two that work, and one that never gets healthy."""
    cache = tmp_path_factory.mktemp("images")
    checks = {"example/swarmed:1": ALIVE, "example/swarmed:2": ALIVE, "example/swarmed:3": NEVER}
    found: dict[str, ImageSource] = {}
    for name, check in checks.items():
        docker = subprocess.run(["docker", "create", "example/webapp:1"], check=True, capture_output=True, text=True)
        made = docker.stdout.strip()
        change = ["--change", check, "--change", f"LABEL version={name}"]
        subprocess.run(["docker", "commit", *change, made, name], check=True, capture_output=True)
        subprocess.run(["docker", "rm", made], check=True, capture_output=True)
        found[name] = open_image(name, cache=cache)
        found[name].register(BLOBS)
    bring(found, NODES)
    yield found
    subprocess.run(["docker", "rmi", "--force", *found], capture_output=True)


def bring(images: dict[str, ImageSource], nodes: list[str]) -> None:
    """Bring the images to nodes, all at once."""
    threads = [threading.Thread(target=run_on, args=(n, *(i.resource() for i in images.values()))) for n in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def shop(images: dict[str, ImageSource], version: int = 1, **options: Any) -> list[Resource]:
    """The stack most tests deploy: a web service on its nodes' own ports, with a config and a secret."""
    name = f"example/swarmed:{version}"
    deploy: dict[str, Any] = {"replicas": 2, "publish": "host", "endpoint_mode": "dnsrr", "max_per_node": 1}
    deploy["update"] = Change(monitor_s=0.5)
    deploy["rollback"] = Change(monitor_s=0.5, on_failure="pause")
    deploy.update({key: options.pop(key) for key in ("replicas", "constraints") if key in options})
    files = (
        MountedFile("/etc/shop.conf", options.pop("text", "one")),
        MountedFile("/run/secrets/key", Secret("a-lab-only-secret")),
    )
    service = ContainerService("web", name, ports=(f"{PORT}:8080",), stop_grace_period_s=3.0)
    options.setdefault("wait_s", 90.0)
    options.setdefault("settle_s", 1.0)
    ids = {name: images[name].image_id}
    return list(stack("shop", [SwarmService(service, Deploy(**deploy), files)], image_ids=ids, **options))


@dataclass
class Probe:
    """Asks like a load balancer would, 20 times per second: a node that does not answer is passed over for the next."""

    nodes: list[str]
    asked: int = 0
    lost: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def per_second(self) -> float:
        return self.asked / (time.monotonic() - self.began)

    def once(self) -> None:
        self.asked += 1
        if not any(self._answers(node) for node in self.nodes):
            self.lost.append(f"request {self.asked}")

    def _answers(self, node: str) -> bool:
        connection = http.client.HTTPConnection(ADDRESSES[node], PORT, timeout=1)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                self.nodes.remove(node)
                self.nodes.insert(0, node)
                return True
        except OSError:
            pass
        finally:
            connection.close()
        return False


@contextmanager
def probing() -> Iterator[Probe]:
    """Ask all the time meanwhile."""
    probe, is_over = Probe(list(NODES)), threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            probe.once()
            is_over.wait(0.04)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield probe
    finally:
        is_over.set()
        thread.join()


def node_list(manager: str = FIRST) -> list[dict[str, Any]]:
    """What a manager's own tool says of the nodes."""
    ids = ssh(manager, "docker node ls --quiet").split()
    found: list[dict[str, Any]] = json.loads(ssh(manager, "docker node inspect", *ids))
    return found


def states(manager: str = FIRST) -> dict[str, list[str]]:
    """Hostname → states of all entries under that name."""
    found: dict[str, list[str]] = {}
    for node in node_list(manager):
        found.setdefault(node["Description"]["Hostname"], []).append(node["Status"]["State"])
    return found


def reachability(manager: str) -> dict[str, str]:
    """Hostname → what the managers think of each other."""
    managers = [node for node in node_list(manager) if node.get("ManagerStatus")]
    return {node["Description"]["Hostname"]: node["ManagerStatus"]["Reachability"] for node in managers}


def has_leader(manager: str) -> bool:
    """Tell whether a manager can answer for the swarm again."""
    return ssh(manager, "docker node ls --quiet 2>/dev/null || true") != ""


def id_of(name: str, manager: str = FIRST) -> str:
    [found] = [node["ID"] for node in node_list(manager) if node["Description"]["Hostname"] == name]
    return str(found)


# -- the swarm --------------------------------------------------------------------------------------------------------
def test_bare_hosts_become_a_swarm_and_stay_as_they_are(orchestr: Orchestr, standard: Path, begun: Done) -> None:
    """One run makes a swarm of bare hosts, labelled; the next changes nothing; no join token is left anywhere."""
    assert states() == {FIRST: ["ready"], SECOND: ["ready"], THIRD: ["ready"]}
    labels = {node["Description"]["Hostname"]: node["Spec"]["Labels"].get("tier") for node in node_list()}
    assert labels == {FIRST: None, SECOND: "work", THIRD: "work"}
    addresses = {node["Description"]["Hostname"]: node["Status"]["Addr"] for node in node_list()}
    assert addresses == {name: ADDRESSES[name] for name in NODES}
    again = orchestr.succeed("run", standard)
    assert again.changes == []
    for path in orchestr.state.rglob("*"):
        assert not path.is_file() or b"SWMTKN" not in path.read_bytes(), path
    assert "SWMTKN" not in begun.output + begun.errors + again.output
    for node in NODES:
        assert ssh(node, "grep -rl SWMTKN /var/lib/orchestr /var/log /opt /tmp /root 2>/dev/null || true") == ""


def test_its_ports_are_for_its_own_hosts(begun: Done) -> None:
    """From outside the managers' and the gossip port give no answer; from a host of the swarm they do."""
    for port in (2377, 7946):
        with pytest.raises(OSError):
            http.client.HTTPConnection(ADDRESSES[FIRST], port, timeout=1.5).connect()
        assert "open" in ssh(SECOND, f"timeout 3 bash -c '</dev/tcp/{ADDRESSES[FIRST]}/{port}' && echo open")


def test_a_label_taken_back_is_removed_and_others_stay(begun: Done) -> None:
    """What the inventory no longer says goes; what somebody else has set stays."""
    node_id = id_of(SECOND)
    ssh(FIRST, f"docker node update --label-add mine=yes {node_id}")
    run_on(FIRST, SwarmNode(node_id, SECOND, labels=(("tier", "work"), ("disk", "ssd"))))
    assert verdicts(run_on(FIRST, SwarmNode(node_id, SECOND, labels=(("tier", "work"),)))) == {"changed"}
    assert verdicts(run_on(FIRST, SwarmNode(node_id, SECOND, labels=(("tier", "work"),)))) == {"ok"}
    labels = next(node["Spec"]["Labels"] for node in node_list() if node["ID"] == node_id)
    assert (labels.get("mine"), labels.get("tier"), labels.get("disk")) == ("yes", "work", None)


def test_the_only_manager_stays_one(begun: Done) -> None:
    """A demotion that would leave the swarm without a majority is refused, with what to do; nothing changes."""
    error = failure(run_on(FIRST, SwarmNode(id_of(FIRST), FIRST, role="worker")))
    assert "only manager" in error["message"] and "another host a manager" in error["next_step"]
    assert states()[FIRST] == ["ready"]


# -- a stack ----------------------------------------------------------------------------------------------------------
def test_a_stack_is_followed_until_it_runs(images: dict[str, ImageSource]) -> None:
    """It ends when every task runs, saying how far it is meanwhile; the next run changes nothing."""
    results = run_on(FIRST, *shop(images))
    assert verdicts(results) <= {"ok", "changed"}, results
    said = next(result["said"] for result in results if "2 running" in str(result["said"]))
    assert "web: 2 running" in said and len(said) > 1
    assert sum(_serves(node) for node in NODES) == 2
    assert verdicts(run_on(FIRST, *shop(images))) == {"ok"}
    assert "a-lab-only-secret" not in ssh(FIRST, "docker service inspect shop_web; docker secret ls; cat /opt/shop/*")


def _serves(node: str) -> bool:
    probe = Probe([node])
    probe.once()
    return not probe.lost


BY_HAND = ["scale --detach shop_web=1", "update --detach --env-add BY=hand shop_web", "rm shop_web"]


@pytest.mark.parametrize("change", BY_HAND)
def test_what_was_changed_by_hand_is_seen_and_mended(images: dict[str, ImageSource], change: str) -> None:
    """A service scaled, redefined or removed by hand is brought back, and then left alone."""
    run_on(FIRST, *shop(images))
    ssh(FIRST, f"docker service {change}")
    assert "changed" in verdicts(run_on(FIRST, *shop(images)))
    assert verdicts(run_on(FIRST, *shop(images))) == {"ok"}
    spec = json.loads(ssh(FIRST, "docker service inspect shop_web"))[0]["Spec"]
    assert spec["Mode"]["Replicated"]["Replicas"] == 2
    assert "Env" not in spec["TaskTemplate"]["ContainerSpec"]


def test_a_changed_file_rolls_the_service_and_the_old_one_is_collected(images: dict[str, ImageSource]) -> None:
    """A config with another content is another object; the old one stays while a rollback would need it, then goes."""
    for text in ("two", "three", "three"):
        assert verdicts(run_on(FIRST, *shop(images, text=text, replicas=1))) <= {"ok", "changed"}
    names = [name for name in ssh(FIRST, "docker config ls --format '{{.Name}}'").split() if name.startswith("shop_")]
    spec = json.loads(ssh(FIRST, "docker service inspect shop_web"))[0]
    used = {spec[key]["TaskTemplate"]["ContainerSpec"]["Configs"][0]["ConfigName"] for key in ("Spec", "PreviousSpec")}
    assert set(names) == used and len(names) == 2


def test_an_image_that_never_gets_healthy_is_rolled_back(images: dict[str, ImageSource]) -> None:
    """The run fails with the tasks' own words, the version before serves all along, and reverting changes nothing."""
    run_on(FIRST, *shop(images))
    with probing() as probe:
        error = failure(run_on(FIRST, *shop(images, version=3)))
        per_second = probe.per_second
    assert "rolled back" in error["message"], error
    assert "unhealthy" in error["stderr"], error
    assert probe.lost == [] and per_second >= 10, (probe.lost, per_second)
    spec = json.loads(ssh(FIRST, "docker service inspect shop_web"))[0]["Spec"]
    assert spec["TaskTemplate"]["ContainerSpec"]["Image"] == images["example/swarmed:1"].image_id
    reverted = [result for result in run_on(FIRST, *shop(images)) if result["task"].endswith(" stack")]
    assert verdicts(reverted) == {"ok"}


def test_a_rolling_update_loses_no_request(images: dict[str, ImageSource]) -> None:
    """The other image replaces one task after the other; somebody answers all the time."""
    with probing() as probe:
        assert verdicts(run_on(FIRST, *shop(images, version=2))) <= {"ok", "changed"}
    assert probe.lost == []
    tasks = ssh(FIRST, "docker service ps shop_web --no-trunc --filter desired-state=running --format '{{.Image}}'")
    assert tasks.split() == [images["example/swarmed:2"].image_id] * 2


def test_a_worker_that_dies_in_a_rolling_update_is_done_without(images: dict[str, ImageSource]) -> None:
    """The update goes on where there still are nodes, and ends well; the worker comes back into the swarm."""
    workers = {"constraints": ("node.role==worker",), "replicas": 1}
    run_on(FIRST, *shop(images, version=1, **workers))
    host = ssh(FIRST, "docker service ps shop_web --filter desired-state=running --format '{{.Node}}'").split()[0]
    other = next(name for name in (SECOND, THIRD) if name != host)
    done: list[list[dict[str, Any]]] = []
    thread = threading.Thread(target=lambda: done.append(run_on(FIRST, *shop(images, version=2, **workers))))
    thread.start()
    wait_until(lambda: "updating" in ssh(FIRST, "docker service inspect shop_web"), "the update did not begin")
    lab("kill", host)
    thread.join()
    lab("start", host)
    assert verdicts(done[0]) <= {"ok", "changed"}, done[0]
    assert _serves(other)
    wait_until(lambda: states()[host] == ["ready"], f"{host} did not come back", 60)


def test_what_cannot_be_placed_is_told_when_nothing_moves(images: dict[str, ImageSource]) -> None:
    """A service no node may run ends the run after the time without progress, with the scheduler's own reason."""
    resources = shop(images, constraints=("node.labels.nowhere==true",), wait_s=3.0)
    error = failure(run_on(FIRST, *resources))
    assert "no progress for 3 s" in error["message"] and "0 of 2 running" in error["message"]
    assert "no suitable node" in error["stderr"], error


# -- harm to the swarm ------------------------------------------------------------------------------------------------
def test_a_rebuilt_host_joins_under_its_old_name(orchestr: Orchestr, standard: Path, begun: Done) -> None:
    """A host with a new disk joins again; the dead entry of its name goes once the new one is Ready."""
    lab("reset", THIRD)
    wait_until(lambda: states()[THIRD] == ["down"], f"{THIRD} is not missed", 60)
    orchestr.succeed("run", standard)
    assert states() == {FIRST: ["ready"], SECOND: ["ready"], THIRD: ["ready"]}
    assert orchestr.succeed("run", standard).changes == []


def test_a_stopped_engine_is_a_clear_error(orchestr: Orchestr, standard: Path, begun: Done) -> None:
    """The host whose engine cannot start is named with the reason; the others are looked after."""
    ssh(SECOND, "systemctl mask --runtime --now docker.socket docker.service 2>&1")
    try:
        done = orchestr("run", standard)
    finally:
        ssh(SECOND, "systemctl unmask --runtime docker.socket docker.service; systemctl start docker")
    assert done.exit == 1
    assert [host for host, _ in done.trouble] == [SECOND]
    assert "Docker" in done.trouble[0][1] or "docker" in done.trouble[0][1], done.trouble
    wait_until(lambda: states()[SECOND] == ["ready"], f"{SECOND} did not come back", 60)


def test_a_host_in_another_swarm_is_left_there_and_it_is_named(orchestr: Orchestr, standard: Path, begun: Done) -> None:
    """A host that somebody put into another swarm is not torn out of it; the error names that swarm and the way out."""
    ssh(THIRD, f"docker swarm leave; docker swarm init --advertise-addr {ADDRESSES[THIRD]}")
    done = orchestr("run", standard)
    assert done.exit == 1
    [(host, message)] = done.trouble
    assert host == THIRD and "in another swarm" in message and f"{ADDRESSES[THIRD]}:2377" in message
    assert "docker swarm leave --force" in message
    ssh(THIRD, "docker swarm leave --force")
    # Its first entry is one that the managers still take for alive: the run knows better, and waits.
    orchestr.succeed("run", standard)
    assert states() == {FIRST: ["ready"], SECOND: ["ready"], THIRD: ["ready"]}
    assert orchestr.succeed("run", standard).changes == []


def test_workers_become_managers_and_one_of_three_may_be_lost(
    orchestr: Orchestr, begun: Done, images: dict[str, ImageSource], tmp_path: Path
) -> None:
    """With three managers one can die: the others deploy; and none of those two can be made a worker meanwhile."""
    three = inventory(tmp_path, NODES, [])
    orchestr.succeed("run", three)
    assert [bool(node.get("ManagerStatus")) for node in node_list()] == [True] * 3
    lab("kill", FIRST)
    try:
        wait_until(lambda: has_leader(SECOND), "no other manager leads", 60)
        bring(images, [SECOND])
        here = {"constraints": (f"node.hostname=={SECOND}",), "replicas": 1}
        assert verdicts(run_on(SECOND, *shop(images, version=1, **here))) <= {"ok", "changed"}
        wait_until(lambda: reachability(SECOND)[FIRST] == "unreachable", "the manager is not missed", 60)
        error = failure(run_on(SECOND, SwarmNode(id_of(THIRD, SECOND), THIRD, role="worker")))
        assert "no majority" in error["message"]
    finally:
        lab("start", FIRST)
    wait_until(lambda: states(SECOND)[FIRST] == ["ready"], "the manager did not come back", 60)
    assert orchestr.succeed("run", three).changes == []


def test_managers_become_workers_again_and_a_host_leaves(orchestr: Orchestr, begun: Done, tmp_path: Path) -> None:
    """Two managers are made workers one by one; a leaving host is drained, leaves, and is forgotten by the others."""
    orchestr.succeed("run", inventory(tmp_path, [FIRST], [SECOND, THIRD]))
    assert [bool(node.get("ManagerStatus")) for node in node_list()].count(True) == 1
    left = inventory(tmp_path, [FIRST], [SECOND], [THIRD])
    orchestr.succeed("run", left)
    assert set(states()) == {FIRST, SECOND}
    # After managers have changed the others report to the one that leads now, and are unknown to it until they do.
    wait_until(lambda: states() == {FIRST: ["ready"], SECOND: ["ready"]}, "the other node does not report", 60)
    assert ssh(THIRD, "docker info --format '{{.Swarm.LocalNodeState}}'").strip() == "inactive"
    assert orchestr.succeed("run", left).changes == []


def test_join_tokens_are_rotated_unseen(orchestr: Orchestr, standard: Path, begun: Done) -> None:
    """After a rotation the old tokens let nobody in, and the new ones are nowhere to be read."""
    before = ssh(FIRST, "docker swarm join-token --quiet worker")
    done = orchestr("run", standard, "--playbook", ROOT / "playbooks/swarm-rotate-tokens.yml")
    assert done.exit == 0 and "SWMTKN" not in done.output + done.errors
    assert ssh(FIRST, "docker swarm join-token --quiet worker") != before
    [survey] = run_on(FIRST, SwarmSurvey())
    assert "SWMTKN" not in repr(survey)
