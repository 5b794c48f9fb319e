"""The checks that every application has: its services run, as docker tells, and no data is between two hosts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestr import Host, load_inventory, load_playbook
from orchestr.engine.run import Run, RunOptions
from orchestr.planning.role import load_role
from orchestr.verification import application_checks
from orchestr.verification.placements import DERIVED, placements

TOY = Path(__file__).resolve().parents[1] / "toy_project"
RUNS = "{}\t{}\tUp 2 minutes (healthy)\n"


def planned(name: str) -> Run:
    inventory = load_inventory(TOY / name, extra_vars={"orchestr_image_source": "pull"})
    options = RunOptions(verb="verify", check=True)
    return Run(inventory, load_playbook(TOY / "playbooks/site.yml"), options, lambda event: None, None)  # type: ignore[arg-type]


def machine(name: str, host: str) -> Host:
    run = planned(name)
    return Host(run.context, run.inventory.host(host), load_role("shop", TOY))


def shell(text: str = "", marks: tuple[str, ...] = ()) -> Any:
    """Return a host on which docker prints ``text``, and on which the files ``marks`` exist."""

    def run(command: str, *arguments: str) -> Any:
        return SimpleNamespace(rc=0 if any(mark in arguments[0] for mark in marks) else 1)

    return SimpleNamespace(run=run, check_output=lambda command, *arguments: text)


def services(name: str, host: str) -> list[str]:
    checked = machine(name, host)
    application = checked.application("shop")
    assert application is not None
    return [service.name for service in application.services]


def test_an_application_without_checks_of_its_own_has_these() -> None:
    """The toy has no verify.py; its manager answers for the stack, and every host for the data it may hold."""
    assert {placement.file for placement in placements(planned("single.yml"))} >= {DERIVED}
    checks = ("test_its_services_run", "test_no_data_is_between_two_hosts")
    concerned = {
        (name, host): [check for check in checks if application_checks.is_for(check, machine(name, host))]
        for name, host in (("single.yml", "one"), ("distributed.yml", "one"), ("distributed.yml", "two"))
    }
    assert concerned == {
        ("single.yml", "one"): [*checks],
        ("distributed.yml", "one"): [*checks],
        ("distributed.yml", "two"): [checks[1]],
    }


def test_a_project_that_runs_passes() -> None:
    """Containers of another project with the same service names do not count, nor do they harm."""
    rows = [RUNS.format(project, name) for project in ("shop", "other") for name in services("single.yml", "one")]
    application_checks.test_its_services_run(shell("".join(rows)), machine("single.yml", "one"))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("", "does not run"),
        ("other\t{}\tUp 2 minutes (healthy)\n", "does not run"),
        ("shop\t{}\tUp 2 minutes (unhealthy)\n", "is not healthy"),
        ("shop\t{}\tUp 2 seconds (health: starting)\n", "is not healthy"),
    ],
)
def test_a_service_of_a_project_that_does_not_run_fails(row: str, fault: str) -> None:
    """The message names the service and the command to type on the host."""
    first, *others = services("single.yml", "one")
    text = row.format(first) + "".join(RUNS.format("shop", name) for name in others)
    with pytest.raises(AssertionError) as caught:
        application_checks.test_its_services_run(shell(text), machine("single.yml", "one"))
    assert str(caught.value).startswith(f"{first} {fault}")
    assert "docker compose --project-directory /opt/shop ps --all on one" in str(caught.value)


def test_a_stack_with_all_replicas_passes() -> None:
    """Swarm's own count of running tasks is what counts."""
    text = "".join(f"shop_{name}\t1/1 (max 1 per node)\n" for name in services("distributed.yml", "one"))
    application_checks.test_its_services_run(shell(text), machine("distributed.yml", "one"))


@pytest.mark.parametrize("replicas", ["0/1", "", "nonsense"])
def test_a_stack_that_lacks_tasks_fails(replicas: str) -> None:
    """So does one whose count cannot be read."""
    first, *others = services("distributed.yml", "one")
    text = f"shop_{first}\t{replicas}\n" + "".join(f"shop_{name}\t1/1\n" for name in others)
    with pytest.raises(AssertionError, match=f"{first} does not run.*docker stack ps --no-trunc shop on one"):
        application_checks.test_its_services_run(shell(text), machine("distributed.yml", "one"))


def test_data_that_has_not_arrived_fails() -> None:
    """The mark of a move that broke off is found, and the message says to go on."""
    checked = machine("single.yml", "one")
    application_checks.test_no_data_is_between_two_hosts(shell(), checked)
    with pytest.raises(AssertionError, match=r"began to move from one.*again"):
        application_checks.test_no_data_is_between_two_hosts(shell(marks=("leaving",)), checked)
