"""Waiting until services that were started are steady: healthy, or up for a while without dying again.

The engine answers a request to stop or start a container a moment before its list of containers shows it, so the
list is awaited too: the next observation reads it.

``docker compose up --wait`` takes a container in a crash loop without a health check for running, and one that should
end (a one-off initialisation) for a failure; it also does not name the log to read.
"""

from __future__ import annotations

from orchestr.agent.resource import ResourceError
from orchestr.agent.system import System
from orchestr.resources.compose import containers as compose_containers
from orchestr.resources.compose.containers import Container
from orchestr.resources.docker import engine as docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Sequence, Tuple

    from orchestr.resources.compose.project import ComposeService

POLL_S = 0.25
RESTARTS_LIMIT = 8  # the engine doubles its delay from 100 ms: about 25 s of trying
STEADY = ""
LISTED_S = 10.0


def until_steady(
    system: System, project: str, services: "Sequence[ComposeService]", wait_s: float, settle_s: float
) -> None:
    """Return when every service is as it should be. Raises ResourceError with the log of the first that is not."""
    seen: Dict[str, Tuple[str, float]] = {}
    waiting: Sequence[Tuple[Container, str]] = ()
    reported = ""
    for _ in system.attempts(wait_s, POLL_S):
        waiting = _waiting(system, project, services, settle_s, seen)
        if not waiting:
            return
        line = "waiting for " + ", ".join("%s (%s)" % (item.service, reason) for item, reason in waiting)
        if line != reported:
            system.say(line)
            reported = line
    container, reason = waiting[0]
    raise _failure(system, container, "%s after %.0f s" % (reason, wait_s))


def until_at_rest(system: System, project: str) -> None:
    """Return when no container of a project that was stopped is listed as at work, or after LISTED_S."""
    for _ in system.attempts(LISTED_S, POLL_S):
        system.forget(("containers",))
        containers = compose_containers.project_containers(system, project)
        if all(compose_containers.is_at_rest(container) for container in containers):
            return


def _waiting(
    system: System,
    project: str,
    services: "Sequence[ComposeService]",
    settle_s: float,
    seen: Dict[str, Tuple[str, float]],
) -> "Sequence[Tuple[Container, str]]":
    system.forget(("containers",))
    by_name = {service.name: service for service in services}
    containers = [c for c in compose_containers.project_containers(system, project) if c.service in by_name]
    for service in services:
        if not any(item.service == service.name for item in containers):
            raise ResourceError("compose made no container for the service %s" % service.name, "is it in compose.yaml?")
    waiting = []
    for container in containers:
        why = _not_steady(system, container, by_name[container.service].runs_once, settle_s, seen)
        if why != STEADY:
            waiting.append((container, why))
    return waiting


def _not_steady(
    system: System, container: Container, runs_once: bool, settle_s: float, seen: Dict[str, Tuple[str, float]]
) -> str:
    """Return why a container is not steady yet. Raises ResourceError when it never will be."""
    details = compose_containers.inspect(system, container.id)
    state: Dict[str, Any] = details.get("State", {})
    if state.get("Status") in ("exited", "dead"):
        if runs_once and state["ExitCode"] == 0:
            return STEADY if compose_containers.is_at_rest(container) else container.condition
        raise _failure(system, container, "exited with status %s" % state.get("ExitCode"))
    if details.get("RestartCount", 0) >= RESTARTS_LIMIT:
        raise _failure(system, container, "keeps restarting (exit status %s)" % state.get("ExitCode"))
    if runs_once or state.get("Status") != "running":
        return str(state.get("Status", "gone"))
    health = (state.get("Health") or {}).get("Status", "none")
    if health == "unhealthy":
        raise _failure(system, container, "is unhealthy", _last_probe(state))
    if health not in ("none", "healthy"):
        return "health: %s" % health
    started, since = seen.setdefault(container.id, (state["StartedAt"], system.monotonic()))
    if started != state["StartedAt"]:
        seen[container.id] = (state["StartedAt"], system.monotonic())
        return "restarted"
    is_settled = health == "healthy" or system.monotonic() - since >= settle_s
    if not is_settled:
        return "just started"
    return STEADY if container.condition == compose_containers.RUNNING else container.condition


def _last_probe(state: Dict[str, Any]) -> str:
    log = state["Health"].get("Log") or [{}]
    return "health check: %s\n" % log[-1].get("Output", "").strip()


def _failure(system: System, container: Container, problem: str, details: str = "") -> ResourceError:
    return ResourceError(
        "the service %s %s" % (container.service, problem),
        "its log on the host: docker logs %s" % container.name,
        details + docker.log_tail(system, container.id),
    )
