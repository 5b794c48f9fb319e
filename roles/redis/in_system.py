"""Redis as a part of a system of services: inside its network, with the same password and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestr.applications.system_services import pinned_to
from orchestr.containers.compose import ContainerService, HealthCheck
from orchestr.containers.stack import Deploy, MountedFile, SwarmService

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

CONFIG = "/usr/local/etc/redis/redis.conf"


def system_services(host: Host, params: Any) -> list[SwarmService]:
    """Return the one service, at port 6379 of the system's network."""
    config = host.template("redis.conf.j2", params.model_copy(update={"port": 6379}), addresses=("*",))
    service = ContainerService(
        "redis",
        params.image,
        command=("redis-server", CONFIG),
        user=f"{params.user_id}:{params.user_id}",
        volumes=("redis-data:/data",),
        healthcheck=HealthCheck("redis-cli -h 127.0.0.1 ping 2>&1 | grep -Eq 'PONG|NOAUTH'", 5, 3, 5, 30),
        stop_grace_period_s=30,
    )
    file = MountedFile(CONFIG, config, "redis.conf", mode=0o400, uid=params.user_id, gid=params.user_id)
    return [SwarmService(service, Deploy(constraints=pinned_to("redis"), endpoint_mode="dnsrr"), (file,))]
