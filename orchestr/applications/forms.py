"""An application as a compose project on a host: its images, its files, and the project to start, stop or restart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource, Task
from orchestr.applications.container_role import image_named, image_source
from orchestr.applications.placement import runs_on
from orchestr.containers.compose import ContainerService, compose_project
from orchestr.containers.stack_model import MountedFile
from orchestr.errors import InputError
from orchestr.resources.commands import Command
from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.files import Directory, File
from orchestr.resources.modes import mode_bits
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Service
    from orchestr.planning.plan import Host


def project_directory(host: Host, application: Application) -> str:
    """Return the directory of the application's compose file: ``/opt/NAME`` unless the description sets another."""
    return application.directory or f"/opt/{host.role.name}"


def bring_images(host: Host, application: Application) -> Iterator[Resource]:
    """Yield the resource for each image that this host needs, pulled or pushed, each once."""
    for reference, source in _images(host, runs_on(host, host.role.name, application.services)).items():
        yield image_named(host, reference, source)[0]


def image_ids(host: Host, application: Application) -> dict[str, str]:
    """Return the ids of the application's pushed images (reference → id)."""
    ids: dict[str, str] = {}
    for reference, source in _images(host, application.services).items():
        ids.update(image_named(host, reference, source)[1])
    return ids


def _images(host: Host, services: Sequence[Service]) -> dict[str, str]:
    return {service.container.image: image_source(host, service.image_source) for service in services}


def compose_form(
    host: Host, application: Application, services: Sequence[Service], *, is_whole: bool = True
) -> Iterator[Resource]:
    """Yield the files of the services, the compose file, and last the running project.

    ``is_whole``: these are all services of the host; other services of the project are removed.
    """
    _assert_connected(host, application)
    directory = project_directory(host, application)
    files = list({file.base: file for service in services for file in service.files}.values())
    if files:
        yield Directory(directory, mode=0o750)
        yield Directory(f"{directory}/files", mode=0o755)
        yield from (_file(directory, file) for file in files)
    containers = [_with_files(directory, service) for service in services]
    options: dict[str, Any] = {"wait_s": application.wait_s} if application.wait_s else {}
    yield from compose_project(
        directory,
        containers,
        networks=application.networks,
        image_ids=image_ids(host, application),
        remove_orphans=is_whole,
        **options,
    )


def _assert_connected(host: Host, application: Application) -> None:
    """Raise InputError if services that resolve each other by name would run on several hosts without a swarm."""
    name = host.role.name
    if application.spreads:
        return
    names = [peer.name for peer in host.with_role(name)]
    if len(names) > 1:
        raise InputError(
            f"{name} on several hosts ({', '.join(names)}) needs a swarm",
            next_step="put them into swarm_managers and swarm_workers, or keep one host in the groups of the play",
        )


def _file(directory: str, file: MountedFile) -> File:
    """Return a mounted file on the host; only the user of the service can read a secret."""
    mode = mode_bits(file.mode) & 0o600 if isinstance(file.content, Secret) else file.mode
    path = f"{directory}/files/{file.base}"
    return File(path, content=file.content, mode=mode, owner=str(file.uid), group=str(file.gid))


def _with_files(directory: str, service: Service) -> ContainerService:
    """Return the container with its files mounted; a change of one of them restarts it."""
    paths = [(f"{directory}/files/{file.base}", file.target) for file in service.files]
    container = service.container
    replicas = container.replicas if service.deploy.replicas is None else service.deploy.replicas
    return replace(
        container,
        replicas=replicas,
        volumes=(*container.volumes, *(f"{source}:{target}:ro" for source, target in paths)),
        config=(*container.config, *(source for source, _ in paths)),
    )


def stop_form(host: Host, application: Application, services: Sequence[Service]) -> ComposeProject:
    """Return the project in the stopped state."""
    containers = [service.container for service in services]
    directory = project_directory(host, application)
    return compose_project(directory, containers, networks=application.networks, running=False)[1]


def restart_form(host: Host, application: Application, services: Sequence[Service]) -> Task:
    """Return a task that restarts the project's containers; by its name, so that no file is read for it."""
    project = stop_form(host, application, services)
    words = ("docker", "compose", "--project-name", project.project, "restart")
    grace_s = sum(service.container.stop_grace_period_s for service in services)
    return Task(Command(words, label_text=f"restart {project.directory}"), timeout_s=120.0 + grace_s)
