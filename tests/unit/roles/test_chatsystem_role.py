"""What ChatSystem gets on one machine and on a swarm: who registers how, what is open, where data and secrets are."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestr.applications import moved_forms, moves
from orchestr.applications.model import Application
from orchestr.applications.stack_form import swarm_service
from orchestr.containers.stack import SwarmService
from orchestr.errors import InputError
from orchestr.planning.plan import Host
from orchestr.planning.role import load_role
from orchestr.resources.files import File
from orchestr.resources.swarm.nodes import SwarmNode
from orchestr.resources.swarm.objects import SwarmSecret
from orchestr.secret import Secret
from tests.unit.roles.conftest import LAB, ROOT, Planned, plan_file, text_of

PLAYBOOK = ROOT / "playbooks/chatsystem.yml"
SQL = ROOT / "inventories/lab/files/init_all.sql"
SURVEY = "chatsystem/application_survey:chatsystem"
STATEFUL = {"etcd": "lab1", "mysql": "lab2", "redis": "lab1", "elasticsearch": "lab1", "rabbitmq": "lab1"}
PASSWORDS = (
    "lab-only-root-password",
    "lab-only-mysql-password",
    "lab-only-redis-password",
    "lab-only-rabbitmq-password",
)
Change = Callable[[dict[str, Any]], None]


class System:
    """A planned ChatSystem as its first host sees it."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        role = load_role("chatsystem", ROOT)
        self.module: Any = role.module
        self.host = Host(planned.run.context, planned.run.inventory.host("lab1"), role)

    @cached_property
    def application(self) -> Application:
        application = self.host.application("chatsystem")
        assert application is not None
        return application

    @cached_property
    def services(self) -> dict[str, SwarmService]:
        return {each.name: swarm_service("chatsystem", each) for each in self.application.services}

    @cached_property
    def resources(self) -> list[Any]:
        return [task.resource for task in self.planned.tasks("lab1")]

    def file(self, path: str) -> Any:
        [found] = [each for each in self.resources if isinstance(each, File) and each.path == path]
        return found

    @cached_property
    def text(self) -> str:
        name = "stack.yaml" if any(each.kind == "stack" for each in self.resources) else "compose.yaml"
        return text_of(self.file(f"/opt/chatsystem/{name}").content)

    def labels(self) -> dict[str, set[str]]:
        """Return the hosts whose nodes carry each label."""
        nodes = [each for each in self.resources if isinstance(each, SwarmNode)]
        names = {name for node in nodes for name, _ in node.labels}
        return {name: {node.hostname for node in nodes if (name, "true") in node.labels} for name in names}


@pytest.fixture(scope="module")
def one() -> System:
    return System(plan_file(LAB / "chatsystem-single.yml", PLAYBOOK))


@pytest.fixture(scope="module")
def many() -> System:
    return System(plan_file(LAB / "chatsystem-swarm.yml", PLAYBOOK))


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., System]:
    """Plan the lab's swarm, or its one machine, after its ``all`` group was changed, or with variables set."""

    def plan(change: Change = lambda document: None, form: str = "swarm", **variables: Any) -> System:
        document = yaml.safe_load((LAB / f"chatsystem-{form}.yml").read_text())
        change(document["all"])
        path = tmp_path / "inventory.yml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return System(plan_file(path, PLAYBOOK, mysql_init_sql=str(SQL), **variables))

    return plan


@pytest.fixture(params=["one", "many"])
def either(request: pytest.FixtureRequest) -> System:
    found: System = request.getfixturevalue(request.param)
    return found


# -- registration -----------------------------------------------------------------------------------------------------
def flags(system: System, server: str, place: Path, **environment: str) -> dict[str, str]:
    """Run a server's command where the waiting is replaced by echo, and return the flags it is given; the last wins."""
    (place / "hostname").write_text('#!/bin/sh\n[ "$1" = -i ] && echo "10.0.1.7 10.0.2.7" || echo c0ffee\n')
    (place / "hostname").chmod(0o755)
    command = system.services[server].service.command
    assert not isinstance(command, str)
    line = command[2].replace("/im/bin/wait_for_services.sh", "echo")
    variables = {"PATH": f"{place}:{os.environ['PATH']}", **environment}
    said = subprocess.run([*command[:2], line], env=variables, capture_output=True, check=True, text=True).stdout
    given = [word.lstrip("-").split("=", 1) for word in said.split() if word.startswith("-")]
    assert next(iter(given))[0] == "flagfile"
    return dict(given)


