"""One Redis with a password, in a container, reachable only from the hosts that need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from orchestr import (
    Application,
    ApplicationService,
    Command,
    ContainerParams,
    ContainerService,
    Data,
    Deploy,
    Directory,
    File,
    HealthCheck,
    InputError,
    MountedFile,
    Resource,
    Rule,
    Secret,
    SecretText,
    clients,
)

if TYPE_CHECKING:
    from orchestr import Host

CONFIG = "/usr/local/etc/redis/redis.conf"  # in the container
DEFAULT_PORT = 6379
SHORTEST_PASSWORD = 16


class Params(ContainerParams):
    """Only the password is required."""

    image: str = Field(default="redis:7.2.5", description="the image, with its tag")
    password: SecretText = Field(description="password that clients log in with; at least 16 characters")
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535, description="the port it listens on")
    clients: tuple[str, ...] | None = Field(
        default=None,
        description="the hosts that may connect: groups, hosts, addresses, networks; "
        "not set: the hosts with a role that uses this Redis",
    )
    maxmemory: str = Field(default="", description="memory limit of the data, such as 512mb; empty: no limit")
    maxmemory_policy: str = Field(default="noeviction", description="eviction policy at that limit")
    appendonly: bool = Field(default=True, description="write every change to disk within a second")
    user_id: int = Field(default=999, ge=1, description="numeric id of Redis' user in the image, which owns its files")
    backup_data: bool = Field(
        default=False, description="include the data in backups, not only the configuration (rooms are short-lived)"
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


def application(host: Host, params: Params) -> Application:
    """Return Redis: inside another application's network, or on its own with a port for the hosts that use it."""
    if host.role.within:
        return Application(
            services=(_service_inside(host, params),), data=(Data("redis-data", "redis", volume="redis-data"),)
        )
    _assert_alone(host)
    directory = f"/opt/{host.role.name}"
    return Application(
        services=(_service(host, params),),
        before=_files(host, params),
        ports=(f"{params.port}/tcp",),
        rules=firewall_rules(host, params),
        backup=_backup_paths(host, params, directory),
        saves=_saves(host, params),
    )


def _service(host: Host, params: Params) -> ApplicationService:
    """Return the service. Its probe needs no password: the refusal NOAUTH shows that Redis works."""
    probe = f"redis-cli -h 127.0.0.1 -p {params.port} ping 2>&1 | grep -Eq 'PONG|NOAUTH'"
    config = config_path(host)
    container = ContainerService(
        "redis",
        params.image,
        command=("redis-server", CONFIG),
        user=f"{params.user_id}:{params.user_id}",
        network_mode="host",
        volumes=(f"{config}:{CONFIG}:ro", f"/opt/{host.role.name}/data:/data"),
        healthcheck=HealthCheck(probe, interval_s=5, timeout_s=3, retries=5, start_period_s=30),
        stop_grace_period_s=30,
        config=(config,),
    )
    return ApplicationService(container)


def _service_inside(host: Host, params: Params) -> ApplicationService:
    """Return the service at the default port of an application's network, with the same password and settings."""
    inside = params.model_copy(update={"port": DEFAULT_PORT})
    config = host.template("redis.conf.j2", inside, addresses=("*",))
    container = ContainerService(
        "redis",
        params.image,
        command=("redis-server", CONFIG),
        user=f"{params.user_id}:{params.user_id}",
        volumes=("redis-data:/data",),
        healthcheck=HealthCheck("redis-cli -h 127.0.0.1 ping 2>&1 | grep -Eq 'PONG|NOAUTH'", 5, 3, 5, 30),
        stop_grace_period_s=30,
    )
    file = MountedFile(CONFIG, config, "redis.conf", mode=0o400, uid=params.user_id, gid=params.user_id)
    return ApplicationService(container, files=(file,), deploy=Deploy(endpoint_mode="dnsrr"))


def _files(host: Host, params: Params) -> tuple[Resource, ...]:
    owner, directory = str(params.user_id), f"/opt/{host.role.name}"
    config = host.template("redis.conf.j2", params, addresses=bind_addresses(host))
    return (
        Directory(directory, mode=0o750),
        Directory(f"{directory}/data", mode=0o700, owner=owner, group=owner),
        File(config_path(host), config, mode=0o600, owner=owner, group=owner),
    )


def config_path(host: Host) -> str:
    """Return the path of its configuration on the host."""
    return f"/opt/{host.role.name}/redis.conf"


def container_name(host: Host) -> str:
    """Return the name that compose gives its container."""
    return f"{host.role.name}-redis-1"


def bind_addresses(host: Host) -> tuple[str, ...]:
    """Return the addresses that Redis listens on: loopback, and the address that peers use.

    It always listens on both, so that a second machine needs no restart: the firewall keeps other hosts out.
    Raises InputError if that address does not belong to the host.
    """
    own = host.facts.get("addresses")
    if own and host.address not in own:
        raise InputError(
            f"{host.name}: {host.address} is not an address of this machine (it has {', '.join(own)}), "
            "so Redis cannot listen on it",
            next_step=f"set private_address of {host.name} to the address that its peers use",
        )
    return tuple(dict.fromkeys(("127.0.0.1", host.address)))


def firewall_rules(host: Host, params: Params) -> tuple[Rule, ...]:
    """Return the rule for the other hosts that use it; inside an application there is none."""
    if host.role.within:
        return ()
    if params.clients is not None:
        sources = host.sources(*params.clients)
    else:
        sources = tuple(dict.fromkeys(peer.address for peer in clients(host)))
    return (Rule(params.port, sources=sources, comment=host.role.name),) if sources else ()


def _backup_paths(host: Host, params: Params, directory: str) -> tuple[str, ...]:
    return (config_path(host), *((f"{directory}/data/dump.rdb",) if params.backup_data else ()))


def _saves(host: Host, params: Params) -> tuple[Resource, ...]:
    if not params.backup_data:
        return ()
    password = params.password.reveal()
    client = ("docker", "exec", "-i", container_name(host), "redis-cli", "-e", "-p", str(params.port))
    script = Secret(f"AUTH {password}\nSAVE\n", (password,))
    return (Command(client, input=script, stream=False, label_text="redis SAVE"),)


def _assert_alone(host: Host) -> None:
    names = [peer.name for peer in host.with_role(host.role.name)]
    if len(names) > 1:
        raise InputError(
            f"the role {host.role.name} is a single Redis, but {len(names)} hosts have it: {', '.join(names)}",
            next_step=f"keep one host in the group {host.role.name}: the others connect to it",
        )
