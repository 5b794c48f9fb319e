"""Docker with compose v2: installed from the host's own package sources, its logs rotated, running."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from orchestr import ComposePlugin, Directory, DockerEngine, File, Package, Resource, Secret, SecretText, Service
from orchestr import Params as Base
from orchestr.resources.docker.images import LOGINS

if TYPE_CHECKING:
    from orchestr import Host

CONFIG = "/etc/docker/daemon.json"
#: Packages with compose v2: of Docker's own repository, Ubuntu, Debian 13.
COMPOSE_PACKAGES = ("docker-compose-plugin", "docker-compose-v2", "docker-compose")


class Login(Base):
    """The credentials of this host at a registry."""

    username: str
    password: SecretText = Field(description="a password or an access token; read access is enough")


class Params(Base):
    """The defaults suit a machine with a fresh Debian or Ubuntu."""

    packages: tuple[str, ...] = Field(
        default=("docker.io",), description="the engine's packages; docker-ce from Docker's own repository also works"
    )
    compose_packages: tuple[str, ...] = Field(
        default=COMPOSE_PACKAGES,
        description="packages that may provide compose v2 where it is missing: the first with version 2 or later",
    )
    log_max_size: str = Field(default="10m", description="size at which a container's log is rotated")
    log_max_file: int = Field(default=3, ge=1, description="number of log files kept per container")
    live_restore: bool = Field(
        default=True, description="containers keep running while the engine restarts; must be off for a swarm"
    )
    registry_mirrors: tuple[str, ...] = Field(default=(), description="mirrors of Docker Hub, as URLs")
    registry_logins: dict[str, Login] = Field(
        default={},
        description="logins for pulls, by registry (registry.example.com; Docker Hub's name is the address that "
        "`docker login` writes): kept in a file that only root can read (0600), never in arguments or the environment",
    )
    daemon: dict[str, Any] = Field(
        default={},
        description="more settings of daemon.json, by their names there; they override those above",
    )

    @field_validator("log_max_size")
    @classmethod
    def _is_size(cls, size: str) -> str:
        if not (size[:-1].isdigit() and size[-1] in "kmg"):
            raise ValueError("expected a size such as 10m")
        return size

    @property
    def logins_json(self) -> Secret:
        """The text of a config.json with the logins."""
        pairs = {name: f"{login.username}:{login.password.reveal()}" for name, login in self.registry_logins.items()}
        coded = {name: base64.b64encode(pair.encode()).decode() for name, pair in pairs.items()}
        passwords = [str(login.password.reveal()) for login in self.registry_logins.values()]
        text = json.dumps({"auths": {name: {"auth": login} for name, login in coded.items()}}, indent=2) + "\n"
        return Secret(text, [*passwords, *coded.values()])

    @property
    def daemon_json(self) -> str:
        """The text of daemon.json."""
        log = {"max-size": self.log_max_size, "max-file": str(self.log_max_file)}
        settings: dict[str, Any] = {"log-driver": "json-file", "log-opts": log, "live-restore": self.live_restore}
        if self.registry_mirrors:
            settings["registry-mirrors"] = list(self.registry_mirrors)
        return json.dumps({**settings, **self.daemon}, indent=2) + "\n"


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the engine with its settings in use, compose v2 and the logins."""
    yield Package(params.packages)
    yield ComposePlugin(params.compose_packages)
    yield Directory("/etc/docker")
    yield File(CONFIG, params.daemon_json)
    yield Service("docker", config=(CONFIG,))
    yield DockerEngine()
    if params.registry_logins:
        yield Directory(LOGINS.rpartition("/")[0], mode=0o700)
        yield Directory(LOGINS, mode=0o700)
        yield File(f"{LOGINS}/config.json", params.logins_json, mode=0o600)
    else:
        yield File(f"{LOGINS}/config.json", present=False)