@pytest.mark.parametrize("server", ["user_server", "file_server", "message_store_server"])
def test_replicas_register_apart(many: System, tmp_path: Path, server: str) -> None:
    """Each replica's own name, below the same parent, and its own address come behind the configuration's."""
    first, second = (flags(many, server, tmp_path, REPLICA=slot) for slot in "12")
    service, port = server.replace("server", "service"), {"u": 10003, "f": 10002, "m": 10005}[server[0]]
    assert first["instance_name"] == f"/{service}/instance-1" and second["instance_name"] == f"/{service}/instance-2"
    assert first["access_host"] == f"10.0.1.7:{port}"


def test_replicas_have_names_that_stay_or_at_least_differ(changed: Callable[..., System], tmp_path: Path) -> None:
    """A swarm tells each replica its slot; on one machine, where there are several, each goes by its container."""
    two = {"chatsystem_replicas": {"user_server": 2}}
    on_swarm, here = changed(**two), changed(form="single", **two)
    assert on_swarm.services["user_server"].service.environment["REPLICA"] == "{{.Task.Slot}}"
    assert (on_swarm.services["user_server"].replicas, here.services["user_server"].replicas) == (2, 2)
    assert "REPLICA" not in here.services["user_server"].service.environment
    assert flags(here, "user_server", tmp_path)["instance_name"] == "/user_service/instance-c0ffee"


def test_the_gateway_registers_nowhere(either: System) -> None:
    """It is who asks; nobody looks it up."""
    assert "instance_name" not in " ".join(either.services["gateway_server"].service.command)


# -- how many ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("replicas", "words"),
    [
        ({"gateway_server": 3}, "to run several all the same, set chatsystem_allow_several_gateways: true"),
        ({"file_server": 2}, "file_server can have only one replica: its uploads are in one directory of one host"),
        ({"user_server": -1}, "0 or more"),
        ({"chat_server": 2}, "chat_server is not a server"),
    ],
)
def test_numbers_that_lose_something_are_refused(changed: Callable[..., System], replicas: Any, words: str) -> None:
    """A second gateway or file_server is refused before anything is connected, and so is what makes no sense."""
    with pytest.raises(InputError, match=words):
        changed(chatsystem_replicas=replicas)


def test_several_gateways_are_possible_for_who_says_so(changed: Callable[..., System]) -> None:
    """With the override there are as many as asked for; an update still stops the old one first."""
    system = changed(chatsystem_replicas={"gateway_server": 2}, chatsystem_allow_several_gateways=True)
    gateway = system.services["gateway_server"]
    assert (gateway.replicas, gateway.deploy.update.order) == (2, "stop-first")


# -- what is open, what is secret -------------------------------------------------------------------------------------
def test_only_the_gateways_two_ports_are_published(either: System) -> None:
    """No other service has a port on a host, nor is on a host's network."""
    assert {name: each.service.ports for name, each in either.services.items() if each.service.ports} == {
        "gateway_server": ("9000:9000", "9001:9001")
    }
    services = yaml.safe_load(either.text)["services"]
    assert len(services) == 12 and [name for name in services if "ports" in services[name]] == ["gateway_server"]
    assert not [name for name in services if services[name].get("network_mode")]
    assert {tuple(each["networks"]) for each in services.values()} == {("chatsystem-overlay",)}


def test_ports_are_opened_where_the_gateway_is_published(many: System, changed: Callable[..., System]) -> None:
    """Through the mesh every node lets them in; published by the host, only those of the gateway do."""
    assert [len(many.planned.ports("chatsystem", name)) for name in ("lab1", "lab2", "lab3")] == [2, 0, 0]
    mesh = changed(chatsystem_publish="ingress", swarm_publish_mode="ingress").planned
    assert mesh.ports("chatsystem", "lab3") == {("9000", "tcp"): (), ("9001", "tcp"): ()}


