"""Services rendered for a swarm from the model compose has, and what is refused before a swarm would pass over it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
import yaml

from orchestr.containers.compose import ContainerService
from orchestr.containers.model import HealthCheck, Limits, Network, Reload
from orchestr.containers.stack import Change, Deploy, MountedFile, Restart, SwarmService, stack, stack_document
from orchestr.errors import InputError
from orchestr.resources.files import File
from orchestr.resources.swarm.objects import SwarmConfig, SwarmLeftovers, SwarmSecret
from orchestr.resources.swarm.stack import Stack
from orchestr.secret import Secret

WEB = ContainerService(
    "web",
    "shop/web:7",
    command=("serve", "--price=$5"),
    environment={"DEBUG": False, "PORT": 8080},
    ports=("8080:80", "9000-9001:9000-9001/udp"),
    networks=("back",),
    healthcheck=HealthCheck("curl -f localhost"),
    limits=Limits(cpus=0.5, memory="64m", reserved_memory="32m"),
    labels={"a": "b"},
    user="1000",
    init=True,
)
ROLLING = Deploy(
    replicas=3,
    constraints=("node.role == worker",),
    spread_over=("node.labels.zone",),
    max_per_node=2,
    update=Change(parallelism=2, delay_s=10, order="start-first", max_failure_ratio=0.25),
    restart=Restart(delay_s=2, max_attempts=4, window_s=60),
    labels={"lb": "on"},
)


def entry(service: ContainerService = WEB, deploy: Deploy = ROLLING, **options: Any) -> dict[str, Any]:
    """The service's part of the stack file."""
    document = stack_document("shop", [SwarmService(service, deploy, options.pop("files", ()))], **options)
    found: dict[str, Any] = document["services"][service.name]
    return found


def test_a_service_is_rendered_with_all_that_a_swarm_knows() -> None:
    """Placement, both changes, restart and resources stand under deploy; ports are written out with their mode."""
    found = entry()
    deploy = found["deploy"]
    assert deploy["mode"] == "replicated" and deploy["replicas"] == 3
    assert deploy["placement"] == {
        "constraints": ["node.role == worker"],
        "preferences": [{"spread": "node.labels.zone"}],
        "max_replicas_per_node": 2,
    }
    assert deploy["update_config"] == {
        "parallelism": 2,
        "delay": "10s",
        "failure_action": "rollback",
        "monitor": "5s",
        "max_failure_ratio": 0.25,
        "order": "start-first",
    }
    assert deploy["rollback_config"]["failure_action"] == "pause"
    assert deploy["restart_policy"] == {"condition": "any", "delay": "2s", "max_attempts": 4, "window": "60s"}
    assert deploy["resources"] == {"limits": {"cpus": "0.5", "memory": "64m"}, "reservations": {"memory": "32m"}}
    assert [(port["published"], port["target"], port["protocol"], port["mode"]) for port in found["ports"]] == [
        (8080, 80, "tcp", "ingress"),
        (9000, 9000, "udp", "ingress"),
        (9001, 9001, "udp", "ingress"),
    ]
    assert not {"restart", "network_mode", "depends_on", "container_name", "build"} & found.keys()


def test_swarm_has_time_to_see_that_the_first_new_task_failed() -> None:
    """Without a delay, swarm's updater may stop the next working task at the moment in which the new one fails."""
    deploy = entry(deploy=Deploy(replicas=2))["deploy"]
    assert (deploy["update_config"]["delay"], deploy["rollback_config"]["delay"]) == ("1s", "1s")


def test_the_same_service_runs_the_same_under_compose_and_swarm() -> None:
    """What is in the container is made from one model: command, environment, user, health, limits."""
    from orchestr.containers.compose import compose_text

    composed = yaml.safe_load(compose_text("shop", [replace(WEB, ports=())]))["services"]["web"]
    swarmed = json.loads(json.dumps(entry(replace(WEB, ports=()))).replace("$", "$$"))
    for key in "image command environment user init healthcheck stop_grace_period logging labels".split():
        assert composed[key] == swarmed[key], key


def test_sent_images_are_named_by_their_id() -> None:
    """A tag can be moved and a node might ask a registry for it; an id can only be that one image."""
    found = entry(image_ids={"shop/web:7": "sha256:abc"})
    assert found["image"] == "sha256:abc" and found["deploy"]["labels"]["orchestr.image"] == "shop/web:7"


