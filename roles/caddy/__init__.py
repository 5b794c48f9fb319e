"""Caddy in front of the applications: TLS, and a route from each site to its hosts; changes are reloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestr import (
    Application,
    ApplicationService,
    ContainerService,
    Directory,
    File,
    FrontDoor,
    InputError,
    Reload,
    Resource,
    Rule,
    TcpAnswer,
    routes,
)
from orchestr.applications.routes import Route, webhook_senders

from .params import Params as Params

if TYPE_CHECKING:
    from orchestr import Host

IS_PROXY = True
AUTHORITY = "/opt/{name}/data/caddy/pki/authorities/local/root.crt"
ADMIN = "unix//run/caddy-admin.sock"  # inside the container: every user of the host could connect to the usual TCP port


@dataclass(frozen=True)
class Backend:
    """The upstreams of an application; with a health path, only healthy upstreams get requests."""

    name: str
    domain: str
    paths: tuple[str, ...]
    upstreams: tuple[str, ...]
    health_path: str
    takes_webhooks: bool


def application(host: Host, params: Params) -> Application:
    """Return Caddy with its present upstreams; a changed Caddyfile is reloaded, and an invalid one refused."""
    directory = f"/opt/{host.role.name}"
    return Application(
        services=(ApplicationService(_container(host, params)),),
        before=tuple(_files(host, params)),
        ready=(TcpAnswer("127.0.0.1", 443, timeout_s=30),),
        ports=("80/tcp", "443/tcp", *((f"{params.webhook_port}/tcp",) if params.webhook_port else ())),
        rules=tuple(_rules(host, params)),
        can_swarm=False,
        backup=(f"{directory}/etc", f"{directory}/data"),
    )


def front_door(host: Host, params: Params, application: str) -> FrontDoor:
    """Return the front door of an application: its public name and the authority of its certificate."""
    backend = next((backend for backend in backends(host, params) if backend.name == application), None)
    return FrontDoor(
        name=backend.domain if backend else params.domain,
        authority=AUTHORITY.format(name=host.role.name) if params.tls == "internal" else "",
        is_verified=params.tls != "files",  # the controller may not know the authority of a given certificate
        logs=f"docker logs {host.role.name}-caddy-1 on {host.name}",
    )


def caddyfile_path(host: Host) -> str:
    """Return the path of the Caddyfile on the host."""
    return f"/opt/{host.role.name}/etc/Caddyfile"


def private_key_path(host: Host) -> str:
    """Return the path of the given certificate's private key on the host."""
    return f"/opt/{host.role.name}/etc/site.key"


def _files(host: Host, params: Params) -> Iterator[Resource]:
    directory = f"/opt/{host.role.name}"
    yield Directory(directory, mode=0o750)
    for name in ("etc", "data", "config"):
        yield Directory(f"{directory}/{name}", mode=0o700)
    if params.tls == "files":
        yield File(f"{directory}/etc/site.crt", params.certificate)
        yield File(private_key_path(host), params.private_key or "", mode=0o600)
    yield File(caddyfile_path(host), caddyfile(host, params), mode=0o600)


def caddyfile(host: Host, params: Params) -> str:
    """Return the Caddyfile."""
    every = backends(host, params)
    text = host.template(
        "Caddyfile.j2",
        params,
        admin=ADMIN,
        backends=every,
        by_domain=_by_domain(every, params.domain),
        webhooks=next((backend for backend in every if backend.takes_webhooks), None),
        private_address=host.address,
    )
    return str(text)


def backends(host: Host, params: Params) -> list[Backend]:
    """Return a backend for each site of the playbook's applications.

    Raises InputError for a domain or paths of an application that the playbook does not have.
    """
    every = [_backend(route, params) for route in routes(host)]
    names = {backend.name for backend in every}
    for application in (*params.domains, *params.paths):
        if application not in names:
            raise InputError(
                f"caddy_{application}_… names the application {application}, which has no site in the playbook",
                next_step=f"applications with a site: {', '.join(sorted(names)) or 'none'}",
            )
    return every


def _backend(route: Route, params: Params) -> Backend:
    site, name = route.site, route.application
    own_domain = params.domains.get(name, "") or site.name
    paths = () if own_domain else params.paths.get(name, site.paths)
    spares = params.spare_upstreams if site.health_path else ()
    upstreams = tuple(dict.fromkeys((*route.upstreams, *spares)))
    return Backend(name, own_domain or params.domain, paths, upstreams, site.health_path, site.takes_webhooks)


def _by_domain(every: list[Backend], domain: str) -> dict[str, list[Backend]]:
    """Return domain → its backends: backends with paths first, then the backend for all other requests.

    Raises InputError if two backends would take all other requests.
    """
    domains: dict[str, list[Backend]] = {domain: []}
    for backend in every:
        domains.setdefault(backend.domain, []).append(backend)
    for name, members in domains.items():
        members.sort(key=lambda backend: not backend.paths)
        takers = [backend.name for backend in members if not backend.paths]
        if len(takers) > 1:
            raise InputError(
                f"{' and '.join(takers)} both take all requests for {name}",
                next_step=f"give one its own name: caddy_{takers[1]}_domain, or paths: caddy_{takers[1]}_paths",
            )
    return domains


def _container(host: Host, params: Params) -> ContainerService:
    """Return the container, on the host's network so that Caddy sees the addresses of its clients."""
    directory = f"/opt/{host.role.name}"
    certificate = (f"{directory}/etc/site.crt", private_key_path(host)) if params.tls == "files" else ()
    files = (caddyfile_path(host), *certificate)
    arguments = ("--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    return ContainerService(
        "caddy",
        params.image,
        command=("caddy", "run", *arguments),
        network_mode="host",
        environment={"XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "/config"},
        volumes=(f"{directory}/etc:/etc/caddy:ro", f"{directory}/data:/data", f"{directory}/config:/config"),
        stop_grace_period_s=params.stop_grace_s,
        # Forced: a new certificate does not change the Caddyfile.
        reload=Reload(files, ("caddy", "reload", "--force", "--address", ADMIN, *arguments)),
    )


def _rules(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the rules: the sites are open to everyone, the webhooks' port to the hosts that send webhooks."""
    yield Rule(80, comment="caddy")
    yield Rule(443, comment="caddy")
    yield Rule(443, "udp", comment="caddy HTTP/3")
    senders = tuple(peer.address for peer in webhook_senders(host) if peer.name != host.name)
    if params.webhook_port and senders:
        yield Rule(params.webhook_port, sources=senders, comment="webhooks")