@pytest.mark.parametrize(("said", "found"), [({}, "host"), ({"swarm_publish_mode": "ingress"}, "ingress")])
def test_the_gateway_is_published_as_the_swarm_publishes(
    changed: Callable[..., System], said: dict[str, str], found: str
) -> None:
    """What the swarm is said to be able to do counts for the gateway as well."""

    def without_own(document: dict[str, Any]) -> None:
        document["vars"].pop("chatsystem_publish", None)

    system = changed(without_own, **said)
    assert system.services["gateway_server"].deploy.publish == found


def test_a_mesh_that_the_swarm_has_not_is_refused(changed: Callable[..., System]) -> None:
    """The gateway would answer nobody: that is bad input, whichever of the two lines is wrong."""
    with pytest.raises(InputError, match="swarm_publish_mode is host"):
        _ = changed(chatsystem_publish="ingress", swarm_publish_mode="host").services


def test_managers_leave_a_swarm_that_ends(one: System, many: System) -> None:
    """Where nobody stays in the swarm, all its managers may go; else a manager is made a worker first."""
    context = many.planned.run.context
    role = load_role("swarm", ROOT)
    host = Host(context, many.planned.run.inventory.host("lab2"), role)
    module: Any = role.module
    assert [each.last for each in module.leave(host, host.params("swarm"))] == [False]
    context.staying = one.planned.run.context
    try:
        assert [each.last for each in module.leave(host, host.params("swarm"))] == [True]
    finally:
        context.staying = None


@pytest.mark.parametrize("phase", ["leave", "deploy"])
def test_hosts_that_pulled_different_images_are_told(many: System, phase: str) -> None:
    """A tag that moved between two hosts' pulls stops the run before anything is stopped or deployed."""
    context, params = many.planned.run.context, many.host.params("chatsystem")
    function = many.host.role.function(phase)
    assert function is not None
    label = f"chatsystem/pulled_image:{params.image}"
    for name, image_id in {"lab1": "sha256:" + "a" * 64, "lab2": "sha256:" + "b" * 64}.items():
        context.outcomes.setdefault(name, {})[label] = {"image": image_id}
    try:
        with pytest.raises(InputError, match=r"not the same image.*lab1: sha256:a.*lab2: sha256:b"):
            list(function(many.host, params))
        context.outcomes["lab2"][label] = context.outcomes["lab1"][label]
        list(function(many.host, params))
    finally:
        context.outcomes.clear()


@pytest.mark.parametrize("password", PASSWORDS)
def test_no_password_stands_in_what_everybody_reads(either: System, password: str) -> None:
    """No environment, argument, health check, compose or stack file, and no task's description has a password."""
    assert password not in either.text
    assert password not in repr([each.service for each in either.services.values()])
    assert password not in repr(either.resources)
    files = [file for each in either.services.values() for file in each.files]
    held = [file for file in files if isinstance(file.content, Secret) and password in file.content.reveal()]
    assert held and all(file.mode & 0o077 == 0 for file in held)


def test_on_one_machine_secrets_are_files_of_who_reads_them(one: System) -> None:
    """A file with a password is closed to others and belongs to the user of its service."""
    files = [each for each in one.resources if isinstance(each, File) and isinstance(each.content, Secret)]
    found = {each.path.rpartition("/")[2]: (each.mode, each.owner) for each in files}
    assert found["redis.conf"] == (0o400, "999") and found["rabbitmq.conf"] == (0o400, "999")
    assert {mode for mode, _ in found.values()} == {0o400}
    assert len(found) == 4 + 2 + 7  # MySQL's, Redis' and RabbitMQ's, the servers'


def test_on_a_swarm_the_same_files_are_secrets(one: System, many: System) -> None:
    """What is a closed file on one machine is a secret of the swarm, and nothing else is."""
    files = [each for each in one.resources if isinstance(each, File) and isinstance(each.content, Secret)]
    secrets = [each.name.rpartition("-")[0] for each in many.resources if isinstance(each, SwarmSecret)]
    assert sorted(secrets) == sorted(f"chatsystem_{each.path.rpartition('/')[2]}" for each in files)