@pytest.mark.parametrize(
    ("word", "policy"),
    [
        ("unless-stopped", {"condition": "any", "delay": "5s"}),
        ("no", {"condition": "none", "delay": "5s"}),
        ("on-failure:3", {"condition": "on-failure", "delay": "5s", "max_attempts": 3}),
    ],
)
def test_composes_restart_word_becomes_a_policy(word: str, policy: dict[str, Any]) -> None:
    """Swarm ignores the word itself; what it means is kept."""
    assert entry(replace(WEB, restart=word), Deploy())["deploy"]["restart_policy"] == policy


def test_what_runs_once_is_a_job() -> None:
    """It is tried again when it fails, a few times, and has no updates that could be rolled back."""
    deploy = entry(ContainerService("init", "shop/web:7", runs_once=True), Deploy())["deploy"]
    assert deploy["mode"] == "replicated-job"
    assert deploy["restart_policy"] == {"condition": "on-failure", "delay": "5s", "max_attempts": 3}
    assert "update_config" not in deploy and "rollback_config" not in deploy


def test_a_stack_comes_after_its_contents_and_before_its_leftovers() -> None:
    """Secrets become swarm secrets and texts configs, each once; the stack file names them and shows no secret."""
    files = (MountedFile("/etc/a.conf", "text"), MountedFile("/run/secrets/key", Secret("hunter2"), mode=0o400))
    services = [SwarmService(WEB, ROLLING, files), SwarmService(ContainerService("two", "x:1"), files=files)]
    found = list(stack("shop", services, networks=[Network("back", attachable=True)]))
    config, secret = found[2], found[3]
    assert isinstance(config, SwarmConfig) and isinstance(secret, SwarmSecret)
    assert isinstance(found[-1], SwarmLeftovers) and set(found[-1].keep) == {config.name, secret.name}
    [file] = [each for each in found if isinstance(each, File)]
    document = yaml.safe_load(str(file.content))
    assert "hunter2" not in str(file.content) and "name" not in document
    assert document["secrets"] == {secret.name: {"name": secret.name, "external": True}}
    assert document["services"]["web"]["secrets"][0] == {
        "source": secret.name,
        "target": "/run/secrets/key",
        "uid": "0",
        "gid": "0",
        "mode": 0o400,
    }
    assert document["networks"] == {"back": {"driver": "overlay", "attachable": True}}
    [deployed] = [each for each in found if isinstance(each, Stack)]
    assert json.loads(deployed.document)["services"]["web"]["command"][1] == "--price=$$5"


def test_another_content_is_another_name_and_a_secrets_name_tells_nothing() -> None:
    """The same content always has the same name; a secret's digest is slow to guess and differs by its own name."""

    def name(content: str | Secret, base: str = "key") -> str:
        return MountedFile("/x", content, name=base).object_name("shop")

    assert name("a") == name("a") != name("b")
    assert name(Secret("a")) == name(Secret("a")) != name(Secret("b"))
    assert name(Secret("a")).rpartition("-")[2] != name("a").rpartition("-")[2]
    assert name(Secret("a")).rpartition("-")[2] != name(Secret("a"), "other").rpartition("-")[2]


def test_how_many_run_is_not_part_of_the_definition() -> None:
    """Scaling redeploys nothing; everything else in the service's entry does."""

    def definition(service: ContainerService, deploy: Deploy) -> str:
        [found] = [each for each in stack("shop", [SwarmService(service, deploy)]) if isinstance(each, Stack)]
        return found.services[0].definition

    assert definition(WEB, ROLLING) == definition(WEB, replace(ROLLING, replicas=9))
    assert definition(WEB, ROLLING) != definition(WEB, replace(ROLLING, max_per_node=0))
    assert definition(WEB, ROLLING) != definition(replace(WEB, image="shop/web:8"), ROLLING)


def test_a_real_client_reads_the_stack_file(tmp_path: Any) -> None:
    """Docker's own client takes the file as it is, and writes the same service back."""
    path = tmp_path / "stack.yaml"
    path.write_text(json.dumps(stack_document("shop", [SwarmService(WEB, ROLLING)])).replace("$", "$$"))
    done = subprocess.run(["docker", "stack", "config", "-c", str(path)], capture_output=True, text=True)
    if "unknown" in done.stderr and "config" in done.stderr:  # clients before 25 cannot be asked
        return
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]["web"]
    assert read["command"][1] == "--price=$5" and read["deploy"]["update_config"]["order"] == "start-first"


