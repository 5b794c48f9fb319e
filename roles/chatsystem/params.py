"""The parameters of the role chatsystem."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from orchestr import ContainerParams, SecretText

from .servers import SERVERS


class Params(ContainerParams):
    """The image is required."""

    image: str = Field(description="the image with the seven servers under /im/bin, with a tag that is new each build")
    images: dict[str, str] = Field(
        default={}, description="other images for single servers: {user_server: 'user_server:v4'}"
    )
    replicas: dict[str, int] = Field(
        default={}, description="replicas per server, default 1: {user_server: 2}; the gateway has one"
    )
    allow_several_gateways: bool = Field(
        default=False,
        description="allow more than one gateway: each keeps its own WebSockets, and the start or exit of one deletes "
        "the list of online users",
    )
    http_port: int = Field(default=9000, ge=1, le=65535, description="the gateway's HTTP port, open to everyone")
    websocket_port: int = Field(default=9001, ge=1, le=65535, description="its WebSocket port, open to everyone")
    data_directory: str = Field(
        default="/opt/chatsystem/docker_image_data/data",
        pattern=r"^/.+",
        description="directory of file_server's uploads, on the one host that it is pinned to",
    )
    memory: str = Field(default="256m", description="memory limit of each server")
    mysql_pool: int = Field(default=4, ge=1, description="connections that each server keeps to MySQL")
    log_level: int = Field(default=2, ge=0, le=6, description="the servers' log level, in spdlog's numbers; 2 is info")
    speech_app_id: str = Field(default="", description="speech_server's account at its recognition service")
    speech_api_key: SecretText | None = Field(default=None, description="the key of that account")
    speech_secret_key: SecretText | None = Field(default=None, description="the secret of that account")
    update_delay_s: float = Field(default=5, ge=0, description="pause between two replicas of a rolling update")
    publish: Literal["ingress", "host"] | None = Field(
        default=None,
        description="how a swarm publishes the gateway: ingress answers on every node and needs IPVS in the kernel; "
        "host answers on the node it runs on; not set: swarm_publish_mode",
    )
    wait_s: float = Field(default=300, ge=10, description="time limit for all services to be healthy")

    @field_validator("images", "replicas")
    @classmethod
    def _are_servers(cls, given: dict[str, object]) -> dict[str, object]:
        for name in given:
            if name not in SERVERS:
                raise ValueError(f"{name} is not a server; the servers are {', '.join(SERVERS)}")
        return given

    @model_validator(mode="after")
    def _one_gateway(self) -> Params:
        if any(count < 0 for count in self.replicas.values()):
            raise ValueError("chatsystem_replicas must be 0 or more")
        if self.replicas.get("gateway_server", 1) > 1 and not self.allow_several_gateways:
            raise ValueError(
                "more than one gateway_server loses messages and the list of online users (each keeps its own "
                "WebSockets); to run several all the same, set chatsystem_allow_several_gateways: true"
            )
        if self.replicas.get("file_server", 1) > 1:
            raise ValueError("file_server can have only one replica: its uploads are in one directory of one host")
        return self

    def image_of(self, server: str) -> str:
        """Return the image of one server."""
        return self.images.get(server, self.image)
