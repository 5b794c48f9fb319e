"""Parts more than once on one host: two Redis and two MySQL, each with its own port, password, directory and data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Done, Orchestr
from tests.lab.conftest import ADDRESSES, LAB, ssh

NODES = ["lab4"]
PLAYBOOK = """\
- name: docker
  hosts: all
  roles: [docker]
- name: firewall
  hosts: all
  roles: [firewall]
- name: data
  hosts: all
  roles:
    - {role: redis, instance: shop_redis}
    - {role: redis, instance: blog_redis}
    - {role: mysql, instance: shop_mysql}
    - {role: mysql, instance: blog_mysql}
"""
INVENTORY = f"""\
all:
  vars:
    ansible_user: vagrant
    ansible_become: true
    ansible_ssh_private_key_file: {LAB / "id_ed25519"}
    ansible_ssh_common_args: "-o UserKnownHostsFile={LAB / "known_hosts"}"
    orchestr_image_source: push
    shop_redis_image: redis:7
    shop_redis_password: lab-only-shop-redis-password
    blog_redis_image: redis:7
    blog_redis_password: lab-only-blog-redis-password
    blog_redis_port: 6380
    shop_mysql_root_password: lab-only-shop-root
    shop_mysql_password: lab-only-shop-password
    blog_mysql_root_password: lab-only-blog-root
    blog_mysql_password: lab-only-blog-password
    blog_mysql_port: 3307
    blog_mysql_database: blog
  hosts:
    lab4: {{ansible_host: {ADDRESSES["lab4"]}}}
"""


@pytest.fixture(scope="module")
def runs(bare: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Done, Done, Done]]:
    """The first run of the inventory, a second one, and the checks."""
    project = tmp_path_factory.mktemp("instances")
    (project / "playbooks").mkdir()
    (project / "playbooks/site.yml").write_text(PLAYBOOK)
    inventory = project / "hosts.yml"
    inventory.write_text(INVENTORY)
    orchestr = Orchestr(tmp_path_factory.mktemp("state"))
    yield orchestr.succeed("run", inventory), orchestr.succeed("run", inventory), orchestr("verify", inventory)


def test_a_second_run_changes_nothing(runs: tuple[Done, Done, Done]) -> None:
    """Instances do not take each other's files, ports or containers."""
    assert runs[1].changes == []


def test_all_checks_pass(runs: tuple[Done, Done, Done]) -> None:
    """The roles' checks hold for each instance."""
    assert runs[2].exit == 0, runs[2].trouble


@pytest.mark.parametrize(("name", "port"), [("shop", 6379), ("blog", 6380)])
def test_each_redis_has_its_own_password(runs: tuple[Done, Done, Done], name: str, port: int) -> None:
    """A password opens its own instance, and not the other one."""
    for owner in ("shop", "blog"):
        client = f"-e REDISCLI_AUTH=lab-only-{owner}-redis-password {name}_redis-redis-1 redis-cli -p {port}"
        answer = ssh("lab4", f"docker exec {client} --no-auth-warning ping")
        assert (answer.strip() == "PONG") is (owner == name)


@pytest.mark.parametrize(("name", "database"), [("shop", "app"), ("blog", "blog")])
def test_each_mysql_has_its_own_database(runs: tuple[Done, Done, Done], name: str, database: str) -> None:
    """Each instance was made with its own database, in a volume of its own."""
    login = "mysql --defaults-extra-file=/run/secrets/mysql_root.cnf -N -e"
    databases = ssh("lab4", f"docker exec {name}_mysql-mysql-1 {login} 'SHOW DATABASES'").split()
    assert database in databases
    assert f"{name}_mysql_mysql-data" in ssh("lab4", "docker volume ls --quiet").split()


def test_directories_are_apart(runs: tuple[Done, Done, Done]) -> None:
    """Each instance has its own directory under /opt."""
    names = set(ssh("lab4", "ls /opt").split())
    assert {"shop_redis", "blog_redis", "shop_mysql", "blog_mysql"} <= names
    assert Path("/opt/redis").name not in names
