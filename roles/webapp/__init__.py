"""Your own service, from any image: its settings and secrets, and a port that only Caddy can reach."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from orchestr import (
    Application,
    ApplicationService,
    ContainerParams,
    ContainerService,
    Directory,
    EnvFile,
    File,
    HttpAnswer,
    Limits,
    Resource,
    Secret,
    SecretText,
    Site,
    TcpAnswer,
    listen_address,
)

if TYPE_CHECKING:
    from orchestr import Host

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Params(ContainerParams):
    """The image is required."""

    image: str = Field(description="your image, with a tag that is new with every build")
    port: int = Field(default=8080, ge=1, le=65535, description="the port on the host, reachable for Caddy only")
    container_port: int = Field(default=0, ge=0, le=65535, description="the port in the container; 0: the same")
    env: dict[str, str | int | float | bool | Secret] = Field(
        default={}, description="its environment, stored in /opt/webapp/.env (0600); values may be secrets"
    )
    secret_files: dict[str, SecretText] = Field(
        default={}, description="secrets it reads from files: name → content, at /run/secrets/NAME"
    )
    user: str = Field(default="", description="the numeric user it runs as, 1000:1000; empty: the image's user")
    command: tuple[str, ...] = Field(default=(), description="the command to run; empty: the image's command")
    volumes: tuple[str, ...] = Field(
        default=(), description="its persistent data: data:/data (a named volume) or /srv/data:/data"
    )
    health_path: str = Field(
        default="/", description="a path that answers 200 when it works; empty: only test that the port is open"
    )
    token_path: str = Field(
        default="",
        description="the path that issues access tokens: POST {room, identity} → {token}; verify then joins with one",
    )
    events_path: str = Field(
        default="",
        description="the path that lists LiveKit's events as JSON; verify then looks there for its own join",
    )
    start_timeout_s: int = Field(default=60, ge=1, description="time limit for its first answer")
    stop_grace_s: int = Field(default=30, ge=1, description="how long a stop waits for it to end")
    memory: str = Field(default="", description="memory limit, such as 512m")
    cpus: float | None = Field(default=None, gt=0, description="CPU limit, such as 1.5")

    @field_validator("secret_files")
    @classmethod
    def _are_names(cls, files: dict[str, Secret]) -> dict[str, Secret]:
        for name in files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a file name")
        return files

    @field_validator("user")
    @classmethod
    def _is_numeric(cls, user: str) -> str:
        if user and not re.fullmatch(r"\d+(:\d+)?", user):
            raise ValueError("expected numbers, such as 1000 or 1000:1000 (they own its files on the host)")
        return user

    @field_validator("health_path", "token_path", "events_path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError("expected a path such as /healthz")
        return path


def application(host: Host, params: Params) -> Application:
    """Return the one service, with the default site: it gets the requests that no other application takes."""
    directory = f"/opt/{host.role.name}"
    return Application(
        services=(ApplicationService(_container(host, params, directory)),),
        before=tuple(_files(params, directory)),
        ready=(_answer(host, params),),
        ports=(f"{params.port}/tcp",),
        sites=(_site(params),),
        backup=(f"{directory}/.env", f"{directory}/secrets"),
    )


def _site(params: Params) -> Site:
    return Site(
        params.port,
        check_path=params.health_path,
        takes_webhooks=True,
        token_path=params.token_path,
        events_path=params.events_path,
    )


def _files(params: Params, directory: str) -> Iterator[Resource]:
    """Yield its settings and secrets; a secret's file belongs to the user it runs as."""
    uid, _, gid = (params.user or "0").partition(":")
    yield Directory(directory, mode=0o750)
    yield EnvFile.of(f"{directory}/.env", params.env)
    if params.secret_files:
        yield Directory(f"{directory}/secrets", mode=0o700, owner=uid, group=gid or uid)
    for name, content in params.secret_files.items():
        yield File(f"{directory}/secrets/{name}", content, mode=0o600, owner=uid, group=gid or uid)


def _container(host: Host, params: Params, directory: str) -> ContainerService:
    names = tuple(f"{directory}/secrets/{name}" for name in params.secret_files)
    mounted = tuple(f"{path}:/run/secrets/{path.rpartition('/')[2]}:ro" for path in names)
    return ContainerService(
        "webapp",
        params.image,
        command=params.command,
        user=params.user,
        env_files=(f"{directory}/.env",),
        volumes=(*mounted, *params.volumes),
        ports=(f"{listen_address(host)}:{params.port}:{params.container_port or params.port}",),
        stop_grace_period_s=params.stop_grace_s,
        limits=Limits(cpus=params.cpus, memory=params.memory) if params.cpus or params.memory else None,
        config=names,
    )


def _answer(host: Host, params: Params) -> Resource:
    """Return the gate that waits until the service works."""
    address = listen_address(host)
    if not params.health_path:
        return TcpAnswer(address, params.port, timeout_s=params.start_timeout_s)
    return HttpAnswer(f"http://{address}:{params.port}{params.health_path}", timeout_s=params.start_timeout_s)
