"""What a run costs each host, counted in memory: it does not grow with what it need not grow with."""

from __future__ import annotations

import pytest

from orchestr.transport.memory import memory_connector
from tests.counting import Costs, CountingConnector
from tests.unit.engine.conftest import Project

TASKS = 3  # of the role, in each play


def costs_of(project: Project, plays: int) -> dict[str, Costs]:
    """Run as many plays of the same role; return what each host was asked for."""
    project.write("playbooks/site.yml", "- {hosts: all, roles: [hello]}\n" * plays)
    counting = CountingConnector(memory_connector(project.hosts))
    assert project.run(connector=counting).exit_code == 0
    return counting.costs


@pytest.mark.parametrize("plays", [1, 3])
def test_every_host_costs_one_start_and_a_request_per_play(project: Project, plays: int) -> None:
    """Of each host: one connection, one command (the agent), and out of one play a request, its modules once."""
    costs = costs_of(project, plays)
    assert sorted(costs) == ["a", "b", "c", "d"]
    for each in costs.values():
        assert (each.connections, len(each.commands), each.agent_starts) == (1, 1, 1)
        assert each.to_host == {"program": 1, "modules": 1, "tasks": plays, "stop": 1}


@pytest.mark.parametrize("plays", [1, 3])
def test_every_host_answers_with_a_message_per_change_and_one_for_all_else(project: Project, plays: int) -> None:
    """A host says hello, then how each task that changed something ended, and of each play that it is done.

    Tasks that find nothing to do are told of in one message, however many they are; one that lasts is announced.
    """
    for each in costs_of(project, plays).values():
        assert each.from_host.pop("started", 0) <= TASKS
        fine = {"fine": plays - 1} if plays > 1 else {}
        assert each.from_host == {"hello": 1, "result": TASKS, **fine, "done": plays}


@pytest.mark.parametrize("plays", [1, 3])
def test_every_host_is_waited_for_once_per_play(project: Project, plays: int) -> None:
    """The controller waits for a host's hello and once per play; results stream back without being asked for."""
    assert {name: each.turns for name, each in costs_of(project, plays).items()} == dict.fromkeys("abcd", 1 + plays)
