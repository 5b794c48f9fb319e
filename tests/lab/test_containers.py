"""Containers on a real machine: images sent layer by layer, projects that restart only what changed."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.resource import Resource, Task
from orchestr.blobs import BlobStore
from orchestr.containers.compose import ContainerService, HealthCheck, Reload, compose_project, compose_text
from orchestr.engine.session import Session, SessionOptions
from orchestr.errors import HostError
from orchestr.images.archive import ImageSource, open_image
from orchestr.inventory.settings import ConnectionSettings
from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.docker.engine import DockerEngine
from orchestr.resources.files import Directory, File
from orchestr.transport.connect import connect
from tests.lab.conftest import ADDRESSES, LAB, ssh
from tests.waiting import HANG_S

NODE = "lab4"
NODES = [NODE]
ATTEMPTS = 5
CALLS = "/run/docker-calls"
#: On the node, in docker's place: notes what is asked of it; waits while /run/hold says for which word.
WRAPPER = f"""#!/bin/sh
echo "$@" >>{CALLS}
for word; do while [ "$word" = "$(cat /run/hold 2>/dev/null)" ]; do touch /run/held; sleep 0.05; done; done
exec /usr/bin/docker.real "$@"
"""
CADDYFILE = ':8081 {\n\trespond "%s"\n}\n'


class CountingStore(BlobStore):
    """A blob store that knows how many bytes were taken from it, and can damage one blob."""

    def __init__(self) -> None:
        super().__init__()
        self.sent_bytes = 0
        self.damaged = ""

    def chunks(self, sha256: str) -> Iterator[bytes]:
        for chunk in super().chunks(sha256):
            self.sent_bytes += len(chunk)
            yield bytes([chunk[0] ^ 1]) + chunk[1:] if sha256 == self.damaged else chunk


class Node:
    """Tasks run on the node, each call with an agent of its own, as one run after another."""

    def __init__(self) -> None:
        self.blobs = CountingStore()

    def session(self) -> Session:
        options = ("-o", f"UserKnownHostsFile={LAB / 'known_hosts'}")
        settings = ConnectionSettings(
            address=ADDRESSES[NODE], user="root", key_file=str(LAB / "id_ed25519"), ssh_common_args=options
        )
        return Session(NODE, settings, connect, SessionOptions(run="test"), self.blobs)

    def run(self, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
        with closing(self.session()) as session:
            session.open()
            return results(session, resources, check)

    def verdicts(self, *resources: Resource, check: bool = False) -> list[str]:
        return [result["verdict"] for result in self.run(*resources, check=check)]

    def calls(self) -> list[str]:
        """What was asked of docker since the last look."""
        lines = ssh(NODE, f"cat {CALLS} 2>/dev/null; rm -f {CALLS}").splitlines()
        return [line.partition("shop.override.yaml")[2] or line for line in lines]

    def containers(self) -> dict[str, tuple[str, str]]:
        """Name → (id, when it was started) of every container of the shop."""
        names = ssh(NODE, "/usr/bin/docker.real ps --all --quiet --filter name=shop-").split()
        found = json.loads(ssh(NODE, "/usr/bin/docker.real", "inspect", *names)) if names else []
        return {item["Name"].lstrip("/"): (item["Id"], item["State"]["StartedAt"]) for item in found}


def results(session: Session, resources: tuple[Resource, ...], check: bool = False) -> list[dict[str, Any]]:
    tasks = [Task(resource, id=f"{number} {resource.kind}") for number, resource in enumerate(resources)]
    found: list[dict[str, Any]] = []
    session.run_tasks(
        tasks, check=check, on_message=lambda message: found.append(message) if message["type"] == "result" else None
    )
    return found


@pytest.fixture(scope="module")
def node(bare: list[str]) -> Node:
    """The node, bare, with docker's calls noted."""
    ssh(NODE, "mv /usr/bin/docker /usr/bin/docker.real; cat >/usr/bin/docker; chmod 755 /usr/bin/docker", input=WRAPPER)
    return Node()


