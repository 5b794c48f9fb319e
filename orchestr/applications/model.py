"""The description of an application: services, data, sites, ports. Every verb is derived from it.

A role that is an application has ``application(host, params) -> Application`` instead of ``deploy`` and the other
lifecycle functions. If it needs other applications, it has a module constant ``USES``:

    USES = (Use("redis"),)

    def application(host: Host, params: Params) -> Application:
        web = ContainerService("web", params.image, ports=(f"{host.listen_address}:{params.port}:8080",))
        return Application(services=(Service(web),), sites=(Site(params.port),))

The function is pure: it reads the host's variables, facts and peers, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from orchestr.agent.resource import Resource
from orchestr.containers.checked import Checked
from orchestr.containers.compose import ContainerService
from orchestr.containers.model import Network
from orchestr.containers.stack import Deploy, MountedFile
from orchestr.resources.firewall.rules import Rule
from orchestr.secret import Secret


@dataclass(frozen=True)
class Use(Checked):
    """Another application that this one needs, by the name of its role.

    ``instance``: its name if the playbook has several. ``own``: it runs inside this application, as one more service
    of its project or stack, on the hosts of the group that has the name of the instance.
    """

    role: str
    instance: str = ""
    own: bool = False

    @property
    def name(self) -> str:
        return self.instance or self.role


@dataclass(frozen=True)
class Placement(Checked):
    """The hosts of a service: an inventory group.

    ``otherwise`` applies if the inventory does not have the group: ``all`` hosts of the application, or the ``first``.
    """

    group: str = ""
    otherwise: Literal["all", "first"] = "all"


@dataclass(frozen=True)
class Service(Checked):
    """One service: its container, its files and secrets, its hosts, and its options in a swarm.

    ``files`` are mounted files in a compose project, configs and secrets in a swarm. ``image_source`` is set from the
    role's parameter of that name. ``part`` is the name of the instance if the service is of an application that runs
    inside this one.
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
class Dump(Checked):
    """The commands that save and load the database of a service, with programs of the service's image.

    They run in a separate container, in the network of the application: ``save`` writes the dump to its output,
    ``load`` reads it, ``probe`` succeeds when the server answers. ``login`` is the content of the file ``/login`` in
    that container. A complete dump ends with ``complete``; the name of its file ends with
    ``suffix``. ``volume`` is measured before a move.
    """

    service: str
    login: Secret
    save: tuple[str, ...]
    load: tuple[str, ...]
    probe: tuple[str, ...]
    complete: str
    volume: str
    suffix: str = "dump"


@dataclass(frozen=True)
class Data(Checked):
    """Persistent data: a directory of the host (``path``) or a volume of the project (``volume``).

    ``service`` uses it (at ``container_path``, if a survey must compare that), on the one host of ``placement``. It
    moves with the service when the inventory names another host. A database is not Data: it moves as its `Dump` when
    the application changes between stack and compose project.
    """

    name: str
    service: str
    placement: Placement = Placement(otherwise="first")
    path: str = ""
    volume: str = ""
    container_path: str = ""


@dataclass(frozen=True)
class Site(Checked):
    """Requests that a reverse proxy routes to this application: paths of a domain, or all, to ``port`` of its hosts.

    ``name`` is the domain; empty: the domain of the proxy. Without ``paths`` the site gets the requests that no other
    site of that domain matches. ``health_path`` answers 200 on a host that may get requests; empty: every host may.
    Checks request ``check_path``, which answers 200; get tokens from ``token_path``; read events at ``events_path``.
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
class Application(Checked):
    """The description of an application: its services, their data, ports and sites.

    ``before`` are the resources that each host needs before its services start: directories, files, kernel settings,
    gates of other applications. ``ready`` are the gates of a host that serves. ``ports`` are reserved on each host
    (``8080/tcp``); ``rules`` open the firewall. ``drains``: a stop waits until users have left, so upgrades restart it
    last. ``busy`` are surveys whose outcome says how busy a host is (``busy``: a number, ``text``): of hosts that have
    their turns, the emptiest changes first. ``spreads``: its services reach each other on several hosts without a
    swarm. ``backup`` are the paths of the archive; ``saves`` are the resources that run before it.
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
    busy: tuple[Resource, ...] = ()
    spreads: bool = True
    can_swarm: bool = True
    sends_webhooks: bool = False
    backup: tuple[str, ...] = ()
    saves: tuple[Resource, ...] = ()
    wait_s: float = 0
