"""The application of tests/toy_project on real hosts: one machine, a swarm and back, with its rows and uploads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import orchestr
from tests.lab.cluster import Done, Orchestr
from tests.lab.conftest import LAB, ssh

NODES = ["lab4", "lab5"]
TOY = Path(__file__).resolve().parents[1] / "toy_project"
CONNECTION = f"""\
ansible_user: vagrant
ansible_become: true
ansible_ssh_private_key_file: {LAB / "id_ed25519"}
ansible_ssh_common_args: "-o UserKnownHostsFile={LAB / "known_hosts"}"
"""
UPLOAD = "/srv/shop/uploads/picture.txt"
PORT = 8090


@dataclass(frozen=True)
class Project:
    """The toy project outside of the repository, with the lab's keys."""

    path: Path
    orchestr: Orchestr

    def inventory(self, name: str) -> Path:
        return self.path / f"{name}.yml"

    def succeed(self, verb: str, name: str, *words: str | Path) -> Done:
        return self.orchestr.succeed(verb, self.inventory(name), *words)

    def play(self, name: str, lifecycle: str) -> orchestr.RunResult:
        """Play one of the roles' lifecycle functions, as a program does it."""
        return orchestr.run(orchestr.load_inventory(self.inventory(name)), lifecycle=lifecycle, journal=False)


def database(node: str) -> str:
    """Return the container of the shop's database on a node."""
    return ssh(node, "docker ps --quiet --filter name=shop_mysql").strip()


def rows(node: str) -> str:
    """Return the orders that the database on a node has."""
    query = "mysql --defaults-extra-file=/run/secrets/mysql_root.cnf -N -e"
    return ssh(node, f"docker exec {database(node)} {query} 'SELECT item FROM app.orders'").strip()


def answers(node: str) -> bool:
    """Return True if the shop's web service answers on a node."""
    command = f"curl --silent --output /dev/null --max-time 5 http://localhost:{PORT}/ && echo yes"
    return ssh(node, command, check=False) != ""


@dataclass(frozen=True)
class Story:
    """The project after each step of its life, and what the database and the uploads were then."""

    project: Project
    again: Done
    upgraded: Done
    settled: Done
    moved: tuple[str, str]
    back: Done
    returned: tuple[str, str]


@pytest.fixture(scope="module")
def story(bare: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    path = tmp_path_factory.mktemp("toy") / "project"
    shutil.copytree(TOY, path, ignore=shutil.ignore_patterns("__pycache__"))
    (path / "group_vars").mkdir()
    (path / "group_vars/all.yml").write_text(CONNECTION)
    project = Project(path, Orchestr(tmp_path_factory.mktemp("state")))
    project.succeed("run", "single")
    again = project.succeed("run", "single")
    login = "mysql --defaults-extra-file=/run/secrets/mysql_root.cnf -e"
    statement = 'CREATE TABLE app.orders (item TEXT); INSERT INTO app.orders VALUES ("teapot")'
    ssh("lab4", f"docker exec {database('lab4')} {login} '{statement}'; echo cat >{UPLOAD}")
    upgraded = project.succeed("upgrade", "single", "--to", project.inventory("distributed"))
    settled = project.succeed("run", "distributed")
    moved = (rows("lab5"), ssh("lab5", f"cat {UPLOAD}").strip())
    back = project.orchestr.succeed("rollback", "last")
    returned = (rows("lab4"), ssh("lab4", f"cat {UPLOAD}").strip())
    yield Story(project, again, upgraded, settled, moved, back, returned)


def test_a_second_run_changes_nothing(story: Story) -> None:
    """One machine and the swarm are both as described after one run."""
    assert story.again.changes == [] and story.settled.changes == []


def test_rows_and_uploads_move_to_the_swarm(story: Story) -> None:
    """The upgrade takes the database and the uploads to the node that the inventory names."""
    assert story.moved == ("teapot", "cat")


def test_rows_and_uploads_come_back(story: Story) -> None:
    """So does the way back."""
    assert story.returned == ("teapot", "cat")
    assert answers("lab4")


@pytest.mark.parametrize("lifecycle", ["stop", "start", "restart"])
def test_it_is_stopped_started_and_restarted(story: Story, lifecycle: str) -> None:
    """The derived verbs act on the project as a whole."""
    assert story.project.play("single", lifecycle).exit_code == 0
    assert answers("lab4") is (lifecycle != "stop")