@pytest.fixture(scope="module")
def images(node: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageSource]:
    """The lab's redis and Caddy, on the node."""
    cache = tmp_path_factory.mktemp("images")
    found = {name: open_image(name, cache=cache) for name in ("redis:7", "caddy:2")}
    for source in found.values():
        source.register(node.blobs)
    assert set(node.verdicts(*(source.resource() for source in found.values()))) <= {"ok", "changed"}
    return found


# -- images -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def commit(tmp_path: Path) -> Iterator[Callable[[str, str], ImageSource]]:
    """Make an image of this machine's engine: another one with a file added on top."""
    made: list[str] = []

    def docker(*words: str) -> str:
        return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()

    def make(base: str, name: str) -> ImageSource:
        (tmp_path / "added").write_text(f"{name} {time.time_ns()}\n" * 1000)
        container = docker("create", base)
        docker("cp", str(tmp_path / "added"), f"{container}:/added")
        docker("commit", container, name)
        docker("rm", container)
        made.append(name)
        return open_image(name, cache=tmp_path)

    yield make
    for name in made:
        subprocess.run(["docker", "rmi", "--force", name], capture_output=True)


def test_only_missing_layers_are_sent(
    node: Node, images: dict[str, ImageSource], commit: Callable[[str, str], ImageSource]
) -> None:
    """A new top layer travels alone, counted in bytes; the second push sends nothing and asks docker nothing."""
    source = commit("redis:7", "shop/top:1")
    source.register(node.blobs)
    node.blobs.sent_bytes = 0
    assert node.verdicts(source.resource()) == ["changed"]
    assert node.blobs.sent_bytes == source.config.size_bytes + source.layers[-1].blob.size_bytes < 200_000
    assert ssh(NODE, "docker run --rm --entrypoint cat shop/top:1 /added").startswith("shop/top:1")
    node.calls()
    node.blobs.sent_bytes = 0
    assert node.verdicts(source.resource()) == ["ok"]
    assert node.blobs.sent_bytes == 0 and node.calls() == []


def test_layers_shared_between_images_are_sent_once(node: Node, images: dict[str, ImageSource]) -> None:
    """Of a second image only what the first did not bring is sent."""
    redis, caddy = images["redis:7"], images["caddy:2"]
    shared = len({layer.diff_id for layer in redis.layers} & {layer.diff_id for layer in caddy.layers})
    assert shared > 0
    ssh(NODE, "docker rmi caddy:2")
    node.blobs.sent_bytes = 0
    assert node.verdicts(caddy.resource()) == ["changed"]
    own = sum(layer.blob.size_bytes for layer in caddy.layers[shared:])
    assert node.blobs.sent_bytes == own + caddy.config.size_bytes


def test_a_damaged_layer_becomes_no_image(
    node: Node, images: dict[str, ImageSource], commit: Callable[[str, str], ImageSource]
) -> None:
    """Bytes changed on the way are refused, nothing is tagged, and the next push is whole."""
    source = commit("redis:7", "shop/damaged:1")
    source.register(node.blobs)
    node.blobs.damaged = source.layers[-1].blob.sha256
    [result] = node.run(source.resource())
    assert result["verdict"] == "failed" and "damaged" in result["error"]["message"]
    assert "shop/damaged" not in ssh(NODE, "docker images")
    node.blobs.damaged = ""
    assert node.verdicts(source.resource()) == ["changed"]


