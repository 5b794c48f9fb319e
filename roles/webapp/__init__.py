"""Your own service, from any image: its settings and secrets, and a port that only Caddy reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from orchestr.agent.resource import Resource, Task
from orchestr.applications.container_role import ContainerParams, restarted, running, started, stopped
from orchestr.containers.compose import ContainerService, Limits
from orchestr.planning.role import SecretText
from orchestr.resources.archives import Archive
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File
from orchestr.resources.firewall.firewall import Rule
from orchestr.resources.ports import PortsFree
from orchestr.resources.probes import HttpAnswer, TcpAnswer
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

DIRECTORY = "/opt/webapp"
ENVIRONMENT = f"{DIRECTORY}/.env"
SECRETS = f"{DIRECTORY}/secrets"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Params(ContainerParams):
    """The image is required."""

    image: str = Field(description="your image, with a tag that is new with every build")
    port: int = Field(default=8080, ge=1, le=65535, description="the port on the host, reachable for Caddy only")
    container_port: int = Field(default=0, ge=0, le=65535, description="the port in the container; 0: the same")
    env: dict[str, str | int | float | bool | Secret] = Field(
        default={}, description="its environment, kept in /opt/webapp/.env (0600); values may be secrets"
    )
    secret_files: dict[str, SecretText] = Field(
        default={}, description="secrets it reads from files: name → content, found at /run/secrets/NAME"
    )
    user: str = Field(default="", description="the numeric user it runs as, 1000:1000; empty: the image's own")
    command: tuple[str, ...] = Field(default=(), description="what to run; empty: the image's own command")
    volumes: tuple[str, ...] = Field(
        default=(), description="what it keeps: data:/data (a named volume) or /srv/data:/data"
    )
    health_path: str = Field(
        default="/", description="a path that answers 200 when it works; empty: a connection is enough"
    )
    token_path: str = Field(
        default="",
        description="where it gives access tokens: POST {room, identity} → {token}; verify then joins with one",
    )
    events_path: str = Field(
        default="",
        description="where it shows LiveKit's events, a JSON list; verify then looks there for its own join",
    )
    start_timeout_s: int = Field(default=60, ge=1, description="how long it may take to answer")
    stop_grace_s: int = Field(default=30, ge=1, description="how long a stop waits for it to end")
    memory: str = Field(default="", description="the most memory it may take, such as 512m")
    cpus: float | None = Field(default=None, gt=0, description="the most CPU it may take: 1.5")

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
            raise ValueError("expected numbers, such as 1000 or 1000:1000 (its files on the host belong to them)")
        return user

    @field_validator("health_path", "token_path", "events_path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError("expected a path such as /healthz")
        return path


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the service, answering."""
    uid, _, gid = (params.user or "0").partition(":")
    yield PortsFree((f"{params.port}/tcp",), project="webapp")
    yield Directory(DIRECTORY, mode=0o750)
    yield EnvFile.of(ENVIRONMENT, params.env)
    if params.secret_files:
        yield Directory(SECRETS, mode=0o700, owner=uid, group=gid or uid)
    for name, content in params.secret_files.items():
        yield File(f"{SECRETS}/{name}", content, mode=0o600, owner=uid, group=gid or uid)
    yield from running(host, params, DIRECTORY, services(host, params))
    yield answers(host, params)


def listen_address(host: Host) -> str:
    """Return loopback where Caddy is on this host, or nowhere; else the private address."""
    callers = {peer.name for peer in host.with_role("caddy")}
    return "127.0.0.1" if callers <= {host.name} else host.address


def services(host: Host, params: Params) -> list[ContainerService]:
    """Return the one service."""
    names = tuple(f"{SECRETS}/{name}" for name in params.secret_files)
    mounted = tuple(f"{path}:/run/secrets/{path.rpartition('/')[2]}:ro" for path in names)
    return [
        ContainerService(
            "webapp",
            params.image,
            command=params.command,
            user=params.user,
            env_files=(ENVIRONMENT,),
            volumes=(*mounted, *params.volumes),
            ports=(f"{listen_address(host)}:{params.port}:{params.container_port or params.port}",),
            stop_grace_period_s=params.stop_grace_s,
            limits=Limits(cpus=params.cpus, memory=params.memory) if params.cpus or params.memory else None,
            config=names,
        )
    ]


def answers(host: Host, params: Params) -> Resource:
    """Return the gate of a working service."""
    address = listen_address(host)
    if not params.health_path:
        return TcpAnswer(address, params.port, timeout_s=params.start_timeout_s)
    return HttpAnswer(f"http://{address}:{params.port}{params.health_path}", timeout_s=params.start_timeout_s)


def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the way in for a Caddy on another host; on the same one it needs none."""
    callers = tuple(peer.address for peer in host.with_role("caddy") if peer.name != host.name)
    if callers:
        yield Rule(params.port, sources=callers, comment="webapp")


def preflight(host: Host, params: Params) -> Iterator[Resource]:
    """Yield what must hold before anything is changed."""
    yield PortsFree((f"{params.port}/tcp",), project="webapp")


def start(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it running, and answering."""
    yield from started(host, params, DIRECTORY, services(host, params))
    yield answers(host, params)


def stop(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it stopped."""
    yield from stopped(DIRECTORY, services(host, params))


def restart(host: Host, params: Params) -> Iterator[Task | Resource]:
    """Yield a restart."""
    yield from restarted(DIRECTORY, services(host, params))
    yield answers(host, params)


def backup(host: Host, params: Params) -> Iterator[Resource]:
    """Yield an archive of its settings and secrets; its volumes are yours to back up."""
    yield Archive("webapp", (ENVIRONMENT, SECRETS, f"{DIRECTORY}/compose.yaml"), may_be_empty=True)
