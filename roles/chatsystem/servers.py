"""The seven servers: their dependencies, their flags, their registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestr import (
    ApplicationService,
    ContainerService,
    Deploy,
    HealthCheck,
    InputError,
    Limits,
    MountedFile,
    Placement,
    Secret,
    own_part,
)
from orchestr.applications.placement import is_on_swarm
from orchestr.cluster.swarm_hosts import publishing
from orchestr.containers.stack import Change

from .parts import MYSQL, RABBITMQ, REDIS

if TYPE_CHECKING:
    from orchestr import Host

    from .params import Params

NETWORK = "chatsystem-overlay"
CONFIGURATIONS = "/im/conf"
DATA = "/im/data"


@dataclass(frozen=True)
class Server:
    """One server: its port, its name in the registry (none for the gateway), and the services that it waits for."""

    port: int
    registers_as: str
    needs: tuple[str, ...]


AT_MYSQL, AT_REDIS, AT_ETCD = "mysql:3306", "redis:6379", "etcd:2379"
AT_QUEUE, AT_SEARCH = "rabbitmq:5672", "elasticsearch:9200"
SERVERS = {
    "speech_server": Server(10001, "speech_service", (AT_ETCD,)),
    "file_server": Server(10002, "file_service", (AT_ETCD,)),
    "user_server": Server(10003, "user_service", (AT_ETCD, AT_MYSQL, AT_REDIS, AT_SEARCH)),
    "message_transmit_server": Server(10004, "message_transmit_service", (AT_ETCD, AT_MYSQL, AT_QUEUE)),
    "message_store_server": Server(10005, "message_store_service", (AT_ETCD, AT_MYSQL, AT_QUEUE, AT_SEARCH)),
    "friend_server": Server(10006, "friend_service", (AT_ETCD, AT_MYSQL, AT_SEARCH)),
    "gateway_server": Server(9000, "", (AT_ETCD, AT_REDIS)),
}
UPLOADS = Placement("chatsystem_storage", otherwise="first")
GATEWAY = Placement("chatsystem_gateway")
#: Servers with groups of their own; the others run wherever ChatSystem does.
PLACES = {"file_server": UPLOADS, "gateway_server": GATEWAY}
#: The name and address of one replica, after the flags of the configuration: the last flag wins. With the configured
#: name, a second replica would overwrite the key of the first.
_REPLICA = (
    ' -instance_name=/{service}/instance-"${{REPLICA:-$(hostname)}}"'
    ' -access_host="$(hostname -i | cut -d" " -f1):{port}"'
)


def servers(host: Host, params: Params) -> list[ApplicationService]:
    """Return all seven as services."""
    return [_service(host, params, name, server) for name, server in SERVERS.items()]


def _service(host: Host, params: Params, name: str, server: Server) -> ApplicationService:
    is_gateway, is_store_of_files = name == "gateway_server", name == "file_server"
    container = ContainerService(
        name,
        params.image_of(name),
        command=("sh", "-c", _command(name, server)),
        environment=_replica(is_on_swarm(host), params.replicas.get(name, 1)),
        volumes=(f"{params.data_directory}:{DATA}",) if is_store_of_files else (),
        ports=(f"{params.http_port}:9000", f"{params.websocket_port}:9001") if is_gateway else (),
        networks=(NETWORK,),
        healthcheck=HealthCheck(f"nc -z localhost {server.port}", 3, 3, 5, 90),
        limits=Limits(memory=params.memory),
        init=True,
        stop_grace_period_s=15,
        replicas=params.replicas.get(name, 1),
    )
    update = Change(delay_s=params.update_delay_s, order="stop-first")
    mode = publish_mode(host, params)
    deploy = Deploy(
        update=update,
        publish=mode,
        endpoint_mode="vip" if is_gateway and mode == "ingress" else "dnsrr",
    )
    files = (configuration(host, params, name, server),)
    return ApplicationService(container, PLACES.get(name, Placement()), files, deploy)


def publish_mode(host: Host, params: Params) -> Literal["ingress", "host"]:
    """Return the publish mode of the gateway: ``ingress`` or ``host``; on one machine both have the same effect.

    Raises InputError if the gateway is to be published through the mesh of a swarm without one.
    """
    if not is_on_swarm(host):
        return params.publish or "ingress"
    of_swarm: Literal["ingress", "host"] = "host" if publishing(host)["publish"] == "host" else "ingress"
    if params.publish == "ingress" and of_swarm == "host":
        raise InputError(
            "chatsystem_publish is ingress, but swarm_publish_mode is host: the swarm has no ingress mesh",
            next_step="leave chatsystem_publish out, or set it to host; or set swarm_publish_mode: ingress",
        )
    return params.publish or of_swarm


def _replica(on_swarm: bool, count: int) -> dict[str, str]:
    """Return the variable with a replica's name: stable over restarts, so that no dead entry stays for its lease.

    Several containers on one machine have no numbers; the hostname distinguishes their names.
    """
    return {"REPLICA": "{{.Task.Slot}}"} if on_swarm else {"REPLICA": "1"} if count == 1 else {}


def _command(name: str, server: Server) -> str:
    own = _REPLICA.format(service=server.registers_as, port=server.port) if server.registers_as else ""
    start = f"/im/bin/{name} -flagfile={CONFIGURATIONS}/{name}.conf{own}"
    return f"exec /im/bin/wait_for_services.sh {','.join(server.needs)} {start}"


def configuration(host: Host, params: Params, name: str, server: Server) -> MountedFile:
    """Return a server's flag file; it is a secret, since it contains logins."""
    values = {use.role: own_part(host, use).params(use.name) for use in (MYSQL, REDIS, RABBITMQ)}
    text = host.template(f"{name}.conf.j2", params, server=server, server_name=name, **values)
    content = text if isinstance(text, Secret) else Secret(text)
    return MountedFile(f"{CONFIGURATIONS}/{name}.conf", content, mode=0o400)
