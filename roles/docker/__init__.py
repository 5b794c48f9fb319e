"""Docker with compose v2: installed from the host's own package sources, its logs rotated, running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from orchestr.agent.resource import Resource
from orchestr.resources.compose_plugin import ComposePlugin
from orchestr.resources.docker import DockerEngine
from orchestr.resources.files import Directory, File
from orchestr.resources.packages import Package
from orchestr.resources.services import Service
from orchestr.role import Params as Base

if TYPE_CHECKING:
    from orchestr.planning import Host

CONFIG = "/etc/docker/daemon.json"
#: Where compose v2 is: Docker's own repository, Ubuntu, Debian 13.
COMPOSE_PACKAGES = ("docker-compose-plugin", "docker-compose-v2", "docker-compose")


class Params(Base):
    """The defaults suit a machine with a fresh Debian or Ubuntu."""

    packages: tuple[str, ...] = Field(
        default=("docker.io",), description="the engine's packages; docker-ce from Docker's own repository also works"
    )
    compose_packages: tuple[str, ...] = Field(
        default=COMPOSE_PACKAGES,
        description="packages that may bring compose v2 where it is missing: the first offered in version 2 or later",
    )
    log_max_size: str = Field(default="10m", description="size at which a container's log is rotated")
    log_max_file: int = Field(default=3, ge=1, description="how many of its log files are kept")
    live_restore: bool = Field(
        default=True, description="containers go on while the engine restarts; must be off for a swarm"
    )
    registry_mirrors: tuple[str, ...] = Field(default=(), description="mirrors of Docker Hub, as URLs")
    daemon: dict[str, Any] = Field(
        default={}, description="more settings of daemon.json, as they are called there; they win over the ones above"
    )

    @field_validator("log_max_size")
    @classmethod
    def _is_size(cls, size: str) -> str:
        if not (size[:-1].isdigit() and size[-1] in "kmg"):
            raise ValueError("expected a size such as 10m")
        return size

    @property
    def daemon_json(self) -> str:
        """The text of daemon.json."""
        log = {"max-size": self.log_max_size, "max-file": str(self.log_max_file)}
        settings: dict[str, Any] = {"log-driver": "json-file", "log-opts": log, "live-restore": self.live_restore}
        if self.registry_mirrors:
            settings["registry-mirrors"] = list(self.registry_mirrors)
        return json.dumps({**settings, **self.daemon}, indent=2) + "\n"


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the engine, its settings in use, and compose v2."""
    yield Package(params.packages)
    yield ComposePlugin(params.compose_packages)
    yield Directory("/etc/docker")
    yield File(CONFIG, params.daemon_json)
    yield Service("docker", config=(CONFIG,))
    yield DockerEngine()
