"""The seven servers: what each needs, which flags it takes, how it registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestr.applications.model import Placement, Service
from orchestr.applications.parts import own_part
from orchestr.applications.placement import is_on_swarm
from orchestr.cluster.swarm_hosts import publishing
from orchestr.containers.compose import ContainerService, HealthCheck, Limits
from orchestr.containers.stack import Change, Deploy, MountedFile
from orchestr.errors import InputError
from orchestr.secret import Secret

from .parts import MYSQL, RABBITMQ, REDIS

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

    from .params import Params

NETWORK = "chatsystem-overlay"
CONFIGURATIONS = "/im/conf"
DATA = "/im/data"


@dataclass(frozen=True)
class Server:
    """One server: its port, the name it registers under (the gateway does not), and what must answer before it."""

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
#: A replica's own name and address, behind those of the configuration: the last flag wins. With the names as they are
#: there, a second replica would overwrite the first one's key.
_REPLICA = (
    ' -instance_name=/{service}/instance-"${{REPLICA:-$(hostname)}}"'
    ' -access_host="$(hostname -i | cut -d" " -f1):{port}"'
)


def servers(host: Host, params: Params) -> list[Service]:
    """Return all seven as services."""
    return [_service(host, params, name, server) for name, server in SERVERS.items()]


def _service(host: Host, params: Params, name: str, server: Server) -> Service:
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
    how = published(host, params)
    deploy = Deploy(
        update=update,
        publish=how,
        endpoint_mode="vip" if is_gateway and how == "ingress" else "dnsrr",
    )
    files = (configuration(host, params, name, server),)
    return Service(container, PLACES.get(name, Placement()), files, deploy)


def published(host: Host, params: Params) -> Literal["ingress", "host"]:
    """Return how the gateway is published: ``ingress`` or ``host``; on one machine that makes no difference.

    Raises InputError where the swarm has no mesh and the gateway is to be published through it.
    """
    if not is_on_swarm(host):
        return params.publish or "ingress"
    of_swarm: Literal["ingress", "host"] = "host" if publishing(host)["publish"] == "host" else "ingress"
    if params.publish == "ingress" and of_swarm == "host":
        raise InputError(
            "chatsystem_publish is ingress, and swarm_publish_mode is host: the swarm is said to have no mesh",
            next_step="leave chatsystem_publish out, or set it to host; or set swarm_publish_mode: ingress",
        )
    return params.publish or of_swarm


def _replica(on_swarm: bool, count: int) -> dict[str, str]:
    """Return what a replica registers as: the same after a restart, so that no dead one stays listed for its lease.

    Of several containers on one machine none has a number; their names are told apart by the hostname.
    """
    return {"REPLICA": "{{.Task.Slot}}"} if on_swarm else {"REPLICA": "1"} if count == 1 else {}


def _command(name: str, server: Server) -> str:
    own = _REPLICA.format(service=server.registers_as, port=server.port) if server.registers_as else ""
    start = f"/im/bin/{name} -flagfile={CONFIGURATIONS}/{name}.conf{own}"
    return f"exec /im/bin/wait_for_services.sh {','.join(server.needs)} {start}"


def configuration(host: Host, params: Params, name: str, server: Server) -> MountedFile:
    """Return a server's flagfile; a secret, since logins stand in it."""
    values = {use.role: own_part(host, use).params(use.name) for use in (MYSQL, REDIS, RABBITMQ)}
    text = host.template(f"{name}.conf.j2", params, server=server, server_name=name, **values)
    content = text if isinstance(text, Secret) else Secret(text)
    return MountedFile(f"{CONFIGURATIONS}/{name}.conf", content, mode=0o400)
