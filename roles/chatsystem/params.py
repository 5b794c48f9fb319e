"""What the chatsystem role takes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from orchestr.applications.container_role import ContainerParams
from orchestr.planning.role import SecretText

from .servers import SERVERS


class Params(ContainerParams):
    """The image is required."""

    image: str = Field(description="the image with the seven servers under /im/bin, with a tag that is new each build")
    images: dict[str, str] = Field(
        default={}, description="other images for single servers: {user_server: 'user_server:v4'}"
    )
    replicas: dict[str, int] = Field(
        default={}, description="how many of a server, where not one: {user_server: 2}; the gateway is one"
    )
    allow_several_gateways: bool = Field(
        default=False,
        description="run more than one gateway all the same: each keeps its WebSockets to itself, and each start and "
        "exit of one forgets who is online at all",
    )
    http_port: int = Field(default=9000, ge=1, le=65535, description="the gateway's HTTP port, open to everyone")
    websocket_port: int = Field(default=9001, ge=1, le=65535, description="its WebSocket port, open to everyone")
    data_directory: str = Field(
        default="/opt/chatsystem/docker_image_data/data",
        pattern=r"^/.+",
        description="where file_server keeps uploads, on the one host that it is pinned to",
    )
    memory: str = Field(default="256m", description="the most memory each server may take")
    mysql_pool: int = Field(default=4, ge=1, description="connections that each server keeps to MySQL")
    log_level: int = Field(default=2, ge=0, le=6, description="the servers' log level, as spdlog counts; 2 is info")
    speech_app_id: str = Field(default="", description="speech_server's account at its recognition service")
    speech_api_key: SecretText | None = Field(default=None, description="the key of that account")
    speech_secret_key: SecretText | None = Field(default=None, description="the secret of that account")
    update_delay_s: float = Field(default=5, ge=0, description="pause between two replicas of a rolling update")
    publish: Literal["ingress", "host"] | None = Field(
        default=None,
        description="how a swarm publishes the gateway: ingress answers on every node and needs IPVS in the kernel; "
        "host answers on the node it runs on; as swarm_publish_mode says where this is not set",
    )
    wait_s: float = Field(default=300, ge=10, description="how long all of it may take to be up")

    @field_validator("images", "replicas")
    @classmethod
    def _are_servers(cls, given: dict[str, object]) -> dict[str, object]:
        for name in given:
            if name not in SERVERS:
                raise ValueError(f"{name} is no server; there are {', '.join(SERVERS)}")
        return given

    @model_validator(mode="after")
    def _one_gateway(self) -> Params:
        if any(count < 0 for count in self.replicas.values()):
            raise ValueError("chatsystem_replicas counts replicas: 0 or more")
        if self.replicas.get("gateway_server", 1) > 1 and not self.allow_several_gateways:
            raise ValueError(
                "more than one gateway_server loses messages and who is online (each keeps its WebSockets to itself); "
                "chatsystem_allow_several_gateways: true says that you know"
            )
        if self.replicas.get("file_server", 1) > 1:
            raise ValueError("file_server keeps its uploads in one directory of one host: it is one")
        return self

    def image_of(self, server: str) -> str:
        """Return the image of one server."""
        return self.images.get(server, self.image)
