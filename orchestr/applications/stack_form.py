"""An application as a stack of a swarm, deployed by the acting manager."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource, Task
from orchestr.applications.container_role import assert_same_image
from orchestr.applications.forms import image_ids, project_directory
from orchestr.applications.placement import constraint
from orchestr.cluster.swarm_hosts import acting_manager
from orchestr.containers.stack import SwarmService, stack
from orchestr.errors import InputError
from orchestr.resources.commands import Command
from orchestr.resources.swarm.stack import Stack

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Service
    from orchestr.planning.plan import Host

RESTART_S = 300.0


def runs_stack(host: Host, application: Application) -> bool:
    """Return True if this host deploys the stack: it is the acting manager of the swarm.

    Raises InputError when that manager is not a host of the application.
    """
    name, manager = host.role.name, acting_manager(host)
    if name not in manager.roles:
        raise InputError(
            f"{manager.name}, the manager that would deploy {name}, does not have the role {name}",
            next_step=f"put the hosts of swarm_managers into the group {name} as well",
        )
    return manager.name == host.name


def assert_same_images(host: Host, application: Application) -> None:
    """Raise InputError if hosts have pulled different images under one name in this run."""
    for reference in dict.fromkeys(service.container.image for service in application.services):
        assert_same_image(reference, host.everywhere())


def stack_form(host: Host, application: Application, *, is_whole: bool = True) -> Iterator[Resource]:
    """Yield the stack; ``is_whole``: other services of the stack are removed."""
    name = host.role.name
    assert_same_images(host, application)
    networks = tuple(replace(item, driver="overlay", attachable=True) for item in application.networks)
    options: dict[str, Any] = {"wait_s": application.wait_s} if application.wait_s else {}
    yield from stack(
        name,
        [swarm_service(name, service) for service in application.services],
        networks=networks,
        image_ids=image_ids(host, application),
        directory=project_directory(host, application),
        prune=is_whole,
        **options,
    )


def swarm_service(application: str, service: Service) -> SwarmService:
    """Return the service with a constraint to the hosts of its placement."""
    constraints = (constraint(application, service.placement), *service.deploy.constraints)
    return SwarmService(service.container, replace(service.deploy, constraints=constraints), service.files)


def running_stack(host: Host, application: Application) -> Stack:
    """Return only the Stack resource; its file and configs stay unchanged."""
    return next(resource for resource in stack_form(host, application) if isinstance(resource, Stack))


def without_tasks(application: Application) -> Application:
    """Return the application with 0 replicas of its replicated services."""
    stopped = (replace(service, deploy=replace(service.deploy, replicas=0)) for service in application.services)
    return replace(application, services=tuple(stopped))


def restart_stack(host: Host, application: Application) -> Iterator[Task]:
    """Yield a task for the rolling restart of each service, in the order of the description."""
    for service in application.services:
        name = f"{host.role.name}_{service.name}"
        words = ("docker", "service", "update", "--force", "--quiet", name)
        yield Task(Command(words, label_text=f"restart {name}"), timeout_s=application.wait_s or RESTART_S)
