"""etcd, one member: the registry in which an application's services find each other. Only its network reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from orchestr.applications.container_role import ContainerParams
from orchestr.applications.model import Application, Service
from orchestr.containers.compose import ContainerService, HealthCheck, Limits
from orchestr.containers.stack import Deploy

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

CLIENT_PORT, PEER_PORT = 2379, 2380


class Params(ContainerParams):
    """Nothing is required where the default image can be had."""

    image: str = Field(default="coreos/etcd:v3.5.9", description="the image, with its tag; etcd 3.4 or later")
    memory: str = Field(default="256m", description="the most memory it may take")
    quota_bytes: int = Field(default=2 << 30, ge=1 << 20, description="size of the store at which etcd takes no more")


def application(host: Host, params: Params) -> Application:
    """Return the one member. Every client can write to it, so it has no address outside the application's network."""
    service = ContainerService(
        "etcd",
        params.image,
        command=(
            "etcd",
            "--name=etcd",
            "--data-dir=/etcd-data",
            f"--listen-client-urls=http://0.0.0.0:{CLIENT_PORT}",
            f"--advertise-client-urls=http://etcd:{CLIENT_PORT}",
            f"--listen-peer-urls=http://127.0.0.1:{PEER_PORT}",
            "--auto-compaction-retention=1",
            f"--quota-backend-bytes={params.quota_bytes}",
        ),
        environment={"ETCDCTL_API": "3"},
        volumes=("etcd-data:/etcd-data",),
        healthcheck=HealthCheck(("etcdctl", "endpoint", "health"), 5, 5, 6, 20),
        limits=Limits(memory=params.memory),
    )
    return Application(services=(Service(service, deploy=Deploy(endpoint_mode="dnsrr")),))
