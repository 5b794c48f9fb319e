"""Elasticsearch, one node without authentication, reachable only in its application's network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from orchestr import (
    Application,
    ApplicationService,
    ContainerParams,
    ContainerService,
    Data,
    Deploy,
    HealthCheck,
    Limits,
    Sysctl,
)

if TYPE_CHECKING:
    from orchestr import Host

PORT, TRANSPORT_PORT = 9200, 9300
LEAST_MAP_COUNT = 262144
_SIZE = re.compile(r"(\d+)([kmg])")


def size_bytes(text: str) -> int:
    """Return 512m as bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected a size such as 512m or 1g")
    return int(match[1]) << {"k": 10, "m": 20, "g": 30}[match[2]]


class Params(ContainerParams):
    """Nothing is required if the default image is available."""

    image: str = Field(default="elasticsearch:8.11.0", description="the image, with its tag")
    heap: str = Field(default="512m", description="Java's heap; at most half of elasticsearch_memory")
    memory: str = Field(default="1g", description="memory limit")
    max_map_count: int = Field(
        default=LEAST_MAP_COUNT,
        description="vm.max_map_count of its host, at least 262144; 0: not managed here",
    )
    open_files: int = Field(default=65536, ge=0, description="limit of open files; 0: the engine's default")

    @field_validator("heap", "memory")
    @classmethod
    def _is_size(cls, text: str) -> str:
        size_bytes(text)
        return text

    @model_validator(mode="after")
    def _fits(self) -> Params:
        if size_bytes(self.heap) * 2 > size_bytes(self.memory):
            raise ValueError("elasticsearch_heap is more than half of elasticsearch_memory: it would be killed")
        if self.max_map_count and self.max_map_count < LEAST_MAP_COUNT:
            raise ValueError(f"elasticsearch_max_map_count is below {LEAST_MAP_COUNT}: it would not start")
        return self


def application(host: Host, params: Params) -> Application:
    """Return the one node, and the kernel setting that its host needs."""
    service = ContainerService(
        "elasticsearch",
        params.image,
        environment={
            "discovery.type": "single-node",
            "xpack.security.enabled": False,
            "ES_JAVA_OPTS": f"-Xms{params.heap} -Xmx{params.heap}",
        },
        volumes=("es-data:/usr/share/elasticsearch/data",),
        healthcheck=HealthCheck(probe(), 5, 5, 12, 60),
        ulimits={"nofile": params.open_files} if params.open_files else {},
        limits=Limits(memory=params.memory),
        stop_grace_period_s=60,
    )
    return Application(
        services=(ApplicationService(service, deploy=Deploy(endpoint_mode="dnsrr")),),
        before=(Sysctl("vm.max_map_count", params.max_map_count),) if params.max_map_count else (),
        data=(Data("es-data", "elasticsearch", volume="es-data"),),
    )


def probe() -> str:
    """Return a shell line that succeeds if the node's state is usable: curl in upstream's image, wget in others."""
    url = f"http://127.0.0.1:{PORT}/_cluster/health"
    return f'(curl -fsS {url} 2>/dev/null || wget -q -O - {url}) | grep -Eq \'"status" *: *"(green|yellow)"\''
