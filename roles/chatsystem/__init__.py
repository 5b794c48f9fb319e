"""ChatSystem: seven servers with their etcd, MySQL, Redis, Elasticsearch and RabbitMQ, on one machine or a swarm.

On one machine it is one compose project. On a swarm it is one stack: the servers run on the hosts with this role, each
of the other services on the host of its group. Only the gateway's two ports are open to the outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestr import Application, Data, Directory, Network, Rule
from orchestr.applications.placement import hosts_of, is_on_swarm

from .params import Params as Params
from .parts import PARTS
from .servers import DATA, GATEWAY, NETWORK, UPLOADS, publish_mode, servers

if TYPE_CHECKING:
    from orchestr import Host

USES = PARTS


def application(host: Host, params: Params) -> Application:
    """Return the seven servers, the uploads, and the gateway's ports.

    etcd's data does not move: servers register again.
    """
    uploads = Data("uploads", "file_server", UPLOADS, path=params.data_directory, container_path=DATA)
    is_on = host.name in hosts_of(host, host.role.name, UPLOADS)
    return Application(
        services=tuple(servers(host, params)),
        before=(Directory(params.data_directory, mode=0o750),) if is_on else (),
        ports=(f"{params.http_port}/tcp", f"{params.websocket_port}/tcp"),
        rules=tuple(_rules(host, params)),
        data=(uploads,),
        networks=(Network(NETWORK),),
        spreads=False,
        wait_s=params.wait_s,
    )


def has_gateway(host: Host) -> bool:
    """Return True if the gateway may run here: on the group chatsystem_gateway if it exists, else on any host."""
    return host.name in hosts_of(host, host.role.name, GATEWAY)


def _rules(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the rules for the gateway's two ports, on every host that publishes them."""
    if is_on_swarm(host) and publish_mode(host, params) == "host" and not has_gateway(host):
        return
    yield Rule(params.http_port, comment="chatsystem gateway")
    yield Rule(params.websocket_port, comment="chatsystem gateway WebSocket")
