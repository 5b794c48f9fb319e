"""LiveKit nodes that share one Redis: a room is on one node, every node carries signalling, a stop drains calls."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestr import (
    Application,
    ApplicationService,
    ContainerService,
    Directory,
    File,
    HttpAnswer,
    InputError,
    Resource,
    Rule,
    Secret,
    Site,
    Sysctl,
    TcpAnswer,
    Use,
    providers,
)

from . import versions
from .params import Params as Params
from .resources import LivekitLoad

if TYPE_CHECKING:
    from orchestr import Host

SHARED = ("keys", "image", "webhook_api_key")  # parameters that are the same on every node of a cluster
USES = (Use("redis"),)


def application(host: Host, params: Params) -> Application:
    """Return one node; its stop waits until its last participant has left, at most livekit_drain_timeout_s."""
    _assert_same_everywhere(host, params)
    return Application(
        services=(ApplicationService(_container(host, params)),),
        before=(*_files(host, params), *_redis_answers(host, params)),
        ready=(HttpAnswer(f"http://{host.address}:{params.port}/", timeout_s=60),),
        ports=_own_ports(params),
        rules=tuple(_rules(host, params)),
        sites=(Site(params.port, paths=("/rtc", "/rtc/*", "/twirp/*"), health_path="/"),),
        drains=True,
        busy=(LivekitLoad(f"{host.role.name}-livekit-1", params.node_ip or host.address),),
        can_swarm=False,
        sends_webhooks=True,
        backup=(config_path(host), *_certificate_paths(host)),
    )


def config_path(host: Host) -> str:
    """Return the path of livekit.yaml on the host."""
    return f"/opt/{host.role.name}/livekit.yaml"


def turn_key_path(host: Host) -> str:
    """Return the path of TURN's private key on the host."""
    return f"/opt/{host.role.name}/turn.key"


def _certificate_paths(host: Host) -> tuple[str, str]:
    return f"/opt/{host.role.name}/turn.crt", turn_key_path(host)


def _files(host: Host, params: Params) -> Iterator[Resource]:
    if params.rmem_max:
        yield Sysctl("net.core.rmem_max", params.rmem_max)
    yield Directory(f"/opt/{host.role.name}", mode=0o750)
    yield File(config_path(host), config_text(host, params), mode=0o600)
    if params.has_own_turn_certificate:
        certificate, key = _certificate_paths(host)
        yield File(certificate, params.turn_certificate)
        yield File(key, params.turn_private_key or "", mode=0o600)


def config_text(host: Host, params: Params) -> str | Secret:
    """Return livekit.yaml, with only the needed keys: the server refuses unknown ones."""
    address, password = redis_of(host, params)
    node_ip = "" if params.use_external_ip else params.node_ip or host.address
    return host.template(
        "livekit.yaml.j2",
        params,
        redis_address=address,
        redis_password=password,
        node_ip=node_ip,
        relay_peers=_relay_peers(host, params),
    )


def _relay_peers(host: Host, params: Params) -> list[str]:
    """Return the private networks that relays may reach; of the versions that ask for them.

    By default only the address that the node's own media has: a room's participants get the relays of its node. So an
    added node changes nothing on the others, and nobody reaches the rest of the private network by a relay.
    """
    if not versions.takes(params.known_version, versions.RELAYS_ARE_RESTRICTED):
        return []
    if params.turn_allow_restricted_peer_cidrs is not None:
        return list(params.turn_allow_restricted_peer_cidrs)
    address = host.address if params.use_external_ip else params.node_ip or host.address
    return [str(ipaddress.ip_network(address))] if ipaddress.ip_address(address).is_private else []


def _redis_answers(host: Host, params: Params) -> Iterator[TcpAnswer]:
    """Yield the wait for Redis; of several Sentinels any one suffices, so none is waited for."""
    name, _, port = redis_of(host, params)[0].rpartition(":")
    if name:
        yield TcpAnswer(name.strip("[]"), int(port), timeout_s=30)


def redis_of(host: Host, params: Params) -> tuple[str, Secret | None]:
    """Return host:port and password of the one Redis; "" where Sentinels say where it is.

    Raises InputError unless there is exactly one.
    """
    if params.redis_address or params.redis_sentinel_addresses:
        return params.redis_address, params.redis_password
    primaries = providers(host, USES[0].role)
    if len(primaries) != 1:
        names = ", ".join(provider.peer.name for provider in primaries) or "none"
        raise InputError(
            f"{host.name}: LiveKit's nodes share exactly one Redis, but the hosts with the role redis are: {names}",
            next_step="put one host into the group redis, or set livekit_redis_address (host:port)",
        )
    redis = primaries[0]
    password: Secret = params.redis_password or redis.params.password
    return f"{redis.peer.address}:{redis.params.port}", password


def _container(host: Host, params: Params) -> ContainerService:
    """Return the container: on the host's network, since publishing thousands of UDP ports brings Docker down.

    SIGTERM starts the drain: the node takes no new rooms, and ends with its last participant or at the deadline.
    """
    files = (config_path(host), *(_certificate_paths(host) if params.has_own_turn_certificate else ()))
    return ContainerService(
        "livekit",
        params.image,
        command=("--config", "/etc/livekit/livekit.yaml"),
        network_mode="host",
        volumes=tuple(f"{path}:/etc/livekit/{path.rpartition('/')[2]}:ro" for path in files),
        stop_grace_period_s=params.drain_timeout_s,
        config=files,
    )


def _rules(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the rules for media, open to everyone, and for TURN where it is on; the site opens signalling."""
    if params.tcp_port:
        yield Rule(params.tcp_port, comment="livekit media")
    yield Rule(_range(params.udp_port_start, params.udp_port_end), "udp", comment="livekit media")
    if params.turn_enabled:
        yield from _turn_rules(host, params)


def _turn_rules(host: Host, params: Params) -> Iterator[Rule]:
    if params.turn_udp_port:
        yield Rule(params.turn_udp_port, "udp", comment="livekit TURN")
    if params.turn_tls_port:
        yield Rule(params.turn_tls_port, comment="livekit TURN TLS")
    others = tuple(peer.address for peer in host.with_role(host.role.name) if peer.name != host.name)
    if others:
        relays = _range(params.turn_relay_start, params.turn_relay_end)
        yield Rule(relays, "udp", sources=others, comment="livekit TURN relays")


def _range(first: int, last: int) -> int | str:
    return first if first == last else f"{first}:{last}"


def _own_ports(params: Params) -> tuple[str, ...]:
    """Return the ports that no other program may use; of the media range the server uses the free ports."""
    tcp = (params.port, params.tcp_port, params.turn_tls_port if params.turn_enabled else 0, params.prometheus_port)
    udp = (params.turn_udp_port if params.turn_enabled else 0,)
    return tuple(f"{port}/tcp" for port in tcp if port) + tuple(f"{port}/udp" for port in udp if port)


def _assert_same_everywhere(host: Host, params: Params) -> None:
    """Raise InputError if nodes of one cluster differ in keys: they would refuse each other's participants."""
    for peer in host.with_role(host.role.name):
        theirs = peer.params(host.role.name)
        for name in SHARED:
            if getattr(theirs, name) != getattr(params, name):
                values = "API keys" if name == "keys" else f"livekit_{name}"
                raise InputError(
                    f"{host.name} and {peer.name} are nodes of one LiveKit cluster, and their {values} differ",
                    next_step="set it once, in the vars of the group livekit",
                )
