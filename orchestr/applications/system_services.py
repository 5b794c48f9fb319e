"""Systems of several services (ChatSystem): each role says its own services, one role runs them all together.

A role that takes part has ``system_services(host, params) -> list[SwarmService]``. On one machine they are one compose
project; on a swarm they are one stack, whose services are pinned to the hosts that have their role: the swarm's nodes
are labelled by it. ``node_labels(host, params)`` names further labels that a role's services are pinned by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource
from orchestr.containers.compose import ContainerService, compose_project
from orchestr.containers.stack import MountedFile, SwarmService
from orchestr.resources.files import Directory, File
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.containers.model import Network
    from orchestr.planning.plan import Host, Peer

LABEL = "orchestr.role."  # of swarm nodes: which roles the inventory gives them


def node_label(role: str) -> str:
    """Return the label of the nodes that the inventory gives a role."""
    return LABEL + role


def pinned_to(role: str) -> tuple[str, ...]:
    """Return the constraint of a service that runs only where the inventory puts its role."""
    return (f"node.labels.{node_label(role)}==true",)


def labels_of(host: Peer) -> dict[str, str]:
    """Return the labels of a host's node that say which services may run there: a role's own, and ``node_labels``."""
    labels: dict[str, str] = {}
    for role in host.roles:
        if host.call(role, "system_services"):
            labels[node_label(role)] = "true"
        labels.update((node_label(name), "true") for name in host.call(role, "node_labels"))
    return labels


def is_on_swarm(host: Peer) -> bool:
    """Tell whether a host is (to be) a node of a swarm."""
    return host.params("swarm") is not None


def services_of(host: Host, roles: Sequence[str]) -> Iterator[SwarmService]:
    """Yield the services of all roles, each as the first host that has the role says them."""
    for role in roles:
        for peer in host.with_role(role)[:1]:
            yield from peer.call(role, "system_services")


def one_machine(
    directory: str,
    services: Sequence[SwarmService],
    *,
    networks: Sequence[Network] = (),
    image_ids: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[Resource]:
    """Yield the services as a compose project: the files they read, the compose file, the project running.

    A secret's file belongs to whom its service runs as and is closed to others. Options are ComposeProject's.
    """
    place = f"{directory.rstrip('/')}/files"
    yield Directory(directory, mode=0o750)
    yield Directory(place, mode=0o755)
    seen: set[str] = set()
    for file in (file for each in services for file in each.files):
        if file.base not in seen:
            yield _file(place, file)
        seen.add(file.base)
    ready = [_mounted(place, each) for each in services]
    yield from compose_project(directory, ready, networks=networks, image_ids=image_ids, **options)


def _file(place: str, file: MountedFile) -> File:
    mode = file.mode & 0o600 if isinstance(file.content, Secret) else file.mode
    owner, group = str(file.uid), str(file.gid)
    return File(f"{place}/{file.base}", content=file.content, mode=mode, owner=owner, group=group)


def _mounted(place: str, each: SwarmService) -> ContainerService:
    """Return the service with its files mounted; each one's change is a new start."""
    paths = [(f"{place}/{file.base}", file.target) for file in each.files]
    return replace(
        each.service,
        replicas=each.replicas,
        volumes=(*each.service.volumes, *(f"{source}:{target}:ro" for source, target in paths)),
        config=(*each.service.config, *(source for source, _ in paths)),
    )