PLAIN = ContainerService("web", "x:1")
HOST = Deploy(publish="host")
EARLY = Deploy(publish="host", update=Change(order="start-first"))


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (SwarmService(replace(PLAIN, network_mode="host")), "ignores network_mode"),
        (SwarmService(replace(PLAIN, depends_on=("db",))), "ignores depends_on"),
        (SwarmService(replace(PLAIN, config=("/etc/x",))), "files of one host"),
        (SwarmService(replace(PLAIN, reload=Reload(("/etc/x",), ("hup",)))), "files of one host"),
        (SwarmService(replace(PLAIN, env_files=(".env",))), "not an absolute path"),
        (SwarmService(replace(PLAIN, ports=("127.0.0.1:80:80",))), "ignores the address"),
        (SwarmService(replace(PLAIN, ports=("80:80",)), Deploy(endpoint_mode="dnsrr")), "ingress mesh"),
        (SwarmService(replace(PLAIN, ports=("80:80",)), EARLY), "start-first"),
        (SwarmService(replace(PLAIN, ports=("80:80",)), replace(HOST, max_per_node=2)), "same port"),
        (SwarmService(PLAIN, Deploy(constraints=("disk=ssd",))), "not a placement constraint"),
        (SwarmService(replace(PLAIN, volumes=("data:/data",))), "another, empty one on every node"),
        (SwarmService(replace(PLAIN, volumes=("/srv:/data",))), "must be on every node"),
        (SwarmService(replace(PLAIN, volumes=("./srv:/data",)), Deploy(keeps_anywhere=True)), "not an absolute path"),
        (SwarmService(PLAIN, Deploy(mode="global", replicas=2)), "one task on each node"),
        (SwarmService(replace(PLAIN, runs_once=True), Deploy(mode="global")), "run once and run on every"),
        (SwarmService(PLAIN, Deploy(rollback=Change(on_failure="rollback"))), "cannot be rolled back"),
        (SwarmService(PLAIN, Deploy(update=Change(max_failure_ratio=2))), "failure ratio"),
        (SwarmService(PLAIN, Deploy(labels={"orchestr.x": "1"})), "is reserved"),
        (SwarmService(replace(PLAIN, name="w" * 60)), "longer than 63"),
        (SwarmService(PLAIN, files=(MountedFile("etc/x", "a"),)), "not an absolute path"),
        (SwarmService(PLAIN, files=(MountedFile("/etc/x", "a"), MountedFile("/etc/x", "b"))), "two files or mounts"),
        (SwarmService(PLAIN, files=(MountedFile("/etc/x", "a" * 500_001),)), "500001 bytes"),
        (SwarmService(PLAIN, files=(MountedFile("/etc/x", ""),)), "0 bytes"),
        (SwarmService(replace(PLAIN, environment={"PASSWORD": Secret("x")})), "holds a secret"),  # type: ignore[dict-item]
    ],
)
def test_what_a_swarm_would_pass_over_is_refused(service: SwarmService, said: str) -> None:
    """Each has a sentence that says what swarm would do, and what to write instead; secrets are not shown."""
    with pytest.raises(InputError) as caught:
        stack_document("shop", [service])
    assert said in str(caught.value) and caught.value.next_step


@pytest.mark.parametrize(
    "deploy",
    [
        Deploy(constraints=("node.labels.db==true",)),
        Deploy(constraints=("node.hostname == n1",)),
        Deploy(mode="global"),
        Deploy(keeps_anywhere=True),
    ],
)
def test_a_volume_is_fine_where_the_service_stays(deploy: Deploy) -> None:
    """Pinned by a label or a name, on every node, or declared to be the same everywhere."""
    found = entry(replace(PLAIN, volumes=("data:/data:ro",)), deploy)
    assert found["volumes"] == [{"type": "volume", "source": "data", "target": "/data", "read_only": True}]


def test_several_replicas_may_publish_one_port() -> None:
    """Unlike on one machine, where it is refused."""
    assert entry(replace(PLAIN, ports=("80:80",)), Deploy(replicas=3))["ports"][0]["published"] == 80
    with pytest.raises(InputError, match="both publish"):
        stack_document("shop", [SwarmService(replace(PLAIN, name=name, ports=("80:80",))) for name in ("a", "b")])


def test_networks_of_a_stack_span_nodes() -> None:
    """A bridge is refused, a misspelt one gets a suggestion, an external one is named."""
    with pytest.raises(InputError, match="spans only one node"):
        entry(networks=[Network("back", driver="bridge")])
    with pytest.raises(InputError, match="back"):
        entry(networks=[Network("backs")])
    document = stack_document("shop", [SwarmService(WEB, ROLLING)], [Network("back", external=True)])
    assert document["networks"] == {"back": {"name": "back", "external": True}}