# -- a project --------------------------------------------------------------------------------------------------------
class Shop:
    """A project of two services, as a role would yield it; change its texts and run it again."""

    def __init__(self, node: Node, images: dict[str, ImageSource]) -> None:
        self.node = node
        self.images = {name: source.image_id for name, source in images.items()}
        self.environment = "MODE=one\n"
        self.redis_conf = "maxmemory 10mb\n"
        self.caddyfile = CADDYFILE % "one"
        self.options: dict[str, Any] = {"wait_s": 30.0}
        self.web = ContainerService(
            "web",
            "caddy:2",
            network_mode="host",
            volumes=("/opt/shop/caddy:/etc/caddy:ro",),
            reload=Reload(("/opt/shop/caddy/Caddyfile",), ("caddy", "reload", "--config", "/etc/caddy/Caddyfile")),
            stop_grace_period_s=2,
        )
        self.cache = ContainerService(
            "cache",
            "redis:7",
            command=("redis-server", "/etc/redis/redis.conf"),
            env_files=(".env",),
            volumes=("/opt/shop/redis:/etc/redis:ro",),
            config=("/opt/shop/redis/redis.conf",),
            healthcheck=HealthCheck(("redis-cli", "ping"), interval_s=1, retries=5, start_period_s=1),
            stop_grace_period_s=2,
        )

    def resources(self) -> tuple[Resource, ...]:
        compose_file, project = self.project()
        return (
            DockerEngine(),
            Directory("/opt/shop"),
            Directory("/opt/shop/caddy"),
            Directory("/opt/shop/redis"),
            File("/opt/shop/.env", self.environment, mode=0o600),
            File("/opt/shop/redis/redis.conf", self.redis_conf),
            File("/opt/shop/caddy/Caddyfile", self.caddyfile),
            compose_file,
            project,
        )

    def project(self) -> tuple[File, ComposeProject]:
        return compose_project("/opt/shop", [self.web, self.cache], image_ids=self.images, **self.options)

    def run(self, check: bool = False) -> dict[str, Any]:
        """The result of the project itself; the tasks before it must not fail."""
        found = self.node.run(*self.resources(), check=check)
        assert "failed" not in [result["verdict"] for result in found[:-1]], found
        return found[-1]


@pytest.fixture
def shop(node: Node, images: dict[str, ImageSource]) -> Shop:
    """The shop, up as first written, and docker's calls forgotten."""
    shop = Shop(node, images)
    assert shop.run()["verdict"] in ("ok", "changed")
    node.calls()
    return shop


def lost(session: Session, resources: tuple[Resource, ...]) -> None:
    """Run tasks on a connection that breaks under them."""
    with pytest.raises((HostError, OSError)):
        results(session, resources)


def served(shop: Shop) -> str:
    return ssh(NODE, "curl -s --max-time 5 http://127.0.0.1:8081")


def test_compose_reads_every_text_as_it_was_meant(node: Node, images: dict[str, ImageSource]) -> None:
    """What goes into the environment of a real container is, to the letter, what the service says."""
    texts = [*"yes 22:22 0o17 1e3 1_000 $HOME ${X:-y} $$ #b ' \" \\n é✓".split(), " x ", "a # b", "a\nb\n", "a\n\n b"]
    environment = {f"V{number}": text for number, text in enumerate(texts)}
    text = compose_text("texts", [ContainerService("one", "redis:7", environment=environment)])
    ssh(NODE, "docker compose -f - create", input=text)
    found = json.loads(ssh(NODE, "docker inspect texts-one-1; docker rm texts-one-1 >/dev/null"))
    assert {item for item in found[0]["Config"]["Env"] if item[0] == "V"} == {
        f"{name}={value}" for name, value in environment.items()
    }


def test_a_missing_mounted_directory_is_not_made_up(node: Node, images: dict[str, ImageSource]) -> None:
    """A bind whose source does not exist is refused; plain Docker would mount an empty directory it makes there."""
    service = ContainerService("one", "redis:7", volumes=("/opt/nothing:/data",))
    file, project = compose_project("/opt/binds", [service], image_ids={"redis:7": ""})
    [*_, result] = node.run(Directory("/opt/binds"), file, project)
    assert result["verdict"] == "failed" and "/opt/nothing" in result["error"]["message"]
    assert ssh(NODE, "ls -d /opt/nothing", check=False) == ""
    node.run(replace(project, present=False))


