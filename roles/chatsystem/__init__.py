"""ChatSystem: seven servers with their etcd, MySQL, Redis, Elasticsearch and RabbitMQ, on one machine or a swarm.

On one machine all of it is one compose project. On a swarm it is one stack: servers run on the hosts that have this
role, each of the others on the host that has its role. Only the gateway's two ports are open to the outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestr.agent.resource import Resource, Task
from orchestr.container_model import Network
from orchestr.container_role import image, stopped
from orchestr.errors import InputError
from orchestr.resources.files import Directory
from orchestr.resources.firewall import Rule
from orchestr.resources.ports import PortsFree
from orchestr.stack import SwarmService, stack
from orchestr.swarm_hosts import acting_manager
from orchestr.system_services import is_on_swarm, one_machine, services_of

from . import moving
from .params import Params as Params
from .resources import COMPOSE, STACK, DataSurvey
from .servers import NETWORK, SERVERS, servers

if TYPE_CHECKING:
    from orchestr.planning import Host

DIRECTORY = "/opt/chatsystem"
PROJECT = "chatsystem"
STORAGE, GATEWAY = "chatsystem_storage", "chatsystem_gateway"
PARTS = ("etcd", "mysql", "redis", "elasticsearch", "rabbitmq")


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield one stage of it; playbooks/chatsystem.yml has them in their order."""
    stages = {"look": _look, "save": _save, "nodes": _nodes, "services": _services, "report": _report}
    return stages[params.stage](host, params)


def _look(host: Host, params: Params) -> Iterator[Resource]:
    yield DataSurvey()


def _save(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the database out of a swarm that the inventory has no more, while its nodes still reach each other."""
    if moving.old_form(host) == STACK:
        moving.announce(host)
        ids = part_ids(host)
        yield image(host, host.with_role("mysql")[0].params("mysql"))[0]
        yield from moving.saved(host, ids, STACK)


def _nodes(host: Host, params: Params) -> Iterator[Resource]:
    for each in images(host, params):
        yield each[0]
    if keeps_files(host):
        yield Directory(params.data_directory, mode=0o750)


def _services(host: Host, params: Params) -> Iterator[Resource]:
    if runs_it(host):
        ids = {reference: known for _, found in images(host, params) for reference, known in found.items()}
        yield from running(host, params, {**ids, **part_ids(host)})


def _report(host: Host, params: Params) -> Iterator[Resource]:
    moving.report(host)
    return iter(())


def images(host: Host, params: Params) -> list[tuple[Resource, dict[str, str]]]:
    """Return what brings each of the servers' images, and the ids of those that are sent."""
    names = dict.fromkeys((params.image, *params.images.values()))
    return [image(host, params.model_copy(update={"image": name})) for name in names]


def running(host: Host, params: Params, ids: dict[str, str]) -> Iterator[Resource]:
    """Yield all services: a stack on a swarm, else a compose project. Where it was the other, its data comes along."""
    services = all_services(host, params)
    old = moving.old_form(host)
    if not old:
        yield from moving.forgotten(host)
    else:
        if old == COMPOSE:
            _assert_files_stay(host)
            moving.announce(host)
        yield from moving.saved(host, ids, old)
        parts = [each for each in services if each.name not in SERVERS]
        yield from _form(host, params, parts, ids, is_whole=False)
        yield from moving.loaded(host, ids)
    yield from _form(host, params, services, ids)
    if old:
        yield from moving.ended()


def _assert_files_stay(host: Host) -> None:
    """Refuse to leave file_server's uploads behind: the database moves by itself, they do not."""
    if not keeps_files(host):
        raise InputError(
            f"file_server's uploads are on {host.name}, and the inventory would have them on another host",
            next_step=f"put {host.name} into the group {STORAGE}; to have them elsewhere, copy them there afterwards",
        )


def _form(
    host: Host, params: Params, services: list[SwarmService], ids: dict[str, str], is_whole: bool = True
) -> Iterator[Resource]:
    """Yield these services in the form that the inventory wants; what else there is goes only when they are all."""
    if is_on_swarm(host):
        networks = (Network(NETWORK, driver="overlay", attachable=True),)
        yield from stack(PROJECT, services, networks=networks, image_ids=ids, wait_s=params.wait_s, prune=is_whole)
        return
    yield PortsFree(_ports(params), project=PROJECT)
    networks = (Network(NETWORK),)
    yield from one_machine(
        DIRECTORY, services, networks=networks, image_ids=ids, wait_s=params.wait_s, remove_orphans=is_whole
    )


def all_services(host: Host, params: Params) -> list[SwarmService]:
    """Return all twelve services, on the system's own network."""
    parts = [
        replace(each, service=replace(each.service, networks=(NETWORK,), network_mode=""))
        for each in services_of(host, PARTS)
    ]
    return [*parts, *servers(host, params)]


def part_ids(host: Host) -> dict[str, str]:
    """Return the ids of the other roles' images that are sent (reference → id)."""
    ids: dict[str, str] = {}
    for role in PARTS:
        for peer in host.with_role(role)[:1]:
            ids.update(image(host, peer.params(role))[1])
    return ids


def runs_it(host: Host) -> bool:
    """Tell whether the services are run from this host: the only one, or the manager that acts for the swarm.

    Raises InputError when several hosts are to run it without a swarm, or that manager is none of them.
    """
    if not is_on_swarm(host):
        _assert_alone(host)
        return True
    manager = acting_manager(host)
    if "chatsystem" not in manager.roles:
        raise InputError(
            f"{manager.name} manages the swarm, from where ChatSystem is run, and has not the role chatsystem",
            next_step="put the hosts of swarm_managers into the group chatsystem as well",
        )
    moving.assert_in_reach(host, manager.name)
    return manager.name == host.name


def _assert_alone(host: Host) -> None:
    names = [peer.name for peer in host.with_role("chatsystem")]
    if len(names) > 1:
        raise InputError(
            f"ChatSystem on several hosts ({', '.join(names)}) needs a swarm",
            next_step="put them into swarm_managers and swarm_workers, or leave one in the group chatsystem",
        )


def node_labels(host: Host, params: Params) -> tuple[str, ...]:
    """Return what this host's node is marked for: the servers, the one place of uploads, the gateway."""
    return ("chatsystem", *((STORAGE,) if keeps_files(host) else ()), *((GATEWAY,) if has_gateway(host) else ()))


def has_gateway(host: Host) -> bool:
    """Tell whether the gateway may run here: in the group chatsystem_gateway, where there is one, else anywhere."""
    return not host.group(GATEWAY) or host.in_group(GATEWAY)


def keeps_files(host: Host) -> bool:
    """Tell whether file_server's uploads are kept here: in the group chatsystem_storage, else on the first host."""
    keepers = host.group(STORAGE) or host.with_role("chatsystem")
    return keepers[0].name == host.name


def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the gateway's two ports: the only way in, and where a swarm publishes on every node, on every node."""
    if is_on_swarm(host) and params.publish == "host" and not has_gateway(host):
        return
    yield Rule(params.http_port, comment="chatsystem gateway")
    yield Rule(params.websocket_port, comment="chatsystem gateway WebSocket")


def stop(host: Host, params: Params) -> Iterator[Resource | Task]:
    """Yield the compose project stopped."""
    if not is_on_swarm(host):
        yield from stopped(DIRECTORY, [each.service for each in all_services(host, params)])


def _ports(params: Params) -> tuple[str, ...]:
    return (f"{params.http_port}/tcp", f"{params.websocket_port}/tcp")
