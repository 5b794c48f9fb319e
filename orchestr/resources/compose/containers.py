"""The containers of compose projects as the engine lists them, and the condition of each, in words.

Source: ``GET /containers/json`` and ``GET /containers/{id}/json`` of the Docker Engine API; labels
``com.docker.compose.*`` as docker compose v2 sets them.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.system import Reader
from orchestr.resources.docker import engine as docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

DIGEST_LABEL = "orchestr.digest"
_COMPOSE = "com.docker.compose."
AT_REST = ("exited", "created", "dead")
RUNNING, COMPLETED, UNHEALTHY, PAUSED, ABSENT = "running", "completed", "unhealthy", "paused", "absent"


@record
class Container:
    """One container of a service: ``condition`` is its state in words, ``digest`` that of its inputs."""

    id: str
    name: str
    service: str
    condition: str
    image_id: str
    digest: str
    config_hash: str


def project_containers(reader: Reader, project: str) -> List[Container]:
    """Return a project's containers but one-off ones (``compose run``); all projects of a host cost one read."""
    listed = reader.once(("containers", "compose"), lambda: _compose_containers(reader))
    return [_container(item) for item in listed if item["Labels"].get(_COMPOSE + "project") == project]


def _compose_containers(reader: Reader) -> List[Dict[str, Any]]:
    query = {"all": "1", "filters": {"label": [_COMPOSE + "project"]}}
    containers: List[Dict[str, Any]] = docker.get(reader, "/containers/json", query)
    return [item for item in containers if item["Labels"].get(_COMPOSE + "oneoff", "False") != "True"]


def _container(item: Dict[str, Any]) -> Container:
    labels = item["Labels"]
    return Container(
        id=item["Id"],
        name=item["Names"][0].lstrip("/") if item.get("Names") else item["Id"][:12],
        service=labels.get(_COMPOSE + "service", ""),
        condition=condition(item["State"], item["Status"]),
        image_id=item["ImageID"],
        digest=labels.get(DIGEST_LABEL, ""),
        config_hash=labels.get(_COMPOSE + "config-hash", ""),
    )


def condition(state: str, status: str) -> str:
    """Return a container's condition in words from the engine's ``State`` and ``Status`` ("Up 2 hours (unhealthy)")."""
    if state == "running":
        return UNHEALTHY if "(unhealthy)" in status else RUNNING
    if state == "restarting":
        return "restarting again and again %s" % status[len("Restarting ") :].partition(" ")[0]
    if state == "exited":
        return "exited %s" % status[len("Exited ") :].partition(" ")[0]
    return state


def is_at_rest(container: Container) -> bool:
    """Return True if no process of a container runs."""
    return container.condition.split()[0] in AT_REST


def summary(containers: Sequence[Container], replicas: int, runs_once: bool) -> str:
    """Return the condition of a service's containers together; `wanted` if all are as they should be."""
    words = [COMPLETED if runs_once and item.condition == "exited (0)" else item.condition for item in containers]
    if not words:
        return ABSENT
    goal = COMPLETED if runs_once else RUNNING
    if len(words) == replicas and set(words) == {goal}:
        return wanted(replicas, runs_once)
    if len(words) == replicas == 1:
        return words[0]
    return ", ".join("%d %s" % (words.count(word), word) for word in sorted(set(words)))


def wanted(replicas: int, runs_once: bool) -> str:
    """Return the summary of a service that is as it should be."""
    goal = COMPLETED if runs_once else RUNNING
    return goal if replicas == 1 else "%d %s" % (replicas, goal)


def inspect(reader: Reader, container_id: str) -> Dict[str, Any]:
    """Return all the engine says of one container; empty when it is gone."""
    details: Dict[str, Any] = docker.get(reader, "/containers/%s/json" % container_id) or {}
    return details


def started_at(reader: Reader, container_id: str) -> str:
    """Return when a container was last started, as the engine writes it; empty when it is gone."""
    return str(inspect(reader, container_id).get("State", {}).get("StartedAt", ""))


def nanoseconds(timestamp: str) -> int:
    """Return an RFC 3339 time of the engine ("2026-11-21T01:22:06.166291238Z") as nanoseconds since 1970."""
    import calendar
    import time

    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int((fraction + "0" * 9)[:9])