def test_a_second_run_writes_nothing_and_starts_no_process(shop: Shop) -> None:
    """Everything is ok, docker was asked nothing, no file of ours changed."""
    listing = "find /opt/shop /var/lib/orchestr -printf '%p %i %C@\\n' | sort"
    before = ssh(NODE, listing)
    assert set(shop.node.verdicts(*shop.resources())) == {"ok"}
    assert shop.node.calls() == [] and ssh(NODE, listing) == before


def test_only_a_stopped_container_is_started(shop: Shop) -> None:
    """The one that was stopped runs again, in the same container; the other never noticed."""
    before = shop.node.containers()
    ssh(NODE, "docker stop shop-cache-1")
    assert shop.run(check=True)["diff"] == "- cache: exited (0)\n+ cache: running"
    assert shop.run()["verdict"] == "changed"
    after = shop.node.containers()
    assert after["shop-web-1"] == before["shop-web-1"]
    assert after["shop-cache-1"][0] == before["shop-cache-1"][0] and after["shop-cache-1"] != before["shop-cache-1"]


def test_a_file_repaired_in_the_same_run_recreates_nothing(shop: Shop) -> None:
    """An .env edited by hand is a change of the .env alone, in the plan and in the run."""
    before = shop.node.containers()
    ssh(NODE, "echo MODE=hacked >/opt/shop/.env")
    for check in (True, False):
        verdicts = shop.node.verdicts(*shop.resources(), check=check)
        assert verdicts[4] == "changed" and verdicts.count("ok") == len(verdicts) - 1
    assert shop.node.containers() == before


def test_a_container_restarted_by_hand_with_an_edited_file_is_restarted(shop: Shop) -> None:
    """Its process read what the file held then: the repair of the file is followed by a restart, in plan and run."""
    before = shop.node.containers()
    ssh(NODE, "echo maxmemory 99mb >/opt/shop/redis/redis.conf; /usr/bin/docker.real restart shop-cache-1")
    for check in (True, False):
        verdicts = shop.node.verdicts(*shop.resources(), check=check)
        assert [number for number, verdict in enumerate(verdicts) if verdict == "changed"] == [5, 8], verdicts
    after = shop.node.containers()
    assert after["shop-web-1"] == before["shop-web-1"] and after["shop-cache-1"][0] == before["shop-cache-1"][0]
    assert "10485760" in ssh(NODE, "docker exec shop-cache-1 redis-cli config get maxmemory")
    assert set(shop.node.verdicts(*shop.resources(), check=True)) == {"ok"}


def test_a_mounted_file_repaired_in_the_same_run_restarts_nothing(shop: Shop) -> None:
    """A configuration edited by hand that no container read is a change of that file alone, in the plan and the run."""
    before = shop.node.containers()
    ssh(NODE, "echo maxmemory 99mb >/opt/shop/redis/redis.conf; echo wrong >/opt/shop/caddy/Caddyfile")
    for check in (True, False):
        verdicts = shop.node.verdicts(*shop.resources(), check=check)
        assert [number for number, verdict in enumerate(verdicts) if verdict == "changed"] == [5, 6], verdicts
    assert shop.node.containers() == before


def test_restarts_by_others_with_files_as_they_were_are_no_drift(shop: Shop) -> None:
    """Containers restarted by hand, and all of them by a restart of the engine, differ in nothing."""
    for command in ("/usr/bin/docker.real restart shop-cache-1 shop-web-1", "systemctl restart docker"):
        before = shop.node.containers()
        ssh(NODE, command)
        ssh(NODE, "until [ $(/usr/bin/docker.real ps -q --filter name=shop- | wc -l) = 2 ]; do sleep 0.1; done")
        assert set(shop.node.verdicts(*shop.resources())) == {"ok"}
        after = shop.node.containers()
        assert all(after[name][1] != started for name, (_, started) in before.items())
    assert shop.node.calls() == []


