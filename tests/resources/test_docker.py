"""The engine as a resource, and reading its API."""

from __future__ import annotations

import base64

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import NotObservable, Task
from orchestr.resources.compose import containers as compose_containers
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.engine import DockerEngine
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.engine_double import ENGINES, PLUGIN, EngineDouble, answers


@pytest.mark.parametrize("version", ENGINES)
def test_a_running_engine_is_ok_without_a_process(version: str) -> None:
    """An engine that answers and has compose v2 costs no process and no write."""
    engine = EngineDouble(version)
    assert converge(Task(DockerEngine()), engine.system, False, False)["verdict"] == "ok"
    assert engine.host.log == [] and engine.host.writes == 0


def test_a_stopped_engine_is_started_and_awaited() -> None:
    """A stopped engine is started, and the task ends only once it answers."""
    engine = EngineDouble()
    engine.is_up = False
    asked = iter(range(100))

    def appear(*_: object) -> None:
        original = engine.host.http

        class Late(dict):  # type: ignore[type-arg]
            def get(self, key: str, default: object = None) -> object:
                engine.is_up = next(asked) >= 3
                return original.get(key, default)

        engine.host.http = Late()

    engine.host.commands[("systemctl", "start", "docker")] = appear
    result = converge(Task(DockerEngine()), engine.system, False, False)
    assert result["verdict"] == "changed" and result["diff"] == "- engine: stopped\n+ engine: answers"


def test_an_engine_that_cannot_start_says_why() -> None:
    """When the engine does not start, the error carries what its log says."""
    engine = EngineDouble()
    engine.is_up = False
    engine.host.commands[("systemctl",)] = (1, "", "Job for docker.service failed")
    engine.host.commands[("journalctl",)] = "unable to configure the Docker daemon with file /etc/docker/daemon.json"
    error = converge(Task(DockerEngine()), engine.system, False, False)["error"]
    assert "could not be started" in error["message"]
    assert "Job for docker.service failed" in error["stderr"] and "daemon.json" in error["stderr"]


def test_docker_not_yet_installed_is_unknown_in_a_plan() -> None:
    """Where an earlier task may install Docker, a plan says unknown; else it fails and names what to install."""
    system = MemorySystem(MemoryHost(), read_only=True)
    assert converge(Task(DockerEngine()), system, True, True)["verdict"] == "unknown"
    alone = converge(Task(DockerEngine()), system, True, False)
    assert alone["verdict"] == "failed"
    assert alone["error"]["message"] == "Docker is not installed" and "apt-get" in alone["error"]["next_step"]


def test_a_user_who_may_not_ask_is_told_to_become_root() -> None:
    """A socket closed to the agent's user is not taken for a stopped engine."""
    engine = EngineDouble()

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    system = engine.system
    system.http = closed  # type: ignore[method-assign, assignment]
    with pytest.raises(NotObservable, match="may not talk to Docker") as caught:
        docker.get(system, "/containers/json")
    assert "ansible_become" in caught.value.next_step


def test_compose_v1_is_told_from_v2() -> None:
    """The dead compose v1 in v2's place is named as such."""
    engine = EngineDouble()
    del engine.host.nodes[PLUGIN]
    engine.host.add_file("/usr/bin/docker-compose", "#!/usr/bin/python3", mode=0o755)
    with pytest.raises(NotObservable, match="version 1"):
        DockerEngine().observe(engine.system)


@pytest.mark.parametrize(("minimum", "verdict"), [("2.20", "ok"), ("2.30", "failed")])
def test_a_higher_compose_minimum_is_checked(minimum: str, verdict: str) -> None:
    """A minimum above 2.0 is compared with what the plugin says of itself."""
    engine = EngineDouble()
    engine.host.commands[(PLUGIN,)] = '{\n "SchemaVersion": "0.1.0",\n "Version": "2.26.1-4"\n}'
    assert converge(Task(DockerEngine(compose_minimum=minimum)), engine.system, False, False)["verdict"] == verdict


def test_an_old_engine_fails_with_both_versions() -> None:
    """An engine below the minimum is refused with what was found and what is needed."""
    engine = EngineDouble("20.10")
    error = converge(Task(DockerEngine("23.0")), engine.system, False, False)["error"]
    assert "20.10.24" in error["message"] and "23.0" in error["message"]


@pytest.mark.parametrize("version", ENGINES)
def test_conditions_are_read_from_real_listings(version: str) -> None:
    """Every state of a container is told apart in the listings of old and new engines."""
    found = {
        item["Labels"]["com.docker.compose.service"]: compose_containers.condition(item["State"], item["Status"])
        for item in answers(version)["containers"]
    }
    assert found == {
        "web": "running",
        "sick": "unhealthy",
        "young": "running",
        "loop": "restarting again and again (1)",
        "ended": "exited (3)",
        "once": "exited (0)",
        "held": "paused",
    }


@pytest.mark.parametrize("version", ENGINES)
def test_logs_are_demultiplexed(version: str) -> None:
    """A container's log comes out as text, both streams in one."""
    text = docker.demultiplexed(base64.b64decode(answers(version)["logs_base64"])).decode()
    assert sorted(text.splitlines()) == ["err", "out"]


def test_an_engine_error_is_passed_on_in_its_own_words() -> None:
    """What the engine answers to a bad question reaches the user."""
    host = MemoryHost()
    host.http[f"{docker.SOCKET}:/containers/json"] = (400, b'{"message":"invalid filter"}')
    with pytest.raises(Exception, match="docker says 400 to /containers/json: invalid filter"):
        docker.get(MemorySystem(host), "/containers/json")


def test_engine_times_keep_their_nanoseconds() -> None:
    """The engine's time stamps are compared to the nanosecond."""
    assert compose_containers.nanoseconds("1970-01-01T00:00:01.000000009Z") == 1_000_000_009
    assert compose_containers.nanoseconds("1970-01-01T00:00:01Z") == 1_000_000_000
