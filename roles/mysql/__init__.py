"""MySQL, one server: the database is created once, from your own SQL, and never recreated.

On its own, it is reachable from the hosts that use it; inside an application, only in the application's network. It
reads passwords from files, never from its environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from orchestr import (
    Application,
    ApplicationService,
    ContainerParams,
    ContainerService,
    Data,
    Deploy,
    Dump,
    HealthCheck,
    InputError,
    Limits,
    MountedFile,
    OptionFilePassword,
    Placement,
    Rule,
    Secret,
    clients,
)

if TYPE_CHECKING:
    from orchestr import Host

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
        description="root's password; used only when the data is created, as in MySQL itself"
    )
    database: str = Field(default="app", pattern=r"^[A-Za-z0-9_]+$", description="name of the database")
    user: str = Field(default="app", pattern=r"^[A-Za-z0-9_]+$", description="the user that clients log in as")
    password: OptionFilePassword = Field(description="the password of that user; used only when the data is created")
    init_sql: str = Field(
        default="",
        description="a file of this machine (relative to the project) whose SQL creates the tables, run once, "
        "when there is no data yet, so its DROP TABLE has nothing to drop",
    )
    max_connections: int = Field(default=200, ge=10, description="limit of simultaneous connections")
    memory: str = Field(default="1g", description="memory limit")
    buffer_pool: str = Field(default="256M", pattern=r"^\d+[MG]$", description="InnoDB's buffer pool")


def application(host: Host, params: Params) -> Application:
    """Return the one server: inside an application's network, or on its own with a port for the hosts that use it.

    Its probe logs in over TCP and runs a query: `mysqladmin ping` succeeds even with a wrong password.
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
    """Return the rule for the other hosts that use it."""
    if params.clients is not None:
        sources = host.sources(*params.clients)
    else:
        sources = tuple(dict.fromkeys(peer.address for peer in clients(host)))
    return (Rule(params.port, sources=sources, comment=host.role.name),) if sources else ()


def service_name(host: Host) -> str:
    """Return the name of the service in its application's network."""
    return host.role.name if host.role.within else SERVICE


def _service(host: Host, params: Params) -> ApplicationService:
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
    return ApplicationService(container, files=tuple(_files(host, params)), deploy=Deploy(endpoint_mode="dnsrr"))


def _dump(host: Host, params: Params) -> Dump:
    """Return the commands that save the whole database, with routines, and load it into an empty server."""
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
        suffix="sql",
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
