"""The yardstick: an application of 60 lines of Python, in a project of its own, has every verb."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestr import Host, InputError, load_inventory, load_playbook
from orchestr.applications.phases import DATA_PHASES
from orchestr.applications.verbs import VERBS
from orchestr.engine.phases import phases
from orchestr.engine.run import Run, RunOptions
from orchestr.planning.plan import plan_host
from orchestr.planning.role import load_role

TOY = Path(__file__).resolve().parents[1] / "toy_project"
LINES = 60


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, outside of this repository."""
    path = tmp_path_factory.mktemp("toy") / "project"
    shutil.copytree(TOY, path, ignore=shutil.ignore_patterns("__pycache__"))
    return path


def planned(project: Path, name: str) -> Run:
    """Return a run of one of its inventories that never connects."""
    inventory = load_inventory(project / name, extra_vars={"orchestr_image_source": "pull"})
    playbook = load_playbook(project / "playbooks/site.yml")
    return Run(inventory, playbook, RunOptions(verb="plan", check=True), lambda event: None, _no_connection)


def _no_connection(*arguments: object) -> object:
    raise AssertionError("planning connects to nothing")


def kinds(run: Run, host: str, lifecycle: str) -> list[str]:
    """Return the kinds of the tasks that the shop's play has for a host."""
    number = max(number for number, hosts in run.play_hosts.items() if host in hosts)
    return [task.resource.kind for task in plan_host(run.context, number, host, lifecycle=lifecycle, role="shop")]


def test_it_is_short() -> None:
    """Sixty lines of Python say all of it."""
    sources = list(TOY.rglob("*.py"))
    assert sum(len(source.read_text().splitlines()) for source in sources) <= LINES


def test_it_imports_nothing_but_orchestr() -> None:
    """``from orchestr import …`` is enough."""
    imports = [line for line in (TOY / "roles/shop/__init__.py").read_text().splitlines() if line.startswith("from")]
    assert imports == ["from orchestr import ("]


@pytest.mark.parametrize("name", ["single.yml", "distributed.yml"])
def test_its_data_moves_by_phases_of_the_engine(project: Path, name: str) -> None:
    """The shop's play has every phase of an application with data."""
    run = planned(project, name)
    assert [item.phase for item in phases(run) if item.role == "shop"] == list(DATA_PHASES)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"ports", "drain", "busy"}))
def test_every_verb_does_something_on_one_machine(project: Path, verb: str) -> None:
    """Deploy, start, stop, restart, preflight and backup have tasks; none is written in the role."""
    assert kinds(planned(project, "single.yml"), "one", verb)


def test_one_machine_is_a_compose_project(project: Path) -> None:
    """The web service and its database are one project, and the web service's port is free and answers."""
    found = kinds(planned(project, "single.yml"), "one", "deploy")
    assert found.count("compose_project") == 1
    assert {"ports_free", "pulled_image", "http_answer"} <= set(found)


def test_distributed_is_a_stack(project: Path) -> None:
    """On a swarm the manager deploys one stack; the other node gets no project of its own."""
    run = planned(project, "distributed.yml")
    assert kinds(run, "one", "deploy").count("stack") == 1
    assert "compose_project" not in (*kinds(run, "one", "deploy"), *kinds(run, "two", "deploy"))


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_the_stack_is_started_stopped_and_restarted(project: Path, verb: str) -> None:
    """The same verbs act on a stack, once, from the manager."""
    run = planned(project, "distributed.yml")
    assert kinds(run, "one", verb) and not kinds(run, "two", verb)


def test_its_port_is_open_where_it_runs(project: Path) -> None:
    """The firewall opens the web service's port on its host alone."""
    run = planned(project, "distributed.yml")
    role = load_role("shop", project)
    ports = role.function("ports")
    assert ports is not None
    opened = {}
    for name in ("one", "two"):
        host = Host(run.context, run.inventory.host(name), role)
        opened[name] = [str(rule.port) for rule in ports(host, host.params("shop"))]
    assert opened == {"one": [], "two": ["8090"]}


def test_without_its_database_it_is_refused(project: Path) -> None:
    """An inventory without a host for the database names the group to fill."""
    text = (project / "single.yml").read_text().replace("    shop_mysql: {hosts: {one: }}\n", "")
    (project / "without.yml").write_text(text)
    with pytest.raises(InputError) as caught:
        kinds(planned(project, "without.yml"), "one", "deploy")
    assert "put one host into the group shop_mysql" in str(caught.value)
