"""RabbitMQ, one node with its management plugin, reachable only in its application's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from orchestr import (
    Application,
    ApplicationService,
    ContainerParams,
    ContainerService,
    Data,
    Deploy,
    HealthCheck,
    Limits,
    MountedFile,
    OptionFilePassword,
)

if TYPE_CHECKING:
    from orchestr import Host

PORT, MANAGEMENT_PORT = 5672, 15672
USER_ID = 100  # in the alpine images; in the others 999


class Params(ContainerParams):
    """Only the password is required."""

    image: str = Field(default="rabbitmq:3.12-management-alpine", description="the image, with its tag")
    user: str = Field(default="chat", pattern=r"^[A-Za-z0-9_-]+$", description="the user that is created with the data")
    password: OptionFilePassword = Field(
        description="its password; used only when the data is created, as in RabbitMQ itself"
    )
    memory: str = Field(default="512m", description="memory limit")
    user_id: int = Field(default=USER_ID, ge=1, description="id of RabbitMQ's user in the image, which reads the login")


def application(host: Host, params: Params) -> Application:
    """Return the one node. Its data directory is named after the hostname, which is therefore fixed."""
    service = ContainerService(
        "rabbitmq",
        params.image,
        hostname="rabbitmq",
        volumes=("rabbitmq-data:/var/lib/rabbitmq",),
        healthcheck=HealthCheck(f"wget -q -O /dev/null http://127.0.0.1:{MANAGEMENT_PORT}/", 5, 10, 12, 60),
        limits=Limits(memory=params.memory),
        stop_grace_period_s=60,
    )
    login = host.template("rabbitmq.conf.j2", params)
    target = "/etc/rabbitmq/conf.d/20-orchestr.conf"
    file = MountedFile(target, login, "rabbitmq.conf", mode=0o400, uid=params.user_id, gid=params.user_id)
    return Application(
        services=(ApplicationService(service, files=(file,), deploy=Deploy(endpoint_mode="dnsrr")),),
        data=(Data("rabbitmq-data", "rabbitmq", volume="rabbitmq-data"),),
    )
