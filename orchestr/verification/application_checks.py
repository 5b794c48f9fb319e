"""Checks of every application, derived from its description: its services run, its data has arrived.

They come before the checks that its role adds in ``verify.py``. `is_for` says whether one concerns a host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestr.applications.forms import project_directory
from orchestr.applications.model import Application, Service
from orchestr.applications.moves import trees
from orchestr.applications.placement import runs_on
from orchestr.applications.stack_form import runs_stack
from orchestr.applications.verbs import uses_swarm
from orchestr.planning.plan import Host

_LABELS = ("com.docker.compose.project", "com.docker.compose.service")
_ROW = "\t".join(f'{{{{.Label "{label}"}}}}' for label in _LABELS) + "\t{{.Status}}"
_REPLICAS = re.compile(r"(\d+)/(\d+)")


def is_for(check: str, machine: Host) -> bool:
    """Return True if a check of this module, by its name, concerns the application on this host."""
    application = machine.application(machine.role.name)
    if application is None:
        return False
    if check == "test_its_services_run":
        return bool(_count_expected(machine, application))
    return bool(trees(machine, machine.role.name))


def test_its_services_run(host: Any, machine: Host) -> None:
    """Its services run, and are healthy where they have a health check."""
    application = machine.application(machine.role.name)
    assert application is not None
    states = _stack_states if uses_swarm(machine, application) else _project_states
    faults = list(_faults(_count_expected(machine, application), states(host, machine.role.name)))
    assert not faults, f"{'; '.join(faults)}; look at: {_look_at(machine, application)}"


def test_no_data_is_between_two_hosts(host: Any, machine: Host) -> None:
    """No directory and no volume of it is marked as leaving this host."""
    for tree in trees(machine, machine.role.name).values():
        done = host.run("test -e %s", tree.leaving)
        assert done.rc != 0, (
            f"{tree.name} began to move from {machine.name} and has not arrived; run the same run or upgrade again"
        )


def _count_expected(machine: Host, application: Application) -> dict[str, int]:
    """Return service → number of replicas that this host answers for; for a stack, its manager answers for all."""
    services: list[Service] = []
    if not uses_swarm(machine, application):
        services = runs_on(machine, machine.role.name, application.services)
    elif runs_stack(machine, application):
        services = [service for service in application.services if service.deploy.mode == "replicated"]
    return {service.name: _replicas(service) for service in services if not service.container.runs_once}


def _replicas(service: Service) -> int:
    return service.container.replicas if service.deploy.replicas is None else service.deploy.replicas


def _project_states(host: Any, project: str) -> Iterator[tuple[str, str]]:
    """Yield (service, state) of each running container of a compose project."""
    for line in host.check_output("docker ps --format %s", _ROW).splitlines():
        owner, service, status = f"{line}\t\t".split("\t")[:3]
        if owner == project:
            yield service, "unhealthy" if "(unhealthy)" in status or "(health: starting)" in status else ""


def _stack_states(host: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield (service, "") for each running task of a stack; swarm counts a task once it is healthy."""
    words = ("label=com.docker.stack.namespace=" + name, "{{.Name}}\t{{.Replicas}}")
    for line in host.check_output("docker service ls --filter %s --format %s", *words).splitlines():
        service, _, replicas = line.partition("\t")
        running = _REPLICAS.match(replicas)
        for _ in range(int(running[1]) if running else 0):
            yield service.removeprefix(f"{name}_"), ""


def _faults(expected: dict[str, int], states: Iterator[tuple[str, str]]) -> Iterator[str]:
    running: dict[str, list[str]] = {}
    for service, state in states:
        running.setdefault(service, []).append(state)
    for service, replicas in expected.items():
        containers = running.get(service, [])
        if len(containers) < replicas:
            yield f"{service} has {len(containers)} of {replicas} replicas" if containers else f"{service} does not run"
        elif any(containers):
            yield f"{service} is not healthy"


def _look_at(machine: Host, application: Application) -> str:
    if uses_swarm(machine, application):
        return f"docker stack ps --no-trunc {machine.role.name} on {machine.name}"
    return f"docker compose --project-directory {project_directory(machine, application)} ps --all on {machine.name}"