def test_the_sql_reaches_nothing_but_mysqls_first_start(either: System) -> None:
    """The script, which drops tables, is a file of initdb.d, read while there is no data; no command runs it."""
    files = [(each.name, file) for each in either.services.values() for file in each.files]
    having = [(name, file.target) for name, file in files if "DROP TABLE" in text_of(file.content)]
    assert having == [("mysql", "/docker-entrypoint-initdb.d/init.sql")]
    texts = [each for each in either.resources if "DROP TABLE" in text_of(getattr(each, "content", ""))]
    assert len(texts) == 1 and not [each for each in either.resources if each.kind == "command"]


# -- where ------------------------------------------------------------------------------------------------------------
def test_services_with_data_stay_with_it(many: System) -> None:
    """Each service that has a volume is bound to a label, which exactly the node of its role carries."""
    labels = many.labels()
    for name, each in many.services.items():
        if not each.service.volumes:
            continue
        [constraint] = each.deploy.constraints
        label = constraint.removeprefix("node.labels.").removesuffix("==true")
        assert labels[label] == {STATEFUL.get(name, "lab1")}, name
    assert {name for name, each in many.services.items() if each.service.volumes} == {*STATEFUL, "file_server"}


def test_groups_say_where_the_uploads_and_the_gateway_are(many: System, changed: Callable[..., System]) -> None:
    """The gateway is bound to its group; without one it may run on any host; uploads then are on the first."""
    prefix = "orchestr.role."
    assert many.labels()[prefix + "chatsystem_gateway"] == {"lab1"}
    where = {name: each.deploy.constraints[0] for name, each in many.services.items()}
    assert where["gateway_server"] == f"node.labels.{prefix}chatsystem_gateway==true"
    assert where["user_server"] == f"node.labels.{prefix}chatsystem==true"

    def move(document: dict[str, Any]) -> None:
        del document["children"]["chatsystem_gateway"]
        document["children"]["chatsystem_storage"] = {"hosts": {"lab3": None}}

    labels = changed(move).labels()
    assert labels[prefix + "chatsystem_gateway"] == labels[prefix + "chatsystem"] == {"lab1", "lab2", "lab3"}
    assert labels[prefix + "chatsystem_storage"] == {"lab3"}


def test_the_services_are_run_once_from_the_manager(many: System) -> None:
    """One host deploys the stack; every host of the group has the image before."""
    for name in ("lab2", "lab3"):
        kinds = [task.resource.kind for task in many.planned.tasks(name)]
        assert "stack" not in kinds and "pulled_image" in kinds
    order = [f"{each.kind} {each.label}" for each in many.resources]
    assert order.index("pulled_image chatsystem/server:v3") < order.index("stack chatsystem")


def test_a_new_image_replaces_that_server_alone(many: System, changed: Callable[..., System]) -> None:
    """chatsystem_images changes one server's entry, and brings that image to the nodes as well."""
    new = changed(chatsystem_images={"user_server": "chatsystem/server:v4"})
    before, after = (yaml.safe_load(system.text)["services"] for system in (many, new))
    assert [name for name in after if after[name] != before[name]] == ["user_server"]
    assert "chatsystem/server:v4" in [task.resource.label for task in new.planned.tasks("lab3")]


def test_hosts_that_fit_no_form_are_refused(changed: Callable[..., System]) -> None:
    """Several hosts need a swarm; a swarm's manager must have the role; a part of it is on one host."""

    def spread(document: dict[str, Any]) -> None:
        document["hosts"]["lab2"] = {"ansible_host": "192.168.56.12"}
        document["children"]["chatsystem"]["hosts"]["lab2"] = None

    with pytest.raises(InputError, match=r"several hosts \(lab1, lab2\) needs a swarm"):
        changed(spread, form="single").planned.all_tasks()
    with pytest.raises(InputError, match=r"lab1, the manager .* chatsystem, does not have the role chatsystem"):
        changed(lambda document: document["children"]["chatsystem"]["hosts"].pop("lab1")).planned.all_tasks()
    with pytest.raises(InputError, match="exactly one host with the role mysql, found: lab2, lab3"):
        changed(lambda document: document["children"]["mysql"]["hosts"].update(lab3=None)).planned.all_tasks()


