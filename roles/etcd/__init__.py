"""etcd with one member: the service registry of an application, reachable only in the application's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from orchestr import Application, ApplicationService, ContainerParams, ContainerService, Deploy, HealthCheck, Limits

if TYPE_CHECKING:
    from orchestr import Host

CLIENT_PORT, PEER_PORT = 2379, 2380


class Params(ContainerParams):
    """Nothing is required if the default image is available."""

    image: str = Field(default="coreos/etcd:v3.5.9", description="the image, with its tag; etcd 3.4 or later")
    memory: str = Field(default="256m", description="memory limit")
    quota_bytes: int = Field(default=2 << 30, ge=1 << 20, description="store size above which etcd refuses writes")


def application(host: Host, params: Params) -> Application:
    """Return the one member. Every client can write to it, so only the application's network reaches it."""
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
    return Application(services=(ApplicationService(service, deploy=Deploy(endpoint_mode="dnsrr")),))
