"""Checks of services before they reach a host: settings that Docker accepts but does not follow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from orchestr.containers.checked import SECRETS_GO, WOULD_SHOW, holds_secret
from orchestr.errors import InputError
from orchestr.inventory.closest import closest

if TYPE_CHECKING:
    from orchestr.containers.compose import ContainerService

PUBLISHED_LIMIT = 200  # one proxy process and one firewall rule each: 10,000 of them kill the engine
RESTARTS = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
RESERVED_LABELS = ("orchestr.", "com.docker.compose.")
_SERVICE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def check_services(project: str, services: Sequence[ContainerService]) -> None:
    """Raise InputError for the first setting that does not work, works only by accident, or would show a secret."""
    if not _PROJECT_NAME.fullmatch(project):
        raise InputError(
            f"{project!r} is not a valid project name", next_step="use lower-case letters, digits, - and _"
        )
    names = [service.name for service in services]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"project {project}: two services are called {twice!r}")
    for service in services:
        for check in (_names, _secrets, _ports, _mounts, _configuration):
            for problem, next_step in check(service):
                raise InputError(f"service {service.name!r}: {problem}", next_step=next_step)
        _dependencies(service, names)
    _host_ports(services)


Problems = Iterator[tuple[str, str]]


def _names(service: ContainerService) -> Problems:
    if not _SERVICE_NAME.fullmatch(service.name):
        yield "its name has characters Docker does not allow", "use letters, digits, - _ and ."
    if not service.image or service.image != service.image.strip():
        yield "it has no image", "set one with a tag: redis:7.2"
    if not RESTARTS.fullmatch(service.restart):
        yield f"restart: {service.restart!r} is unknown", "use no, always, unless-stopped or on-failure[:N]"
    for label in service.labels:
        if label.startswith(RESERVED_LABELS):
            yield f"the label {label} is reserved", "choose another name"


def _secrets(service: ContainerService) -> Problems:
    for name in service.__dataclass_fields__:
        if holds_secret(getattr(service, name)):
            yield f"{name} holds a secret, which {WOULD_SHOW}", SECRETS_GO


def _ports(service: ContainerService) -> Problems:
    published = service.published
    if service.network_mode == "host" and published:
        yield "it publishes ports on the host network, where Docker ignores them", "drop `ports` or `network_mode`"
    if service.network_mode and service.networks:
        yield "it has both network_mode and networks", "drop one of them"
    count = sum(port.count for port in published)
    if count > PUBLISHED_LIMIT:
        yield (
            f"it publishes {count} ports; more than {PUBLISHED_LIMIT} bring the engine down",
            'use network_mode="host" for media ports',
        )
    if published and service.replicas > 1:
        yield f"{service.replicas} replicas cannot all publish the same port", "put a load balancer in front of them"


def _mounts(service: ContainerService) -> Problems:
    targets = [mount.target for mount in service.mounts]
    for mount in service.mounts:
        if mount.type == "bind" and not mount.source.startswith("/"):
            yield f"the mounted {mount.source} is not an absolute path", "write the absolute path on the host"
        if not mount.target.startswith("/"):
            yield f"the mount target {mount.target} is not an absolute path", "write the absolute path in the container"
        if targets.count(mount.target) > 1:
            yield f"two mounts are at {mount.target}", "keep one"


def _configuration(service: ContainerService) -> Problems:
    sources = [PurePosixPath(mount.source) for mount in service.mounts if mount.type == "bind"]
    for name in service.config:
        path = PurePosixPath(name)
        if path.is_absolute() and not any(path == source or source in path.parents for source in sources):
            yield f"its configuration {name} is not mounted into it", "mount its directory"
    for name in service.reload.files if service.reload else ():
        path = PurePosixPath(name)
        if path in sources and not name.endswith("/"):
            yield (
                f"{name} is mounted as a single file, so the container keeps the version it started with",
                f"mount its directory: {path.parent}",
            )
        if not any(path == source or source in path.parents for source in sources):
            yield f"the file to reload, {name}, is not mounted into it", f"mount its directory: {path.parent}"


def _dependencies(service: ContainerService, names: Sequence[str]) -> None:
    for name, condition in service.dependencies:
        if name not in names:
            raise InputError(
                f"service {service.name!r} depends on {name!r}, which is not in the project",
                suggestion=closest(name, names),
            )
        if condition not in CONDITIONS:
            raise InputError(
                f"service {service.name!r} waits for the unknown condition {condition!r}",
                suggestion=closest(condition, CONDITIONS),
                next_step=f"use one of: {', '.join(CONDITIONS)}",
            )


def _host_ports(services: Sequence[ContainerService]) -> None:
    taken = [(service.name, port) for service in services for port in service.published]
    for index, (name, port) in enumerate(taken):
        for other_name, other in taken[:index]:
            if port.overlaps(other):
                raise InputError(
                    f"services {other_name!r} and {name!r} both publish {port.published[0]}/{port.protocol}",
                    next_step="give one of them another host port",
                )
