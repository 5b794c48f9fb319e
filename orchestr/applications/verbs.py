"""The lifecycle of an application, derived from its description: deploy, start, stop, restart, drain, backup, ports."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource, Task
from orchestr.applications.forms import (
    bring_images,
    compose_form,
    project_directory,
    restart_form,
    stop_form,
)
from orchestr.applications.moved_forms import arrive, end_of_parts
from orchestr.applications.parts import describe
from orchestr.applications.phases import FUNCTIONS
from orchestr.applications.placement import is_on_swarm, runs_on
from orchestr.applications.routes import proxy_addresses
from orchestr.applications.stack_form import (
    restart_stack,
    running_stack,
    runs_stack,
    stack_form,
    without_tasks,
)
from orchestr.resources.archives import Archive
from orchestr.resources.firewall.rules import Rule
from orchestr.resources.ports import PortsFree

if TYPE_CHECKING:
    from orchestr.applications.model import Application
    from orchestr.planning.plan import Host

Verb = Callable[["Host", Any, "Application"], Iterator[Any]]


def derived_function(name: str) -> Callable[[Host, Any], Any] | None:
    """Return a lifecycle function for any application, None for other names."""
    verb = VERBS.get(name)
    if verb is None:
        return FUNCTIONS.get(name)

    def function(host: Host, params: Any) -> Iterator[Any]:
        return verb(host, params, describe(host, params))

    return function


def deploy(host: Host, params: Any, application: Application) -> Iterator[Resource]:
    """Yield the form that the inventory requests: a stack on a swarm, else a compose project on each host.

    `phases.prepare` has prepared the nodes of a swarm before.
    """
    if uses_swarm(host, application):
        if runs_stack(host, application):
            yield from arrive(host, application, lambda part, is_whole: stack_form(host, part, is_whole=is_whole))
            yield from application.ready
        return
    services = runs_on(host, host.role.name, application.services)
    if not services:
        yield from end_of_parts(host, application)
        return
    if application.ports:
        yield PortsFree(application.ports, project=host.role.name)
    yield from application.before
    yield from bring_images(host, application)
    yield from arrive(host, application, functools.partial(_compose_services, host))
    yield from application.ready


def _compose_services(host: Host, application: Application, is_whole: bool) -> Iterator[Resource]:
    services = runs_on(host, host.role.name, application.services)
    return compose_form(host, application, services, is_whole=is_whole)


def preflight(host: Host, params: Any, application: Application) -> Iterator[Resource]:
    """Yield the checks that must pass before anything changes."""
    if application.ports and not uses_swarm(host, application):
        yield PortsFree(application.ports, project=host.role.name)


def start(host: Host, params: Any, application: Application) -> Iterator[Resource]:
    """Yield the running services, with the images and files that the host has."""
    if uses_swarm(host, application):
        if runs_stack(host, application):
            yield running_stack(host, application)
            yield from application.ready
        return
    services = runs_on(host, host.role.name, application.services)
    if services:
        yield list(compose_form(host, application, services))[-1]
        yield from application.ready


def stop(host: Host, params: Any, application: Application) -> Iterator[Resource]:
    """Yield the stopped services, each with its own grace period; on a swarm with 0 replicas."""
    if uses_swarm(host, application):
        if runs_stack(host, application):
            yield running_stack(host, without_tasks(application))
        return
    services = runs_on(host, host.role.name, application.services)
    if services:
        yield stop_form(host, application, services)


def drain(host: Host, params: Any, application: Application) -> Iterator[Resource]:
    """Yield the stopped services, after their users have left; nothing for an application that does not drain."""
    if application.drains:
        yield from stop(host, params, application)


def busy(host: Host, params: Any, application: Application) -> Iterator[Resource]:
    """Yield the surveys that say how busy a host's services are."""
    if runs_on(host, host.role.name, application.services):
        yield from application.busy


def restart(host: Host, params: Any, application: Application) -> Iterator[Task | Resource]:
    """Yield a restart of the services in any state."""
    if uses_swarm(host, application):
        if runs_stack(host, application):
            yield from restart_stack(host, application)
            yield from application.ready
        return
    services = runs_on(host, host.role.name, application.services)
    if services:
        yield restart_form(host, application, services)
        yield from application.ready


def backup(host: Host, params: Any, application: Application) -> Iterator[Resource | Task]:
    """Yield an archive of the application's backup paths."""
    if application.backup and runs_on(host, host.role.name, application.services):
        yield from application.saves
        compose_file = f"{project_directory(host, application)}/compose.yaml"
        yield Archive(host.role.name, (*application.backup, compose_file), may_be_empty=True)


def ports(host: Host, params: Any, application: Application) -> Iterator[Rule]:
    """Yield the firewall rules: each site's port for proxies on other hosts, and the application's own rules."""
    callers = proxy_addresses(host)
    for site in application.sites if callers else ():
        yield Rule(site.port, sources=callers, comment=f"{host.role.name} for the proxy")
    yield from application.rules


def uses_swarm(host: Host, application: Application) -> bool:
    """Return True if the application runs as a stack on this host."""
    return application.can_swarm and is_on_swarm(host)


#: Lifecycle name → the function derived for applications. The phases of data moves are in `phases.FUNCTIONS`.
VERBS: dict[str, Verb] = {
    "deploy": deploy,
    "preflight": preflight,
    "start": start,
    "stop": stop,
    "drain": drain,
    "busy": busy,
    "restart": restart,
    "backup": backup,
    "ports": ports,
}
