"""MySQL, one server: the database is made once, from your own SQL, and never again.

Reachable inside the system's network only. Passwords reach it by files, never by its environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from orchestr.agent.resource import Resource
from orchestr.applications.container_role import ContainerParams, image
from orchestr.applications.system_services import pinned_to
from orchestr.containers.compose import ContainerService, HealthCheck, Limits
from orchestr.containers.stack import Deploy, MountedFile, SwarmService
from orchestr.errors import InputError
from orchestr.planning.role import OptionFilePassword
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.planning.plan import Host

PORT = 3306
SECRETS = "/run/secrets"
CLIENT_FILE = f"{SECRETS}/mysql_client.cnf"
ROOT_FILE = f"{SECRETS}/mysql_root.cnf"


class Params(ContainerParams):
    """The passwords are required."""

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


def system_services(host: Host, params: Params) -> list[SwarmService]:
    """Return the one server. Its probe logs in over TCP and asks: `mysqladmin ping` is content with wrong passwords."""
    service = ContainerService(
        "mysql",
        params.image,
        environment={
            "MYSQL_ROOT_PASSWORD_FILE": f"{SECRETS}/mysql_root_password",
            "MYSQL_DATABASE": params.database,
            "MYSQL_USER": params.user,
            "MYSQL_PASSWORD_FILE": f"{SECRETS}/mysql_password",
        },
        volumes=("mysql-data:/var/lib/mysql",),
        healthcheck=HealthCheck(f"mysql --defaults-extra-file={CLIENT_FILE} -e 'SELECT 1' >/dev/null", 5, 5, 6, 120),
        limits=Limits(memory=params.memory),
        stop_grace_period_s=120,
    )
    deploy = Deploy(constraints=pinned_to("mysql"), endpoint_mode="dnsrr")
    return [SwarmService(service, deploy, tuple(_files(host, params)))]


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


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the image; the system's own role starts it."""
    yield image(host, params)[0]
