"""One Redis with a password, in a container, reachable from the hosts that need it and from nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from orchestr.agent.resource import Resource, Task
from orchestr.applications.container_role import ContainerParams, image, restarted, running, started, stopped
from orchestr.containers.compose import ContainerService, HealthCheck
from orchestr.errors import InputError
from orchestr.planning.role import SecretText
from orchestr.resources.archives import Archive
from orchestr.resources.commands import Command
from orchestr.resources.files import Directory, File
from orchestr.resources.firewall.firewall import Rule
from orchestr.resources.ports import PortsFree
from orchestr.secret import Secret

from .in_system import system_services as system_services

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

DIRECTORY = "/opt/redis"
CONFIG = f"{DIRECTORY}/redis.conf"
SHORTEST_PASSWORD = 16
#: Roles whose hosts are let in without being named.
CLIENT_ROLES = ("livekit",)
#: Roles that run Redis themselves, as a part of their system; this role then brings the image only.
SYSTEM_ROLES = ("chatsystem",)


class Params(ContainerParams):
    """Only the password is required."""

    image: str = Field(default="redis:7.2.5", description="the image, with its tag")
    password: SecretText = Field(description="what clients log in with; at least 16 characters")
    port: int = Field(default=6379, ge=1, le=65535, description="the port it listens on")
    clients: tuple[str, ...] | None = Field(
        default=None,
        description="who may connect from other hosts: groups, hosts, addresses, networks; "
        "not set: the hosts with a role that uses Redis (livekit)",
    )
    maxmemory: str = Field(default="", description="the most memory its data may take, such as 512mb; empty: no limit")
    maxmemory_policy: str = Field(default="noeviction", description="what to do when that is reached")
    appendonly: bool = Field(default=True, description="write every change to disk within a second")
    user_id: int = Field(default=999, ge=1, description="the user id of Redis in the image, who owns its files")
    backup_data: bool = Field(
        default=False, description="backups hold the data too, not only the configuration (rooms are short-lived)"
    )

    @field_validator("password")
    @classmethod
    def _is_strong(cls, password: Secret) -> Secret:
        text = password.reveal()
        if len(text) < SHORTEST_PASSWORD:
            raise ValueError(f"the password has fewer than {SHORTEST_PASSWORD} characters")
        if not all("!" <= char <= "~" and char not in "\"'\\" for char in text):
            raise ValueError("the password may hold letters, digits and punctuation but no space, quote or backslash")
        return password


def bind_addresses(host: Host) -> tuple[str, ...]:
    """Return where Redis listens: loopback, and the address peers use. Raises InputError when that is not the host's.

    It listens there from the first day, so that a second machine needs no restart: the firewall keeps others out.
    """
    own = host.facts.get("addresses")
    if own and host.address not in own:
        raise InputError(
            f"{host.name}: {host.address} is not an address of this machine (it has {', '.join(own)}), "
            "so Redis cannot listen on it",
            next_step=f"set private_address of {host.name} to the one its peers use",
        )
    return tuple(dict.fromkeys(("127.0.0.1", host.address)))


def services(host: Host, params: Params) -> list[ContainerService]:
    """Return the one service. Its probe has no password to show: a refusal (NOAUTH) proves life as well."""
    probe = f"redis-cli -h 127.0.0.1 -p {params.port} ping 2>&1 | grep -Eq 'PONG|NOAUTH'"
    owner = f"{params.user_id}:{params.user_id}"
    return [
        ContainerService(
            "redis",
            params.image,
            command=("redis-server", "/usr/local/etc/redis/redis.conf"),
            user=owner,
            network_mode="host",
            volumes=(f"{CONFIG}:/usr/local/etc/redis/redis.conf:ro", f"{DIRECTORY}/data:/data"),
            healthcheck=HealthCheck(probe, interval_s=5, timeout_s=3, retries=5, start_period_s=30),
            stop_grace_period_s=30,
            config=(CONFIG,),
        )
    ]


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield Redis, configured and healthy."""
    _assert_alone(host)
    if is_part_of_a_system(host):
        yield image(host, params)[0]
        return
    owner = str(params.user_id)
    yield PortsFree((f"{params.port}/tcp",), project="redis")
    yield Directory(DIRECTORY, mode=0o750)
    yield Directory(f"{DIRECTORY}/data", mode=0o700, owner=owner, group=owner)
    config = host.template("redis.conf.j2", params, addresses=bind_addresses(host))
    yield File(CONFIG, config, mode=0o600, owner=owner, group=owner)
    yield from running(host, params, DIRECTORY, services(host, params))


def is_part_of_a_system(host: Host) -> bool:
    """Tell whether another role runs Redis, inside its own network."""
    return any(host.with_role(role) for role in SYSTEM_ROLES)


def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the way in for other hosts that need it; the host itself comes by loopback rules."""
    if is_part_of_a_system(host):
        return
    if params.clients is not None:
        sources = host.sources(*params.clients)
    else:
        peers = (peer for role in CLIENT_ROLES for peer in host.with_role(role))
        sources = tuple(dict.fromkeys(peer.address for peer in peers if peer.name != host.name))
    if sources:
        yield Rule(params.port, sources=sources, comment="redis")


def _assert_alone(host: Host) -> None:
    names = [peer.name for peer in host.with_role("redis")]
    if len(names) > 1:
        raise InputError(
            f"the role redis is one Redis, and {len(names)} hosts are to get it: {', '.join(names)}",
            next_step="leave one host in the group redis: the others connect to it, a second one would stay empty",
        )


def preflight(host: Host, params: Params) -> Iterator[Resource]:
    """Yield what must hold before anything is changed."""
    if is_part_of_a_system(host):
        return
    yield PortsFree((f"{params.port}/tcp",), project="redis")


def start(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it running."""
    if is_part_of_a_system(host):
        return
    yield from started(host, params, DIRECTORY, services(host, params))


def stop(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it stopped."""
    if is_part_of_a_system(host):
        return
    yield from stopped(DIRECTORY, services(host, params))


def restart(host: Host, params: Params) -> Iterator[Task]:
    """Yield a restart."""
    if is_part_of_a_system(host):
        return
    yield from restarted(DIRECTORY, services(host, params))


def backup(host: Host, params: Params) -> Iterator[Resource]:
    """Yield an archive of the configuration, and of a snapshot of the data where that is asked for."""
    if is_part_of_a_system(host):
        return
    paths = [CONFIG, f"{DIRECTORY}/compose.yaml"]
    if params.backup_data:
        said = Secret(f"AUTH {params.password.reveal()}\nSAVE\n", (params.password.reveal(),))
        client = ("docker", "exec", "-i", "redis-redis-1", "redis-cli", "-e", "-p", str(params.port))
        yield Command(client, input=said, stream=False, label_text="redis SAVE")
        paths.append(f"{DIRECTORY}/data/dump.rdb")
    yield Archive("redis", tuple(paths), may_be_empty=True)
