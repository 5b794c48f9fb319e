"""LiveKit nodes that share one Redis: rooms live on one node, any node carries signalling, a stop lets calls end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource, Task
from orchestr.applications.container_role import restarted, running, started, stopped
from orchestr.containers.compose import ContainerService
from orchestr.errors import InputError
from orchestr.resources.archives import Archive
from orchestr.resources.files import Directory, File
from orchestr.resources.firewall.firewall import Rule
from orchestr.resources.ports import PortsFree
from orchestr.resources.probes import HttpAnswer, TcpAnswer
from orchestr.resources.sysctl import Sysctl
from orchestr.secret import Secret

from .params import Params as Params

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

DIRECTORY = "/opt/livekit"
CONFIG = f"{DIRECTORY}/livekit.yaml"
TURN_CERTIFICATE, TURN_KEY = f"{DIRECTORY}/turn.crt", f"{DIRECTORY}/turn.key"


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield a node that serves; the next one comes only when it answers 200."""
    _assert_same_everywhere(host, params)
    address, _ = redis_of(host, params)
    if params.rmem_max:
        yield Sysctl("net.core.rmem_max", params.rmem_max)
    yield PortsFree(_own_ports(params), project="livekit")
    yield Directory(DIRECTORY, mode=0o750)
    yield File(CONFIG, config_text(host, params), mode=0o600)
    if params.has_own_turn_certificate:
        yield File(TURN_CERTIFICATE, params.turn_certificate)
        yield File(TURN_KEY, params.turn_private_key or "", mode=0o600)
    redis_host, _, redis_port = address.rpartition(":")
    yield TcpAnswer(redis_host.strip("[]"), int(redis_port), timeout_s=30)
    yield from running(host, params, DIRECTORY, services(params))
    yield answers(host, params)


def config_text(host: Host, params: Params) -> str | Secret:
    """Return livekit.yaml; the server refuses unknown keys in it, so it says no more than needed."""
    address, password = redis_of(host, params)
    node_ip = "" if params.use_external_ip else params.node_ip or host.address
    return host.template("livekit.yaml.j2", params, redis_address=address, redis_password=password, node_ip=node_ip)


def redis_of(host: Host, params: Params) -> tuple[str, Secret | None]:
    """Return host:port and password of the one Redis. Raises InputError unless there is exactly one."""
    if params.redis_address:
        return params.redis_address, params.redis_password
    primaries = host.with_role("redis")
    if len(primaries) != 1:
        found = ", ".join(peer.name for peer in primaries) or "none"
        raise InputError(
            f"{host.name}: LiveKit's nodes share exactly one Redis, and the hosts with the role redis are: {found}",
            next_step="put one host into the group redis, or set livekit_redis_address (host:port)",
        )
    theirs = primaries[0].params("redis")
    password: Secret = params.redis_password or theirs.password
    return f"{primaries[0].address}:{theirs.port}", password


def services(params: Params) -> list[ContainerService]:
    """Return the one service: on the host's network, since publishing thousands of UDP ports brings Docker down.

    SIGTERM makes it drain: no new rooms, and it ends with its last participant or at the deadline.
    """
    files = (CONFIG, *((TURN_CERTIFICATE, TURN_KEY) if params.has_own_turn_certificate else ()))
    return [
        ContainerService(
            "livekit",
            params.image,
            command=("--config", "/etc/livekit/livekit.yaml"),
            network_mode="host",
            volumes=tuple(f"{path}:/etc/livekit/{path.rpartition('/')[2]}:ro" for path in files),
            stop_grace_period_s=params.drain_timeout_s,
            config=files,
        )
    ]


def answers(host: Host, params: Params, timeout_s: float = 60) -> HttpAnswer:
    """Return the gate of a healthy node: 200, where one that lost its Redis says 406."""
    return HttpAnswer(f"http://{host.address}:{params.port}/", timeout_s=timeout_s)


def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield signalling for Caddy alone, media for everyone, TURN only where it is on."""
    callers = tuple(peer.address for peer in host.with_role("caddy") if peer.name != host.name)
    if callers:
        yield Rule(params.port, sources=callers, comment="livekit signalling")
    if params.tcp_port:
        yield Rule(params.tcp_port, comment="livekit media")
    yield Rule(_range(params.udp_port_start, params.udp_port_end), "udp", comment="livekit media")
    if params.turn_enabled:
        yield from _turn_ports(host, params)


def _turn_ports(host: Host, params: Params) -> Iterator[Rule]:
    if params.turn_udp_port:
        yield Rule(params.turn_udp_port, "udp", comment="livekit TURN")
    if params.turn_tls_port:
        yield Rule(params.turn_tls_port, comment="livekit TURN TLS")
    others = tuple(peer.address for peer in host.with_role("livekit") if peer.name != host.name)
    if others:
        relays = _range(params.turn_relay_start, params.turn_relay_end)
        yield Rule(relays, "udp", sources=others, comment="livekit TURN relays")


def _range(first: int, last: int) -> int | str:
    return first if first == last else f"{first}:{last}"


def _own_ports(params: Params) -> tuple[str, ...]:
    """Return ports that must not be somebody else's; of the media range the server takes what is free."""
    tcp = (params.port, params.tcp_port, params.turn_tls_port if params.turn_enabled else 0, params.prometheus_port)
    udp = (params.turn_udp_port if params.turn_enabled else 0,)
    return tuple(f"{port}/tcp" for port in tcp if port) + tuple(f"{port}/udp" for port in udp if port)


def _assert_same_everywhere(host: Host, params: Params) -> None:
    """Nodes of one cluster that differ in keys would refuse each other's participants now and then."""
    for peer in host.with_role("livekit"):
        theirs = peer.params("livekit")
        for name in ("keys", "image", "webhook_api_key"):
            if getattr(theirs, name) != getattr(params, name):
                what = "API keys" if name == "keys" else f"livekit_{name}"
                raise InputError(
                    f"{host.name} and {peer.name} are nodes of one LiveKit cluster, and their {what} differ",
                    next_step="set it once, in the vars of the group livekit",
                )


def preflight(host: Host, params: Params) -> Iterator[Resource]:
    """Yield what must hold before anything is changed."""
    yield PortsFree(_own_ports(params), project="livekit")


def start(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it running, and answering."""
    yield from started(host, params, DIRECTORY, services(params))
    yield answers(host, params)


def drain(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it stopped, after its last participant has left or livekit_drain_timeout_s is over."""
    yield from stopped(DIRECTORY, services(params))


stop = drain


def restart(host: Host, params: Params) -> Iterator[Task | Resource]:
    """Yield a restart: it drains first, so that calls end before it does."""
    yield from restarted(DIRECTORY, services(params))
    yield answers(host, params)


def backup(host: Host, params: Params) -> Iterator[Resource]:
    """Yield an archive of configuration and keys; rooms live in Redis."""
    paths: tuple[Any, ...] = (CONFIG, f"{DIRECTORY}/compose.yaml", TURN_CERTIFICATE, TURN_KEY)
    yield Archive("livekit", paths, may_be_empty=True)
