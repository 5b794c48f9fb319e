"""Following a stack: until every service is as wanted, swarm gives up an update, or progress ends."""

from __future__ import annotations

from orchestr.agent.resource import ResourceError
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import engine as docker
from orchestr.resources.swarm import stack_state, stack_view
from orchestr.resources.swarm import state as swarm_state
from orchestr.resources.swarm.stack_state import Found, TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, FrozenSet, List, Optional, Sequence

    from orchestr.resources.swarm.stack import Stack, StackService

POLL_S, GONE_S = 0.4, 120.0
BACK_S = 30.0  # for the tasks of the version before, once swarm calls a rollback completed
ERRORS_SHOWN, LOG_LINES = 4, 12
MISSING_IMAGE = "No such image"
ENDED_WELL = "unhealthy, and so stopped; or it ended by itself (status 0)"


def seen_failures(reader: Reader, stack: "Stack") -> FrozenSet[str]:
    """Return the ids of tasks that failed before: their errors do not concern this deployment."""
    services = stack_state.services(reader, stack.name)
    return frozenset(task.id for service in services.values() for task in service.failures)


def until_steady(system: System, stack: "Stack", before: FrozenSet[str]) -> None:
    """Wait until every service is as wanted and stays so for ``settle_s``.

    Raises ResourceError when an update was given up, an image is missing, or ``wait_s`` passes without progress.
    """
    reported: Dict[str, str] = {}
    steady_since: Optional[float] = None
    steady_tasks: FrozenSet[str] = frozenset()
    back_until: Optional[float] = None
    best, moved = -1, system.monotonic()
    services: Dict[str, Found] = {}
    texts: Dict[str, str] = {}
    for _ in system.attempts(float("inf"), POLL_S):
        system.forget((stack_state.FAMILY, swarm_state.FAMILY))
        services = stack_state.services(system, stack.name)
        texts = _texts(stack, services)
        _say(system, reported, texts)
        now = system.monotonic()
        back_until = (back_until or now + BACK_S) if _is_coming_back(stack, services, texts) else None
        if back_until is None or now >= back_until:
            _refuse_given_up(system, stack, services, before)
        tasks = frozenset(task.id for service in services.values() for task in (*service.running, *service.completed))
        if all(texts[service.name] == stack_view.wanted(service) for service in stack.services):
            if steady_since is None or tasks != steady_tasks:
                steady_since, steady_tasks, moved = now, tasks, now
            if now - steady_since >= stack.settle_s:
                return
        else:
            steady_since = None
            if len(tasks) > best:
                best, moved = len(tasks), now
            if now - moved > stack.wait_s:
                break
    raise _stuck(system, stack, services, texts, before)


def _texts(stack: "Stack", services: Dict[str, Found]) -> Dict[str, str]:
    return {
        service.name: stack_view.progress(service, services[service.name])
        if service.name in services
        else stack_view.ABSENT
        for service in stack.services
    }


def _say(system: System, reported: Dict[str, str], texts: Dict[str, str]) -> None:
    for name, text in texts.items():
        if reported.get(name) != text:
            system.say("%s: %s" % (name, text))
            reported[name] = text


def _is_coming_back(stack: "Stack", services: Dict[str, Found], texts: Dict[str, str]) -> bool:
    """Return True if a service is rolled back, and the tasks of its previous version do not all run yet."""
    back = [
        service
        for service in stack.services
        if service.name in services and services[service.name].update == "rollback_completed"
    ]
    return any(texts[service.name] != stack_view.wanted(service) for service in back)


def _refuse_given_up(system: System, stack: "Stack", services: Dict[str, Found], before: FrozenSet[str]) -> None:
    for service in stack.services:
        current = services.get(service.name)
        if current is None:
            continue
        why = _given_up(system, stack, service, current)
        missing = [t for t in current.failures if t.id not in before and MISSING_IMAGE in t.error]
        step = "docker service ps --no-trunc %s_%s" % (stack.name, service.name)
        if missing and (why or current.update not in stack_state.UNDER_WAY) and len(missing) > max(1, service.replicas):
            why, step = why or "its image is missing on the nodes", "bring it to every node the service may run on"
        if why:
            raise ResourceError(
                "%s of the stack %s: %s" % (service.name, stack.name, why),
                step,
                _evidence(system, current, before),
            )


