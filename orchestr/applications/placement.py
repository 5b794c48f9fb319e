"""Placement of an application's services: their hosts, and the node labels that bind them to these in a swarm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestr.cluster.swarm_hosts import MANAGERS, WORKERS

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Placement, Service
    from orchestr.planning.plan import Host, Peer

#: Prefix of the labels of swarm nodes that bind services to the hosts of an inventory group.
LABEL = "orchestr.role."


def is_on_swarm(host: Peer) -> bool:
    """Return True if the inventory makes a host a node of a swarm."""
    return MANAGERS in host.groups or WORKERS in host.groups


def hosts_of(host: Host, application: str, placement: Placement) -> list[str]:
    """Return the names of the hosts that a placement selects, in inventory order."""
    names = [peer.name for peer in host.group(placement.group)] if placement.group else []
    if not names:
        names = [peer.name for peer in host.with_role(application)]
        names = names[:1] if placement.otherwise == "first" else names
    return names


def label_of(application: str, placement: Placement) -> str:
    """Return the suffix after `LABEL` for the nodes that a placement selects."""
    if placement.group:
        return placement.group
    return f"{application}_first" if placement.otherwise == "first" else application


def constraint(application: str, placement: Placement) -> str:
    """Return the constraint that binds a service of a stack to the hosts of a placement."""
    return f"node.labels.{LABEL}{label_of(application, placement)}==true"


def placements(description: Application) -> Iterator[Placement]:
    """Yield the placements of an application's services and data, each once."""
    of_services = (service.placement for service in description.services)
    yield from dict.fromkeys((*of_services, *(data.placement for data in description.data)))


def runs_on(host: Host, application: str, services: Iterable[Service]) -> list[Service]:
    """Return the services that run on this host."""
    return [service for service in services if host.name in hosts_of(host, application, service.placement)]


def node_labels(host: Host, node: str) -> dict[str, str]:
    """Return the labels of a host (``node``) in its swarm: one for each placement of an application that selects it."""
    labels: dict[str, str] = {}
    for role in host.roles_in_playbook():
        peers = host.with_role(role.name) if role.describe is not None and not role.within else []
        application = peers[0].application(role.name) if peers else None
        if application is None or not application.can_swarm:
            continue
        view = peers[0].as_host(role.name)
        for placement in placements(application):
            if node in hosts_of(view, role.name, placement):
                labels[LABEL + label_of(role.name, placement)] = "true"
    return labels
