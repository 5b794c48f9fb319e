"""From one LiveKit node to three: what stays the same is not touched, so nothing restarts that need not."""

from __future__ import annotations

from collections.abc import Callable

from orchestr.agent.resource import Task
from orchestr.resources.firewall.firewall import Firewall
from tests.unit.roles.conftest import Planned, label


def differing(before: list[Task], after: list[Task]) -> set[str]:
    """Return the resources that differ between two plans of a host."""
    old = {label(task.resource): task.resource for task in before}
    new = {label(task.resource): task.resource for task in after}
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def test_the_bystander_gets_the_same(single: Planned, distributed: Planned) -> None:
    """lab5 has nothing to do with LiveKit: its plan is equal, task by task."""
    assert single.tasks("lab5") == distributed.tasks("lab5")


def test_the_first_node_changes_in_its_firewall_alone(single: Planned, distributed: Planned) -> None:
    """lab2 keeps its LiveKit and its Redis as they are; only Redis' way in is opened."""
    (firewall,) = distributed.resources("lab2", Firewall)
    assert differing(single.tasks("lab2"), distributed.tasks("lab2")) == {label(firewall)}


def test_caddys_host_changes_in_firewall_and_caddyfile_alone(single: Planned, distributed: Planned) -> None:
    """lab1, unlike what the guide says, does change: Caddy is told the new upstreams; the application is left alone."""
    (firewall,) = distributed.resources("lab1", Firewall)
    assert differing(single.tasks("lab1"), distributed.tasks("lab1")) == {
        label(firewall),
        "file:/opt/caddy/etc/Caddyfile",
    }


def test_planning_twice_gives_the_same(distributed: Planned) -> None:
    """A plan is a value: the same inventory gives equal tasks."""
    assert distributed.all_tasks() == distributed.all_tasks()


def test_a_new_node_gets_no_redis_of_its_own(distributed: Planned) -> None:
    """lab3 and lab4 use lab2's Redis: a local one would be of no use."""
    for host in ("lab3", "lab4"):
        assert not [task.id for task in distributed.tasks(host) if "redis" in task.id and "tcp_answer" not in task.id]


def test_roles_without_a_host_are_passed_over(changed: Callable[..., Planned]) -> None:
    """An inventory without a webapp is fine: Caddy says so to who asks, and nothing else changes."""
    planned = changed(lambda every: every["children"].pop("webapp"))
    assert 'respond "no application" 503' in planned.text("lab1", "/opt/caddy/etc/Caddyfile")