# -- the move ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wanted", "form", "pending", "leaves"),
    [
        ("compose", "", "", ""),
        ("compose", "compose", "", ""),
        ("compose", "stack", "", "stack"),
        ("compose", "", "stack", "stack"),
        ("compose", "compose", "stack", "stack"),
        ("compose", "stack", "stack", "stack"),
        ("compose", "compose", "compose", ""),
        ("stack", "", "", ""),
        ("stack", "stack", "", ""),
        ("stack", "compose", "", "compose"),
        ("stack", "", "compose", "compose"),
        ("stack", "stack", "compose", "compose"),
        ("stack", "compose", "compose", "compose"),
        ("stack", "stack", "stack", ""),
    ],
)
def test_what_is_there_says_what_has_to_be_left(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    form: str,
    pending: str,
    leaves: str,
) -> None:
    """A move goes on from wherever it was; with nothing begun, the form that is there is left for the other."""
    system: System = request.getfixturevalue("one" if wanted == "compose" else "many")
    outcome = {SURVEY: {"form": form, "pending": pending, "database_bytes": 0}}
    monkeypatch.setitem(system.planned.run.context.outcomes, "lab1", outcome)
    assert moved_forms.old_form(system.host, system.application) == leaves


@pytest.mark.parametrize(
    ("wanted", "form", "pending", "leaves"),
    [
        ("compose", "stack", "compose", "stack"),
        ("stack", "compose", "stack", "compose"),
        ("stack", "stack", "compose", "compose"),
    ],
)
def test_after_the_load_the_new_form_is_the_one_that_counts(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, wanted: str, form: str, pending: str, leaves: str
) -> None:
    """Servers may have written since: to take such a move back is a move of its own, that loses nothing."""
    system: System = request.getfixturevalue("one" if wanted == "compose" else "many")
    outcome = {SURVEY: {"form": form, "pending": pending, "is_loaded": True, "database_bytes": 0}}
    monkeypatch.setitem(system.planned.run.context.outcomes, "lab1", outcome)
    assert moved_forms.old_form(system.host, system.application) == leaves


def test_a_compose_project_that_no_manager_has_is_refused(monkeypatch: pytest.MonkeyPatch, many: System) -> None:
    """Its data could not come along, and the swarm would begin with an empty database beside it."""
    outcome = {SURVEY: {"form": "compose", "pending": "", "database_bytes": 0}}
    monkeypatch.setitem(many.planned.run.context.outcomes, "lab1", outcome)
    with pytest.raises(InputError, match="lab2"):
        moved_forms.assert_on_manager(many.host, "lab2")
    moved_forms.assert_on_manager(many.host, "lab1")


