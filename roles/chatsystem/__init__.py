"""ChatSystem: seven servers with their etcd, MySQL, Redis, Elasticsearch and RabbitMQ, on one machine or a swarm.

On one machine all of it is one compose project. On a swarm it is one stack: servers run on the hosts that have this
role, each of the others on the host that has its role. Only the gateway's two ports are open to the outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestr.agent.resource import Resource, Task
from orchestr.applications import data_moves
from orchestr.applications.container_role import assert_same_image, image, stopped
from orchestr.applications.data_moves import Placement
from orchestr.applications.system_services import is_on_swarm, one_machine, services_of
from orchestr.cluster.swarm_hosts import acting_manager
from orchestr.containers.model import Network
from orchestr.containers.stack import SwarmService, stack
from orchestr.errors import InputError
from orchestr.resources.files import Directory
from orchestr.resources.firewall.firewall import Rule
from orchestr.resources.ports import PortsFree
from orchestr.resources.trees import Tree

from . import moving
from .params import Params as Params
from .resources import COMPOSE, STACK, DataSurvey, ServicesStopped
from .servers import NETWORK, SERVERS, published, servers

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

DIRECTORY = "/opt/chatsystem"
PROJECT = "chatsystem"
STORAGE, GATEWAY = "chatsystem_storage", "chatsystem_gateway"
PARTS = ("etcd", "mysql", "redis", "elasticsearch", "rabbitmq")
UPLOADS = "chatsystem_uploads"
VOLUMES = {"redis": "redis-data", "elasticsearch": "es-data", "rabbitmq": "rabbitmq-data"}  # of those that move


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield one stage of it; playbooks/chatsystem.yml has them in their order."""
    stages = {"look": _look, "save": _save, "nodes": _nodes, "leave": _leave, "services": _services}
    return {**stages, "report": _report}[params.stage](host, params)


def _look(host: Host, params: Params) -> Iterator[Resource]:
    yield DataSurvey()


def _save(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the end of what must end while a swarm's nodes reach each other and its services are where they were.

    That is: all of a stack that the inventory has no more, its database saved; or services whose data moves within the
    swarm, before their labels do. What cannot be moved is refused here, where nothing was changed.
    """
    moving.assert_all_in_sight(host)
    data_moves.assert_movable(host, "chatsystem", host.blobs.room_bytes())
    moves = data_moves.moves(host, "chatsystem")
    if moving.old_form(host) == STACK:
        moving.announce(host)
        ids = part_ids(host)
        yield image(host, host.with_role("mysql")[0].params("mysql"))[0]
        yield from moving.begun(moves)
        yield from moving.saved(host, ids, STACK)
    elif host.outcome(moving.BEGUN).get("form") == STACK:
        yield from moving.taken_back(host)
        parts = moving.parts_moving(host)
        if parts:
            moving.announce_parts(host, parts)
            yield from moving.begun(parts)
            yield ServicesStopped(tuple(each.placement.service for each in parts))


def _leave(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the end of a compose project that becomes a stack, once the nodes have all that they need."""
    if not runs_it(host):
        return
    _assert_same_images(host, params)
    if moving.old_form(host) == COMPOSE:
        moving.announce(host)
        yield from moving.begun(data_moves.moves(host, "chatsystem"))
        yield from moving.saved(host, all_ids(host, params), COMPOSE)
    elif host.outcome(moving.BEGUN).get("form") == COMPOSE:
        yield from moving.taken_back(host)


def _nodes(host: Host, params: Params) -> Iterator[Resource]:
    for each in images(host, params):
        yield each[0]
    if keeps_files(host):
        yield Directory(params.data_directory, mode=0o750)


def _services(host: Host, params: Params) -> Iterator[Resource]:
    if runs_it(host):
        _assert_same_images(host, params)
        yield from running(host, params, all_ids(host, params))


def _assert_same_images(host: Host, params: Params) -> None:
    for name in dict.fromkeys((params.image, *params.images.values())):
        assert_same_image(name, host.with_role("chatsystem"))


def _report(host: Host, params: Params) -> Iterator[Resource]:
    moving.report(host)
    return iter(())


def all_ids(host: Host, params: Params) -> dict[str, str]:
    """Return the ids of all images that are sent (reference → id)."""
    ids = {reference: known for _, found in images(host, params) for reference, known in found.items()}
    return {**ids, **part_ids(host)}


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
        parts = [each for each in services if each.name not in SERVERS]
        yield from _form(host, params, parts, ids, is_whole=False)
        yield from moving.loaded(host, ids)
    yield from _form(host, params, services, ids)
    found = host.outcome(moving.BEGUN)
    if old or found.get("is_stopped") or found.get("awaited") or moving.parts_moving(host):
        yield from moving.ended()


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
    """Tell whether file_server's uploads are kept here."""
    return files_host(host) == host.name


def files_host(host: Host) -> str:
    """Return where file_server's uploads are kept: in the group chatsystem_storage, else on the first host."""
    return (host.group(STORAGE) or host.with_role("chatsystem"))[0].name


def data_trees(host: Host, params: Params) -> tuple[Placement, ...]:
    """Return what has to move when it is to be on another host: the uploads, and volumes.

    Not MySQL's, which moves as a dump, nor etcd's: registrations renew themselves.
    """
    uploads = Placement(Tree(UPLOADS, path=params.data_directory), files_host(host), "file_server", STORAGE)
    names = {role: f"{PROJECT}_{volume}" for role, volume in VOLUMES.items()}
    volumes = [
        Placement(Tree(name, volume=name), peer.name, role, role)
        for role, name in names.items()
        for peer in host.with_role(role)[:1]
    ]
    return tuple(replace(each, known_on=moving.known_on(host, each)) for each in (uploads, *volumes))


def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the gateway's two ports: the only way in, and where a swarm publishes on every node, on every node."""
    if is_on_swarm(host) and published(host, params) == "host" and not has_gateway(host):
        return
    yield Rule(params.http_port, comment="chatsystem gateway")
    yield Rule(params.websocket_port, comment="chatsystem gateway WebSocket")


def stop(host: Host, params: Params) -> Iterator[Resource | Task]:
    """Yield the compose project stopped."""
    if not is_on_swarm(host):
        yield from stopped(DIRECTORY, [each.service for each in all_services(host, params)])


def _ports(params: Params) -> tuple[str, ...]:
    return (f"{params.http_port}/tcp", f"{params.websocket_port}/tcp")
