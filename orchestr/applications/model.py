"""The description of an application: services, data, sites, ports. Every verb is derived from it.

A role that is an application has ``application(host, params) -> Application`` instead of ``deploy`` and its kin, and,
where it needs other applications, a module constant ``USES``:

    USES = (Use("redis"),)

    def application(host: Host, params: Params) -> Application:
        web = ContainerService("web", params.image, ports=(f"{host.listen_address}:{params.port}:8080",))
        return Application(services=(Service(web),), sites=(Site(params.port),))

The function is pure: it reads the host's variables, facts and peers, and touches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from orchestr.agent.resource import Resource
from orchestr.containers.compose import ContainerService
from orchestr.containers.model import Network
from orchestr.containers.stack import Deploy, MountedFile
from orchestr.resources.firewall.rules import Rule
from orchestr.secret import Secret


@dataclass(frozen=True)
class Use:
    """Another application that this one needs, by the name of its role.

    ``instance``: which one, where the playbook has several. ``own``: it runs inside this application, as one more
    service of its project or stack, on the hosts of the group that is named like the instance.
    """

    role: str
    instance: str = ""
    own: bool = False

    @property
    def name(self) -> str:
        return self.instance or self.role


@dataclass(frozen=True)
class Placement:
    """Where a service runs: on the hosts of an inventory group.

    ``otherwise`` counts while the inventory does not have the group: ``all`` of the application's, or its ``first``.
    """

    group: str = ""
    otherwise: Literal["all", "first"] = "all"


@dataclass(frozen=True)
class Service:
    """One service: its container, the files and secrets it reads, where it runs, and how a swarm runs it.

    ``files`` reach the container wherever it runs: mounted files of a compose project, configs and secrets of a swarm.
    ``image_source`` is set from the role's parameter of that name. ``part`` is set for the service of an application
    that runs inside this one: the name of its instance.
    """

    container: ContainerService
    placement: Placement = Placement()
    files: tuple[MountedFile, ...] = ()
    deploy: Deploy = field(default_factory=Deploy)
    image_source: str = ""
    part: str = ""

    @property
    def name(self) -> str:
        return self.container.name


@dataclass(frozen=True)
class Dump:
    """How the database of a service is saved and loaded by its own programs, which the service's image has.

    They run in a container of their own, in the network of the application: ``save`` writes the dump to its output,
    ``load`` reads it, ``probe`` succeeds when the server answers. ``login`` is the content of the file ``/login`` in
    that container. ``complete`` stands at the end of a whole dump. ``volume`` is measured before a move.
    """

    service: str
    login: Secret
    save: tuple[str, ...]
    load: tuple[str, ...]
    probe: tuple[str, ...]
    complete: str
    volume: str


@dataclass(frozen=True)
class Data:
    """Data that must survive: a directory of the host (``path``) or a volume of the project (``volume``).

    ``service`` uses it (at ``container_path``, if that is to be compared), and it belongs on the one host of
    ``placement``. It moves with the service when the inventory names another host; a database moves as its `Dump`
    when the application becomes a stack or a compose project, and is not Data.
    """

    name: str
    service: str
    placement: Placement = Placement(otherwise="first")
    path: str = ""
    volume: str = ""
    container_path: str = ""


@dataclass(frozen=True)
class Site:
    """What a reverse proxy routes to this application: paths of a name, or all of it, to ``port`` of its hosts.

    ``name`` is empty for the name that the proxy itself is given. Without ``paths`` the site takes the requests that no
    other site of that name takes. ``health_path`` answers 200 on a host that may get requests; empty: every host may.
    Checks ask ``check_path``, which answers 200; get tokens from ``token_path``; and read events at ``events_path``.
    """

    port: int
    name: str = ""
    paths: tuple[str, ...] = ()
    health_path: str = ""
    check_path: str = ""
    takes_webhooks: bool = False
    token_path: str = ""
    events_path: str = ""


@dataclass(frozen=True)
class Application:
    """Services that belong together, and all that is true of them.

    ``before`` is needed on each host before its services start: directories, files, kernel settings, gates of others.
    ``ready`` are the gates of a host that serves. ``ports`` are reserved on each host (``8080/tcp``); ``rules`` open
    the firewall. ``drains``: a stop waits for the people it serves, so upgrades restart it last. ``spreads``: its
    services find each other on several hosts without a swarm. ``backup`` are an archive's paths; ``saves`` runs
    before it.
    """

    services: tuple[Service, ...]
    before: tuple[Resource, ...] = ()
    ready: tuple[Resource, ...] = ()
    ports: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    sites: tuple[Site, ...] = ()
    data: tuple[Data, ...] = ()
    dumps: tuple[Dump, ...] = ()
    networks: tuple[Network, ...] = ()
    directory: str = ""
    drains: bool = False
    spreads: bool = True
    can_swarm: bool = True
    sends_webhooks: bool = False
    backup: tuple[str, ...] = ()
    saves: tuple[Resource, ...] = ()
    wait_s: float = 0
