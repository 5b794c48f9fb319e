"""Caddy before it all: TLS, LiveKit's paths to its nodes, everything else to the webapp; changes come by reload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestr.agent.resource import Resource, Task
from orchestr.applications.container_role import restarted, running, started, stopped
from orchestr.containers.compose import ContainerService, Reload
from orchestr.resources.archives import Archive
from orchestr.resources.files import Directory, File
from orchestr.resources.firewall.firewall import Rule
from orchestr.resources.ports import PortsFree
from orchestr.resources.probes import TcpAnswer

from .params import Params as Params

if TYPE_CHECKING:
    from orchestr.planning.plan import Host, Peer

DIRECTORY = "/opt/caddy"
CADDYFILE = f"{DIRECTORY}/etc/Caddyfile"
CERTIFICATE, PRIVATE_KEY = f"{DIRECTORY}/etc/site.crt", f"{DIRECTORY}/etc/site.key"
ADMIN = "unix//run/caddy-admin.sock"  # inside the container: the usual TCP port would be open to all of the host


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield Caddy with its present upstreams; a changed Caddyfile is reloaded, and a wrong one refused."""
    yield PortsFree(_own_ports(params), project="caddy")
    yield Directory(DIRECTORY, mode=0o750)
    for name in ("etc", "data", "config"):
        yield Directory(f"{DIRECTORY}/{name}", mode=0o700)
    if params.tls == "files":
        yield File(CERTIFICATE, params.certificate)
        yield File(PRIVATE_KEY, params.private_key or "", mode=0o600)
    yield File(CADDYFILE, caddyfile(host, params), mode=0o600)
    yield from running(host, params, DIRECTORY, services(params))
    yield TcpAnswer("127.0.0.1", 443, timeout_s=30)


def caddyfile(host: Host, params: Params) -> str:
    """Return the Caddyfile."""
    text = host.template(
        "Caddyfile.j2",
        params,
        admin=ADMIN,
        nodes=livekit_nodes(host, params),
        webapp=webapp_address(host),
        private_address=host.address,
    )
    return str(text)


def livekit_nodes(host: Host, params: Params) -> tuple[str, ...]:
    """Return host:port of every LiveKit node, here first by loopback, and of those still to come."""
    found = [_upstream(host, peer, peer.params("livekit").port) for peer in host.with_role("livekit")]
    return tuple(dict.fromkeys((*found, *params.spare_upstreams)))


def webapp_address(host: Host) -> str:
    """Return host:port of the business service, "" where there is none."""
    for peer in host.with_role("webapp"):
        return _upstream(host, peer, peer.params("webapp").port)
    return ""


def _upstream(host: Host, peer: Peer, port: int) -> str:
    address = "127.0.0.1" if peer.name == host.name else peer.address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def services(params: Params) -> list[ContainerService]:
    """Return the one service, on the host's network so that it sees who its clients are."""
    files = (CADDYFILE, *((CERTIFICATE, PRIVATE_KEY) if params.tls == "files" else ()))
    arguments = ("--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    return [
        ContainerService(
            "caddy",
            params.image,
            command=("caddy", "run", *arguments),
            network_mode="host",
            environment={"XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "/config"},
            volumes=(f"{DIRECTORY}/etc:/etc/caddy:ro", f"{DIRECTORY}/data:/data", f"{DIRECTORY}/config:/config"),
            stop_grace_period_s=params.stop_grace_s,
            # Forced, because a certificate that changed leaves the Caddyfile as it is.
            reload=Reload(files, ("caddy", "reload", "--force", "--address", ADMIN, *arguments)),
        )
    ]


def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the site for everyone, and the webhooks' way in for LiveKit's hosts."""
    yield Rule(80, comment="caddy")
    yield Rule(443, comment="caddy")
    yield Rule(443, "udp", comment="caddy HTTP/3")
    senders = tuple(peer.address for peer in host.with_role("livekit") if peer.name != host.name)
    if params.webhook_port and senders:
        yield Rule(params.webhook_port, sources=senders, comment="livekit webhooks")


def _own_ports(params: Params) -> tuple[str, ...]:
    return ("80/tcp", "443/tcp", *((f"{params.webhook_port}/tcp",) if params.webhook_port else ()))


def preflight(host: Host, params: Params) -> Iterator[Resource]:
    """Yield what must hold before anything is changed."""
    yield PortsFree(_own_ports(params), project="caddy")


def start(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it running."""
    yield from started(host, params, DIRECTORY, services(params))


def stop(host: Host, params: Params) -> Iterator[Resource]:
    """Yield it stopped."""
    yield from stopped(DIRECTORY, services(params))


def restart(host: Host, params: Params) -> Iterator[Task]:
    """Yield a restart, which closes every connection; a run after a change reloads instead."""
    yield from restarted(DIRECTORY, services(params))


def backup(host: Host, params: Params) -> Iterator[Resource]:
    """Yield an archive of the Caddyfile and of Caddy's data: certificates, their keys and the account."""
    yield Archive("caddy", (f"{DIRECTORY}/etc", f"{DIRECTORY}/data", f"{DIRECTORY}/compose.yaml"), may_be_empty=True)