def _given_up(reader: Reader, stack: "Stack", service: "StackService", current: Found) -> str:
    """Return swarm's reaction to a failed update, "" for none; the rollback of an earlier update is no failure now."""
    if current.update == "rollback_completed" and current.digest == stack.inputs_text(reader, service):
        return ""
    words = {
        "paused": "its update failed and was paused",
        "rollback_paused": "its update failed, and so did the rollback, which is paused",
        "rollback_completed": "its update failed and was rolled back: the version before runs",
    }
    text = words.get(current.update, "")
    return "%s (%s)" % (text, current.update_message) if text and current.update_message else text


def _stuck(
    system: System, stack: "Stack", services: Dict[str, Found], texts: Dict[str, str], before: FrozenSet[str]
) -> ResourceError:
    missing = [service for service in stack.services if texts[service.name] != stack_view.wanted(service)]
    lagging = "; ".join("%s: %s" % (service.name, texts[service.name]) for service in missing)
    evidence = [_evidence(system, services[service.name], before) for service in missing if service.name in services]
    step = "docker stack ps --no-trunc %s" % stack.name
    waiting = [
        service.name for service in missing if any(t.state == "pending" for t in _tasks_in(services, service.name))
    ]
    if waiting:
        again = "docker service update --force %s_%s" % (stack.name, waiting[0])
        step += "; where a node is free by now, have swarm look again: " + again
    return ResourceError(
        "the stack %s made no progress for %.0f s: %s" % (stack.name, stack.wait_s, lagging or "tasks come and go"),
        step,
        "\n".join(text for text in evidence if text),
    )


def _tasks_in(services: Dict[str, Found], name: str) -> Sequence[TaskState]:
    return services[name].tasks if name in services else ()


def _evidence(system: System, service: Found, before: FrozenSet[str]) -> str:
    """Return evidence from the service's tasks: errors, tasks still pending, the last lines of a failed one."""
    names = {node.id: node.hostname for node in swarm_state.nodes(system)}
    waiting = [t for t in service.tasks if t.wanted == "running" and t.state != "running" and t.error]
    failed = [task for task in service.failures if task.id not in before and task not in waiting]
    lines = list(dict.fromkeys(_line(service, task, names) for task in (*failed, *waiting)))
    log = _log(system, next((task for task in failed if task.node_id), None))
    return "\n".join([*lines[:ERRORS_SHOWN], *log])


def _line(service: Found, task: TaskState, names: Dict[str, str]) -> str:
    where = " on %s" % names.get(task.node_id, task.node_id) if task.node_id else ""
    why = task.error or (ENDED_WELL if task.state == "complete" else "no error given")
    return "%s.%s%s: %s: %s" % (service.name, task.slot or task.id[:12], where, task.state, why)


def _log(system: System, task: Optional[TaskState]) -> List[str]:
    if task is None:
        return []
    text = docker.log_tail(system, task.id, LOG_LINES, kind="tasks")
    return ["its last lines:", text] if text else []


def until_gone(system: System, service_ids: Sequence[str]) -> None:
    """Wait until no task of these services is left running. Raises ResourceError."""
    left: List[Dict[str, Any]] = []
    for _ in system.attempts(GONE_S, POLL_S):
        left = [task for task in _tasks_of(system, service_ids) if task["Status"]["State"] == "running"]
        if not left:
            return
    raise ResourceError("%d tasks of removed services still run after %.0f s" % (len(left), GONE_S))


def _tasks_of(reader: Reader, service_ids: Sequence[str]) -> List[Dict[str, Any]]:
    """Return the tasks of services that the engine may know no more: a filter would say there is no such service."""
    tasks: List[Dict[str, Any]] = docker.get(reader, "/tasks") or []
    return [task for task in tasks if task["ServiceID"] in service_ids]