def test_a_changed_file_recreates_only_its_service(shop: Shop) -> None:
    """New redis settings make a new redis and leave Caddy as it is."""
    before = shop.node.containers()
    shop.redis_conf = "maxmemory 20mb\n"
    assert "cache: running, started with other configuration (/opt/shop/redis/redis.conf)" in shop.run()["diff"]
    after = shop.node.containers()
    assert after["shop-web-1"] == before["shop-web-1"] and after["shop-cache-1"][0] != before["shop-cache-1"][0]
    assert "20971520" in ssh(NODE, "docker exec shop-cache-1 redis-cli config get maxmemory")


def test_a_reload_keeps_the_container(shop: Shop) -> None:
    """A new Caddyfile is served by the container that served the old one."""
    before = shop.node.containers()
    shop.caddyfile = CADDYFILE % "two"
    assert shop.run()["diff"] == "- web: running, has not loaded its new configuration\n+ web: running"
    assert served(shop) == "two" and shop.node.containers() == before
    assert shop.run()["verdict"] == "ok"


def test_a_refused_reload_fails_and_the_old_configuration_serves(shop: Shop) -> None:
    """A Caddyfile with an error fails the task with Caddy's own words, again on the next run."""
    before = served(shop)
    shop.caddyfile = ":8081 {\n\tnonsense\n}\n"
    for _ in range(2):
        error = shop.run()["error"]
        assert "the old one keeps serving" in error["message"] and "nonsense" in error["stderr"]
    assert served(shop) == before


def test_dying_before_the_start_is_made_good(shop: Shop) -> None:
    """The controller vanishes when the files are written and `up` is about to begin: the next run restarts."""
    shop.redis_conf = "maxmemory 30mb\n"
    ssh(NODE, "echo up >/run/hold")
    session = shop.node.session()
    session.open()
    runner = threading.Thread(target=lost, args=(session, shop.resources()))
    runner.start()
    ssh(NODE, "until [ -e /run/held ]; do sleep 0.05; done")
    assert session._connection is not None
    session._connection.close()
    runner.join(60)
    ssh(NODE, "while pgrep -f '[c]ompose --ansi' >/run/left; do sleep 0.05; done; rm -f /run/hold /run/held")
    assert "started with other configuration" in shop.run()["diff"]
    assert "31457280" in ssh(NODE, "docker exec shop-cache-1 redis-cli config get maxmemory")


def test_dying_during_a_recreation_is_made_good(shop: Shop) -> None:
    """compose killed between stopping the old container and starting the new: one of each afterwards, running."""
    watch = "until docker.real ps --all --format '{{.Names}}' | grep -q _shop-cache-1; do :; done"
    for _ in range(ATTEMPTS):  # on a busy machine compose may be done before it is killed
        shop.redis_conf = f"maxmemory 40mb\n# {time.time_ns()}\n"
        command = f'timeout 60 sh -c "{watch}"; pkill -9 docker-compose'
        killer = threading.Thread(target=ssh, args=(NODE, command), kwargs={"check": False})
        killer.start()
        verdict = shop.run()["verdict"]
        killer.join(HANG_S)
        assert not killer.is_alive()
        if verdict == "failed":
            break
    assert verdict == "failed", f"compose was never killed in time, in {ATTEMPTS} attempts"
    assert shop.run()["verdict"] in ("ok", "changed")
    assert sorted(shop.node.containers()) == ["shop-cache-1", "shop-web-1"]
    assert "41943040" in ssh(NODE, "docker exec shop-cache-1 redis-cli config get maxmemory")


def test_compose_up_by_hand_changes_nothing(shop: Shop) -> None:
    """Someone typing `docker compose up -d` in the directory gets what orchestr would do."""
    before = shop.node.containers()
    ssh(NODE, "cd /opt/shop && docker compose up -d")
    assert shop.node.containers() == before
    assert shop.run()["verdict"] == "ok"


