"""A stack's services as the swarm has them: their inputs when deployed, and the progress of their tasks.

A task counts as up to date when it was made from its service's present definition; swarm starts a task's ``running``
only when its health check passes, so running means healthy. A service's inputs when deployed stand in its label
``orchestr.digest``; its whole definition then, in the labels of a config object ``orchestr.STACK``, which all
managers have. A service changed by hand differs from that.
"""

from __future__ import annotations

from orchestr.agent.light_json import dumps
from orchestr.agent.record import record
from orchestr.agent.system import Reader
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.swarm import state as swarm_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

NAMESPACE = "com.docker.stack.namespace"
DIGEST = "orchestr.digest"
FAMILY = "stack"
#: Update states that are still on their way.
UNDER_WAY = ("updating", "rollback_started")
FAILED = ("failed", "rejected")


@record
class TaskState:
    """One task: where it is, how far, and whether it is made from the service's present definition."""

    id: str
    slot: str
    node_id: str
    state: str
    wanted: str
    is_current: bool
    error: str
    at: str


@record
class Found:
    """One service of a stack. ``wanted_tasks`` is how many swarm itself wants; None where that is a job."""

    id: str
    name: str
    digest: str
    fingerprint: str
    mode: str
    replicas: int
    wanted_tasks: int
    update: str
    update_message: str
    tasks: Tuple[TaskState, ...]

    @property
    def running(self) -> List[TaskState]:
        """Tasks that run, from the present definition, and are to go on."""
        return [task for task in self.tasks if task.is_current and task.state == task.wanted == "running"]

    @property
    def leftover(self) -> List[TaskState]:
        """Tasks of another definition that are still to run."""
        return [task for task in self.tasks if not task.is_current and task.wanted == "running"]

    @property
    def completed(self) -> List[TaskState]:
        return [task for task in self.tasks if task.is_current and task.state == "complete"]

    @property
    def failures(self) -> List[TaskState]:
        """Failed tasks, newest first; a service's task that ended well has failed to go on.

        One that is stopped for its health check and ends in order looks like that, with no error of its own.
        """
        ended = FAILED if self.mode.endswith("Job") else (*FAILED, "complete")
        failed = [task for task in self.tasks if task.state in ended or (task.error and task.state != "running")]
        return sorted(failed, key=lambda task: task.at, reverse=True)


def services(reader: Reader, stack: str) -> Dict[str, Found]:
    """Return name → service of a stack. Raises NotObservable on a host that is no manager."""
    swarm_state.require_manager(reader)
    services: Dict[str, Found] = reader.once((FAMILY, stack), lambda: _services(reader, stack))
    return services


def _services(reader: Reader, stack: str) -> Dict[str, Found]:
    filters = {"filters": {"label": ["%s=%s" % (NAMESPACE, stack)]}}
    listed = docker.get(reader, "/services", dict(filters, status="true")) or []
    tasks: Dict[str, List[Dict[str, Any]]] = {}
    for task in docker.get(reader, "/tasks", filters) or []:
        tasks.setdefault(task["ServiceID"], []).append(task)
    known = [_read_service(stack, spec, tasks.get(spec["ID"], [])) for spec in listed]
    return {spec.name: spec for spec in known}


def _read_service(stack: str, service: Dict[str, Any], tasks: List[Dict[str, Any]]) -> Found:
    spec, status, update = service["Spec"], service.get("ServiceStatus") or {}, service.get("UpdateStatus") or {}
    modes: Dict[str, Dict[str, Any]] = spec.get("Mode") or {"Replicated": {}}
    mode, details = next(iter(modes.items()))
    iteration = ((service.get("JobStatus") or {}).get("JobIteration") or {}).get("Index", 0)
    template = _comparable(spec["TaskTemplate"])
    return Found(
        id=service["ID"],
        name=spec["Name"][len(stack) + 1 :],
        digest=(spec.get("Labels") or {}).get(DIGEST, ""),
        fingerprint=fingerprint(spec),
        mode=mode,
        replicas=int((details or {}).get("Replicas", (details or {}).get("TotalCompletions", 1))),
        wanted_tasks=int(status.get("DesiredTasks", 0)),
        update=str(update.get("State") or ""),
        update_message=str(update.get("Message") or ""),
        tasks=tuple(_task(task, template, iteration) for task in tasks),
    )


def _task(task: Dict[str, Any], template: Any, iteration: int) -> TaskState:
    status = task.get("Status") or {}
    is_current = _comparable(task.get("Spec") or {}) == template
    if "JobIteration" in task:
        is_current = is_current and (task["JobIteration"] or {}).get("Index", 0) == iteration
    return TaskState(
        id=task["ID"],
        slot=str(task.get("Slot") or ""),
        node_id=str(task.get("NodeID") or ""),
        state=str(status.get("State") or ""),
        wanted=str(task.get("DesiredState") or ""),
        is_current=is_current,
        error=str(status.get("Err") or ""),
        at=str(status.get("Timestamp") or ""),
    )


def _comparable(template: Mapping[str, Any]) -> Any:
    """Return the parts of a spec that define a task; a change of placement alone moves no task that may stay."""
    return {key: value for key, value in template.items() if key not in ("Runtime", "Placement")}


def fingerprint(spec: Mapping[str, Any]) -> str:
    """Return a digest of a service's whole definition; how often it was forced to restart is not part of it."""
    import hashlib

    template = {key: value for key, value in spec["TaskTemplate"].items() if key != "ForceUpdate"}
    text = dumps(dict(spec, TaskTemplate=template), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


# -- the last deployment ----------------------------------------------------------------------------------------------
def stamp_name(stack: str) -> str:
    """Return the name of the config object that records the last deployment."""
    return "orchestr.%s" % stack


def stamp(reader: Reader, stack: str) -> Dict[str, str]:
    """Return service → fingerprint of its definition when it was deployed."""
    content = read_stamp(reader, stack)
    labels = ((content or {}).get("Spec") or {}).get("Labels") or {}
    return {name[len("spec.") :]: value for name, value in labels.items() if name.startswith("spec.")}


def read_stamp(reader: Reader, stack: str) -> Optional[Dict[str, Any]]:
    """Return the config object itself, None when there is none."""
    name = stamp_name(stack)
    listed = docker_api.listed(reader, "/configs", {"name": [name]})
    return next((content for content in listed if content["Spec"]["Name"] == name), None)
