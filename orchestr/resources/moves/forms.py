"""The two forms of an application on a host, a compose project and a stack: seen, stopped, removed.

Both have the application's name. The state of a move under way is in ``/var/lib/orchestr/moves/APPLICATION`` (0700).
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Action, ResourceError, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.names import check_object_name, check_project_name
from orchestr.resources.exposed import require_roots_way
from orchestr.resources.names import check_choice, check_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Sequence, Tuple

COMPOSE, STACK = "compose", "stack"
MOVES = "/var/lib/orchestr/moves"
SERVICE = "com.docker.compose.service"
START_S = 180.0  # from a container's start to a database's first answer, and from a removal to its end
PAUSE_S = 0.5


def state_directory(application: str) -> str:
    """Return the directory with the state of an application's move."""
    return "%s/%s" % (MOVES, application)


def source_path(application: str) -> str:
    """Return the file that names the form an application is leaving."""
    return state_directory(application) + "/source"


def stopped_at_path(application: str) -> str:
    """Return the file with the time at which the downtime began, in seconds since 1970."""
    return state_directory(application) + "/stopped_at"


def awaited_path(application: str) -> str:
    """Return the file with the trees that a move has begun with, as JSON: {name: [source host, target host]}."""
    return state_directory(application) + "/awaited"


def containers(reader: Reader, application: str) -> List[Dict[str, Any]]:
    """Return the compose project's containers, stopped ones as well."""
    query = {"all": "1", "filters": {"label": ["com.docker.compose.project=" + application]}}
    return docker.get(reader, "/containers/json", query) or []


def stack_services(reader: Reader, application: str) -> List[Dict[str, Any]]:
    """Return the stack's services as this host, a manager, knows them; none elsewhere."""
    info = docker.get(reader, "/info") or {}
    if not (info.get("Swarm") or {}).get("ControlAvailable"):
        return []
    return docker_api.listed(reader, "/services", {"label": ["com.docker.stack.namespace=" + application]})


def has_form(reader: Reader, application: str, form: str) -> bool:
    """Return True if the application is on this host in a form."""
    return bool(containers(reader, application) if form == COMPOSE else stack_services(reader, application))


@record
@registered("application_form_removed")
class FormRemoved(Action):
    """One form of an application (``compose`` or ``stack``) gone.

    ``networks`` are the engine's names of its networks. Observes: whether the form is there. Changes: removes its
    containers and networks. Never touches: its volumes.
    """

    application: str
    form: str
    directory: str
    networks: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_project_name(self.application)
        check_choice(self.form, (COMPOSE, STACK), "the form of %s," % self.application)
        check_path(self.directory, "the directory of %s," % self.application)
        for network in self.networks:
            check_object_name("network", network)

    @property
    def label(self) -> str:
        return "%s as %s" % (self.application, self.form)

    def is_done(self, reader: Reader) -> bool:
        return not has_form(reader, self.application, self.form)

    def perform(self, system: System) -> None:
        if self.form == COMPOSE:
            require_roots_way(system, self.directory + "/compose.yaml", "docker compose")
            system.run(["docker", "compose", "--project-directory", self.directory, "down"], timeout_s=300)
            return
        ids = [service["ID"] for service in stack_services(system, self.application)]
        system.run(["docker", "stack", "rm", self.application], timeout_s=300)
        await_true(system, lambda: not stack_services(system, self.application), "the stack's services do not go")
        await_true(system, lambda: not has_running_task(system, ids), "the stack's containers do not end")
        for network in self.networks:
            _await_network_gone(system, network)


def _await_network_gone(system: System, network: str) -> None:
    path = "/networks/" + network
    await_true(system, lambda: docker.get(system, path) is None, "the network %s does not go" % network)


@record
@registered("application_services_stopped")
class ServicesStopped(Action):
    """Some services of an application ended, for their data to move; the next deploy brings them back.

    Observes: whether they are in the swarm, or run here. Changes: removes a stack's on all nodes, stops a compose
    project's on this host, and notes when. Never touches: other services, data.
    """

    application: str
    services: Tuple[str, ...]
    form: str = STACK

    def __post_init__(self) -> None:
        check_project_name(self.application)
        check_choice(self.form, (COMPOSE, STACK), "the form of %s," % self.application)
        for service in self.services:
            check_object_name("service", service)

    @property
    def label(self) -> str:
        return "%s: %s" % (self.application, ",".join(self.services))

    def is_done(self, reader: Reader) -> bool:
        if self.form == COMPOSE:
            return not _running(reader, self.application, self.services)
        names = {service["Spec"]["Name"] for service in stack_services(reader, self.application)}
        return not names.intersection(_full_names(self.application, self.services))

    def perform(self, system: System) -> None:
        system.make_directory(state_directory(self.application), mode=0o700)
        note_stop(system, self.application)
        system.say("stopping %s" % ", ".join(self.services))
        stop_services(system, self.application, self.form, self.services)


def note_stop(system: System, application: str, is_new: bool = False) -> None:
    """Note the time as the beginning of the downtime; an earlier one stays unless ``is_new``."""
    path = stopped_at_path(application)
    if is_new or system.stat(path) is None:
        system.write_bytes(path, ("%.3f" % system.now()).encode("ascii"))


def stop_services(system: System, application: str, form: str, services: Sequence[str]) -> bool:
    """Stop services; return True if any was there (a stack's) or running (a compose project's)."""
    if form == STACK:
        return _remove_services(system, application, services)
    running = _running(system, application, services)
    for container in running:
        docker_api.call(system, "POST", "/containers/%s/stop" % container["Id"], {"t": "15"}, timeout_s=60)
    return bool(running)


def _running(reader: Reader, application: str, services: Sequence[str]) -> List[Dict[str, Any]]:
    mine = [item for item in containers(reader, application) if item["Labels"].get(SERVICE) in services]
    return [item for item in mine if item["State"] == "running"]


def _full_names(application: str, services: Sequence[str]) -> List[str]:
    return ["%s_%s" % (application, name) for name in services]


def _remove_services(system: System, application: str, services: Sequence[str]) -> bool:
    """Remove services of the stack and wait until their tasks have ended; return True if there was any."""
    names = _full_names(application, services)
    present = [item for item in stack_services(system, application) if item["Spec"]["Name"] in names]
    for item in present:
        docker_api.call(system, "DELETE", "/services/" + item["ID"])
    ids = [item["ID"] for item in present]
    await_true(system, lambda: not has_running_task(system, ids), "the services do not end")
    return bool(present)


def has_running_task(reader: Reader, services: Sequence[str]) -> bool:
    """Return True if a task of one of the services (ids) runs, on any node."""
    if not services:
        return False
    tasks = docker_api.listed(reader, "/tasks", {"service": list(services)})
    return any(task["Status"]["State"] == "running" for task in tasks)


def await_true(system: System, holds: Callable[[], bool], failure: str) -> None:
    """Return when ``holds()``. Raises ResourceError when it does not within START_S."""
    for _ in system.attempts(START_S, PAUSE_S):
        if holds():
            return
    raise ResourceError("%s within %.0f s" % (failure, START_S), "look at: docker service ls, docker ps")