def test_a_service_changed_by_hand_is_put_right(shop: Shop) -> None:
    """A compose file edited and brought up by hand is repaired, and so is the container made from it."""
    ssh(NODE, "cd /opt/shop && sed -i 's/redis.conf$/redis.conf\\n      - --port\\n      - \"6400\"/' compose.yaml")
    ssh(NODE, "cd /opt/shop && docker compose up -d")
    result = shop.run()
    assert "cache: running, started by hand with another definition or image" in result["diff"]
    assert "6400" not in ssh(NODE, "docker inspect --format '{{.Args}}' shop-cache-1")


def test_a_service_that_never_gets_healthy_fails_with_its_log(shop: Shop) -> None:
    """The error names the service and what it last wrote."""
    bad = HealthCheck(("false",), interval_s=0.5, retries=2)
    shop.cache = replace(shop.cache, healthcheck=bad)
    error = shop.run()["error"]
    assert error["message"] == "the service cache is unhealthy" and "Ready to accept connections" in error["stderr"]
    assert shop.run(check=True)["verdict"] == "changed"


def test_a_crash_loop_fails_with_its_log(shop: Shop) -> None:
    """A service that dies at once, again and again, is not taken for running."""
    shop.redis_conf, shop.options = "no-such-setting 1\n", {"wait_s": 4.0}
    shop.cache = replace(shop.cache, healthcheck=None)
    error = shop.run()["error"]
    assert "the service cache" in error["message"] and "no-such-setting" in error["stderr"]


def test_a_reference_that_names_another_image_recreates_its_service(
    node: Node, images: dict[str, ImageSource], commit: Callable[[str, str], ImageSource]
) -> None:
    """As after a pull: the container made from what the reference named before is replaced."""
    source = commit("redis:7", "shop/moved:1")
    source.register(node.blobs)
    ssh(NODE, "docker tag redis:7 shop/moved:1")
    resources = (Directory("/opt/moved"), *compose_project("/opt/moved", [ContainerService("one", "shop/moved:1")]))
    assert node.verdicts(*resources)[-1] == "changed" and node.verdicts(*resources)[-1] == "ok"
    [_, *_, result] = node.run(source.resource(), *resources)
    assert result["diff"] == "- one: running, with another image than shop/moved:1 is now\n+ one: running"
    assert source.image_id in ssh(NODE, "docker inspect --format '{{.Image}}' moved-one-1")
    assert node.verdicts(replace(resources[-1], present=False)) == ["changed"]


def test_a_service_taken_out_goes(shop: Shop) -> None:
    """A container of a service that left the project is removed; the other stays as it is."""
    before = shop.node.containers()
    file, project = compose_project("/opt/shop", [shop.web], image_ids=shop.images)
    [_, result] = shop.node.run(file, project)
    assert result["diff"] == "- orphans: shop-cache-1\n+ orphans: none"
    assert shop.node.containers() == {"shop-web-1": before["shop-web-1"]}


def test_a_project_can_be_stopped_and_removed(shop: Shop) -> None:
    """Stopped and absent are states, each reached once; volumes are nobody's but the user's."""
    _, project = shop.project()
    for wanted in (replace(project, running=False), replace(project, present=False)):
        for verdict in ("changed", "ok"):
            [result] = shop.node.run(wanted)
            assert result["verdict"] == verdict, result
    assert shop.node.containers() == {}


def test_with_docker_stopped_nothing_is_claimed(shop: Shop) -> None:
    """A plan says that the engine will be started and that the project is unknown; alone it fails clearly."""
    ssh(NODE, "systemctl stop docker.socket docker.service")
    verdicts = shop.node.verdicts(*shop.resources(), check=True)
    assert (verdicts[0], verdicts[-1]) == ("changed", "unknown")
    [alone] = shop.node.run(shop.project()[1], check=True)
    assert alone["verdict"] == "failed" and "does not answer" in alone["error"]["message"]
    assert shop.node.verdicts(*shop.resources())[0] == "changed"
    assert served(shop) != ""
