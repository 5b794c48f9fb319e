"""Routes of a reverse proxy to the sites of all applications of a playbook, and the hosts that are proxies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestr.containers.checked import Checked

if TYPE_CHECKING:
    from orchestr.applications.model import Site
    from orchestr.planning.plan import Host, Peer

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Route:
    """A site, its application, and ``host:port`` of every host that serves it; the proxy's own host by loopback."""

    application: str
    site: Site
    upstreams: tuple[str, ...]


@dataclass(frozen=True)
class FrontDoor(Checked):
    """The users' entry to an application at a proxy: the domain, and the authority of its certificate.

    ``authority`` is a file on the proxy's host with its own authority; "" for a public one. ``is_verified`` is False if
    checks must not verify the certificate.
    """

    name: str
    authority: str = ""
    is_verified: bool = True
    logs: str = ""


def routes(host: Host) -> list[Route]:
    """Return the routes of all applications in the playbook, in its order."""
    sites: dict[tuple[str, Site], list[str]] = {}
    for role in host.roles_in_playbook():
        if role.describe is None or role.within or role.is_proxy:
            continue
        for peer in host.with_role(role.name):
            application = peer.application(role.name)
            for site in application.sites if application else ():
                sites.setdefault((role.name, site), []).append(upstream(host, peer, site.port))
    return [Route(name, site, tuple(dict.fromkeys(addresses))) for (name, site), addresses in sites.items()]


def upstream(host: Host, peer: Peer, port: int) -> str:
    """Return the address ``host:port`` of a peer for connections from this host."""
    address = LOOPBACK if peer.name == host.name else peer.address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def proxies(host: Host) -> list[Peer]:
    """Return the hosts with a role that is a reverse proxy, each once."""
    names = [role.name for role in host.roles_in_playbook() if role.is_proxy]
    return list({peer.name: peer for name in names for peer in host.with_role(name)}.values())


def proxy_addresses(host: Host) -> tuple[str, ...]:
    """Return the addresses of the proxies on other hosts."""
    return tuple(peer.address for peer in proxies(host) if peer.name != host.name)


def listen_address(host: Host) -> str:
    """Return the listen address of a service for proxies only: loopback, unless a proxy is on another host."""
    return host.address if proxy_addresses(host) else LOOPBACK


def webhook_senders(host: Host) -> Iterator[Peer]:
    """Yield the hosts of applications that send webhooks to a site of another one, each once."""
    known: set[str] = set()
    for role in host.roles_in_playbook():
        if role.describe is None or role.within or role.is_proxy:
            continue
        for peer in host.with_role(role.name):
            application = peer.application(role.name)
            if application is not None and application.sends_webhooks and peer.name not in known:
                known.add(peer.name)
                yield peer
