"""MySQL, one server: the database is made once, from your own SQL, and never again.

By itself, the hosts that use it reach it; inside an application, only the application's network. Passwords reach it by
files, never by its environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from orchestr.applications.container_role import ContainerParams
from orchestr.applications.model import Application, Data, Dump, Placement, Service
from orchestr.applications.parts import clients
from orchestr.containers.compose import ContainerService, HealthCheck, Limits
from orchestr.containers.stack import Deploy, MountedFile
from orchestr.errors import InputError
from orchestr.planning.role import OptionFilePassword
from orchestr.resources.firewall.rules import Rule
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

PORT = 3306
SERVICE = "mysql"
SECRETS = "/run/secrets"
CLIENT_FILE = f"{SECRETS}/mysql_client.cnf"
ROOT_FILE = f"{SECRETS}/mysql_root.cnf"


class Params(ContainerParams):
    """The passwords are required."""

    port: int = Field(
        default=PORT, ge=1, le=65535, description="the port on its host's private address; inside an application: none"
    )
    clients: tuple[str, ...] | None = Field(
        default=None,
        description="the hosts that may connect: groups, hosts, addresses, networks; "
        "not set: the hosts with a role that uses this MySQL",
    )
    image: str = Field(default="mysql:8.0", description="the image, with its tag")
    root_password: OptionFilePassword = Field(
        description="root's password; counts when the data is made, as MySQL's own does"
    )
    database: str = Field(default="app", pattern=r"^[A-Za-z0-9_]+$", description="the database")
    user: str = Field(default="app", pattern=r"^[A-Za-z0-9_]+$", description="the user its services log in as")
    password: OptionFilePassword = Field(description="the password of that user; counts when the data is made")
    init_sql: str = Field(
        default="",
        description="a file of this machine (relative to the project) whose SQL makes the tables, run once, "
        "when there is no data yet; its DROP TABLE can therefore drop nothing",
    )
    max_connections: int = Field(default=200, ge=10, description="how many may be connected at once")
    memory: str = Field(default="1g", description="the most memory it may take")
    buffer_pool: str = Field(default="256M", pattern=r"^\d+[MG]$", description="InnoDB's buffer pool")


def application(host: Host, params: Params) -> Application:
    """Return the one server: inside an application's network, or by itself on a port for the hosts that use it.

    Its probe logs in over TCP and asks: `mysqladmin ping` is content with wrong passwords.
    """
    service = _service(host, params)
    if host.role.within:
        return Application(services=(service,), dumps=(_dump(host, params),))
    container = replace(service.container, ports=(f"{host.address}:{params.port}:{PORT}",))
    return Application(
        services=(replace(service, container=container, placement=Placement(otherwise="first")),),
        ports=(f"{params.port}/tcp",),
        rules=firewall_rules(host, params),
        data=(Data(f"{SERVICE}-data", SERVICE, volume=f"{SERVICE}-data"),),
        can_swarm=False,
    )


def firewall_rules(host: Host, params: Params) -> tuple[Rule, ...]:
    """Return the rule for other hosts that need it."""
    if params.clients is not None:
        sources = host.sources(*params.clients)
    else:
        sources = tuple(dict.fromkeys(peer.address for peer in clients(host)))
    return (Rule(params.port, sources=sources, comment=host.role.name),) if sources else ()


def service_name(host: Host) -> str:
    """Return the name of the service, by which its application's network knows it."""
    return host.role.name if host.role.within else SERVICE


def _service(host: Host, params: Params) -> Service:
    name = service_name(host)
    container = ContainerService(
        name,
        params.image,
        environment={
            "MYSQL_ROOT_PASSWORD_FILE": f"{SECRETS}/mysql_root_password",
            "MYSQL_DATABASE": params.database,
            "MYSQL_USER": params.user,
            "MYSQL_PASSWORD_FILE": f"{SECRETS}/mysql_password",
        },
        volumes=(f"{name}-data:/var/lib/mysql",),
        healthcheck=HealthCheck(f"mysql --defaults-extra-file={CLIENT_FILE} -e 'SELECT 1' >/dev/null", 5, 5, 6, 120),
        limits=Limits(memory=params.memory),
        stop_grace_period_s=120,
    )
    return Service(container, files=tuple(_files(host, params)), deploy=Deploy(endpoint_mode="dnsrr"))


def _dump(host: Host, params: Params) -> Dump:
    """Return how the database is saved whole, with its routines, and loaded into an empty server."""
    login = root_login(host, params)
    assert isinstance(login, Secret)
    client = ("--defaults-extra-file=/login", "-h", service_name(host))
    options = ("--single-transaction", "--routines", "--triggers", "--events", "--databases", params.database)
    return Dump(
        service=service_name(host),
        login=login,
        save=("mysqldump", *client, *options),
        load=("mysql", *client),
        probe=("mysql", *client, "-e", "SELECT 1"),
        complete="Dump completed",
        volume=f"{service_name(host)}-data",
    )


def _files(host: Host, params: Params) -> Iterator[MountedFile]:
    yield MountedFile("/etc/mysql/conf.d/orchestr.cnf", _text(host.template("orchestr.cnf.j2", params)), "mysql.cnf")
    for name, secret in (("mysql_root_password", params.root_password), ("mysql_password", params.password)):
        yield MountedFile(f"{SECRETS}/{name}", secret, mode=0o400)
    client = host.template("client.cnf.j2", params, user=params.user, password=params.password)
    yield MountedFile(CLIENT_FILE, client, mode=0o400)
    yield MountedFile(ROOT_FILE, root_login(host, params), mode=0o400)
    if params.init_sql:
        path = host.project_path(params.init_sql)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"mysql_init_sql cannot be read: {error}", file=path) from error
        yield MountedFile("/docker-entrypoint-initdb.d/init.sql", text, "mysql_init.sql")


def root_login(host: Host, params: Params) -> str | Secret:
    """Return root's option file for MySQL's clients."""
    return host.template("client.cnf.j2", params, user="root", password=params.root_password)


def _text(content: str | Secret) -> str:
    assert isinstance(content, str)
    return content