TREES = "chatsystem/tree_survey:chatsystem"
UPLOADS, REDIS_DATA = "chatsystem_uploads", "chatsystem_redis-data"


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the looks of a run have found: the form on lab1, and which host has (or marks) which trees."""

    def say(system: System, form: str, *, noted: dict[str, Any] | None = None, **holders: dict[str, str]) -> None:
        survey = {"form": form, "pending": "", "database_bytes": 50_000_000, **(noted or {})}
        for name in system.planned.run.hosts:
            trees = {
                tree: {word: word in state.split() for word in ("has", "is_used", "leaving", "arrived")}
                for tree, state in holders.get(name, {}).items()
            }
            outcomes: dict[str, Any] = {TREES: {"node": f"id-of-{name}", "trees": trees}}
            for tree in trees:
                measured = {"size_bytes": 30_000_000, "free_bytes": 10**12, "is_mount": False}
                outcomes[f"chatsystem/tree_measure:{tree}"] = measured
            if name == "lab1":
                outcomes[SURVEY] = survey
            monkeypatch.setitem(system.planned.run.context.outcomes, name, outcomes)

    return say


def on_lab3(document: dict[str, Any]) -> None:
    document["children"]["chatsystem_storage"] = {"hosts": {"lab3": None}}


def kinds(system: System, host: str, *wanted: str) -> list[str]:
    found = [task.resource for task in system.planned.tasks(host)]
    return [f"{each.kind} {each.label}" for each in found if each.kind in wanted]


MOVING = ("tree_taken", "tree_placed", "tree_retired", "tree_stays")


def test_uploads_and_volumes_go_where_the_inventory_has_them(changed: Callable[..., System], looked: Any) -> None:
    """What is on another host than it belongs on is taken there, placed here and put aside; MySQL and etcd are not."""
    system = changed(on_lab3)
    looked(system, "compose", lab1={UPLOADS: "has is_used", REDIS_DATA: "has"})
    assert kinds(system, "lab1", *MOVING) == [f"tree_taken {UPLOADS}", f"tree_retired {UPLOADS}"]
    assert kinds(system, "lab3", *MOVING) == [f"tree_placed {UPLOADS}"]
    assert kinds(system, "lab2", *MOVING) == []
    assert {tree.name for _, tree, _ in moves.targets(system.host, "chatsystem")} == {
        UPLOADS,
        REDIS_DATA,
        "chatsystem_es-data",
        "chatsystem_rabbitmq-data",
    }


@pytest.mark.parametrize(("hostname", "is_refused"), [("lab2", False), ("lab3", True)])
def test_a_database_does_not_start_empty_on_another_node(
    monkeypatch: pytest.MonkeyPatch, many: System, looked: Any, hostname: str, is_refused: bool
) -> None:
    """MySQL belongs on lab2 here; where the swarm has it on lab3, the run ends before anything is changed."""
    context = many.planned.run.context
    for name in many.planned.run.hosts:
        monkeypatch.setitem(context.facts, name, {**context.facts.get(name, {}), "hostname": name})
    looked(many, "stack", noted={"places": {"mysql": ("id", hostname)}})
    if not is_refused:
        assert many.planned.tasks("lab1")
        return
    with pytest.raises(InputError, match="mysql of chatsystem has its database on lab3, and would start empty on lab2"):
        many.planned.tasks("lab1")


def test_data_is_taken_between_the_stop_and_the_start(changed: Callable[..., System], looked: Any) -> None:
    """Out of compose: the database saved and the containers gone, then the uploads, then the new form."""
    system = changed(on_lab3)
    looked(system, "compose", lab1={UPLOADS: "has is_used"})
    order = kinds(system, "lab1", "application_saved", *MOVING, "stack", "application_downtime")
    assert [each.split()[0] for each in order] == [
        "application_saved",
        "tree_taken",
        "tree_retired",
        "stack",
        "stack",
        "application_downtime",
    ]


def test_the_expected_downtime_counts_the_files(changed: Callable[..., System], looked: Any) -> None:
    """Their size is named, with the way they go, and adds to the seconds."""
    told = []
    for has in ("", "has is_used"):
        system = changed(on_lab3)
        looked(system, "compose", lab1={UPLOADS: has})
        system.planned.tasks("lab1")
        told += [text for _, text in system.planned.run.context.take_notes() if "expect about" in text]
    assert "expect about 70 s" in told[0] and UPLOADS not in told[0]
    assert f"{UPLOADS} 30.0 MB from lab1 to lab3; expect about 76 s" in told[1]


def test_within_a_swarm_the_service_stops_before_its_label_moves(changed: Callable[..., System], looked: Any) -> None:
    """Only the service whose data moves is stopped, before the nodes are labelled anew: else it would start empty."""
    system = changed(on_lab3)
    looked(system, "stack", lab1={UPLOADS: "has is_used", REDIS_DATA: "has is_used"})
    order = kinds(
        system, "lab1", "application_services_stopped", "swarm_node", *MOVING, "stack", "application_downtime"
    )
    assert order[0] == "application_services_stopped chatsystem: file_server" and "swarm_node" in order[1]
    rest = [each.split()[0] for each in order if not each.startswith("swarm_node")]
    assert rest == ["application_services_stopped", "tree_taken", "tree_retired", "stack", "application_downtime"]


def test_data_that_is_where_it_belongs_is_left_alone(many: System, looked: Any) -> None:
    """A run that moves nothing measures, stops and takes nothing."""
    looked(many, "stack", lab1={UPLOADS: "has is_used", REDIS_DATA: "has is_used"})
    assert kinds(many, "lab1", "tree_measure", "application_services_stopped", "application_downtime", *MOVING) == []


@pytest.mark.parametrize(
    ("noted", "holders", "words"),
    [
        (
            {"places": {"chatsystem_storage": ("id-of-lab9", "lab9")}},
            {},
            "must move from lab9, which is not a host of this run, to lab1",
        ),
        ({"awaited": {UPLOADS: ("lab8", "lab9")}}, {}, "is moving from lab8 to lab9, and no host of this run"),
        (
            {"mounted": {"/im/data": "/srv/files"}},
            {},
            "has its uploads in /srv/files of lab1, and the inventory names /opt",
        ),
        (
            {},
            {"lab1": {UPLOADS: "has"}, "lab2": {UPLOADS: "has"}},
            "is on lab1 and on lab2, and no survey shows which copy is valid",
        ),
    ],
)
def test_nothing_is_left_behind_in_silence(many: System, looked: Any, noted: Any, holders: Any, words: str) -> None:
    """Data on a host that is not seen, under another directory or in two places is refused before anything changes."""
    looked(many, "stack", noted=noted, **holders)
    with pytest.raises(InputError, match=words):
        many.planned.tasks("lab1")


def test_a_move_that_is_noted_says_which_counts(changed: Callable[..., System], looked: Any) -> None:
    """With old data on the target and the service stopped already, the note of the first attempt decides."""
    system = changed(on_lab3)
    noted = {"awaited": {UPLOADS: ("lab1", "lab3")}, "is_stopped": True}
    looked(system, "stack", noted=noted, lab1={UPLOADS: "has"}, lab3={UPLOADS: "has"})
    assert kinds(system, "lab3", *MOVING) == [f"tree_placed {UPLOADS}"]
    assert kinds(system, "lab1", "application_downtime") == ["application_downtime chatsystem"]


def test_where_a_service_is_bound_its_data_counts(many: System, looked: Any) -> None:
    """Old data that somebody left on another host keeps no run from going on, also while nothing runs."""
    noted = {"places": {"redis": ("id-of-lab1", "lab1")}}
    looked(many, "stack", noted=noted, lab1={REDIS_DATA: "has"}, lab2={REDIS_DATA: "has"})
    assert kinds(many, "lab1", *MOVING) == []
    looked(many, "compose", lab1={REDIS_DATA: "has"}, lab2={REDIS_DATA: "has"})
    assert kinds(many, "lab1", *MOVING) == []


def test_one_that_was_taken_back_stays_and_its_copy_goes(many: System, looked: Any) -> None:
    """The mark of a tree that stays is removed, and the copy elsewhere is put aside."""
    looked(many, "stack", lab1={UPLOADS: "has leaving"}, lab3={UPLOADS: "has arrived"})
    assert kinds(many, "lab1", *MOVING) == [f"tree_stays {UPLOADS}"]
    assert kinds(many, "lab3", *MOVING) == [f"tree_retired {UPLOADS}"]


def test_a_move_saves_before_it_starts_and_loads_before_the_servers(
    monkeypatch: pytest.MonkeyPatch, many: System
) -> None:
    """Out of compose: saved, then what has data, then loaded, then everything, then the time it took."""
    outcome = {SURVEY: {"form": "compose", "pending": "", "database_bytes": 50_000_000}}
    monkeypatch.setitem(many.planned.run.context.outcomes, "lab1", outcome)
    resources: list[Any] = [task.resource for task in many.planned.tasks("lab1")]
    order = [each.kind for each in resources]
    steps = ("application_saved", "stack", "application_loaded", "application_downtime")
    assert [kind for kind in order if kind in steps] == [*steps[:3], "stack", steps[3]]
    first = next(each for each in resources if each.kind == "stack")
    assert {each.name for each in first.services} == set(STATEFUL)
