"""RabbitMQ, one node with its management plugin: only its application's network reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from orchestr.applications.container_role import ContainerParams
from orchestr.applications.model import Application, Data, Service
from orchestr.containers.compose import ContainerService, HealthCheck, Limits
from orchestr.containers.stack import Deploy, MountedFile
from orchestr.planning.role import OptionFilePassword

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

PORT, MANAGEMENT_PORT = 5672, 15672
USER_ID = 100  # in the alpine images; in the others 999


class Params(ContainerParams):
    """Only the password is required."""

    image: str = Field(default="rabbitmq:3.12-management-alpine", description="the image, with its tag")
    user: str = Field(default="chat", pattern=r"^[A-Za-z0-9_-]+$", description="the user it is made with")
    password: OptionFilePassword = Field(
        description="its password; counts when the data is made, as RabbitMQ's own does"
    )
    memory: str = Field(default="512m", description="the most memory it may take")
    user_id: int = Field(default=USER_ID, ge=1, description="RabbitMQ's user in the image, who reads its login")


def application(host: Host, params: Params) -> Application:
    """Return the one node. Its data is filed under the hostname, which therefore stays the same wherever it runs."""
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
        services=(Service(service, files=(file,), deploy=Deploy(endpoint_mode="dnsrr")),),
        data=(Data("rabbitmq-data", "rabbitmq", volume="rabbitmq-data"),),
    )
