"""Stacks: only what differs is deployed, it is followed to its end, and what failed is told in the tasks' own words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.containers.compose import ContainerService
from orchestr.containers.stack import Deploy, SwarmService
from orchestr.containers.stack import stack as stack_resources
from orchestr.resources.swarm import stack_state, stack_view
from orchestr.resources.swarm.stack import Stack, StackService
from orchestr.transport.memory import MemorySystem
from tests.resources.swarm_double import SwarmDouble, swarm_answers


def shop(image: str = "app:1", replicas: int = 2, extra: tuple[SwarmService, ...] = (), **options: Any) -> Stack:
    web = SwarmService(ContainerService("web", image, environment={"PRICE": "5 $"}), Deploy(replicas=replicas))
    found = stack_resources("shop", [web, *extra], **options)
    return next(each for each in found if isinstance(each, Stack))


JOB = SwarmService(ContainerService("job", "app:1", runs_once=True))
EVERY = SwarmService(ContainerService("every", "app:1"), Deploy(mode="global"))


def run(double: SwarmDouble, resource: Stack, check: bool = False) -> dict[str, Any]:
    system = MemorySystem(double.host, read_only=check, run_id="r1", on_output=double.said.append)
    return converge(Task(resource), system, check, False)


def settle(double: SwarmDouble, resource: Stack) -> dict[str, Any]:
    """It changes, after a plan that says so and writes nothing; then it is as wanted, and nothing is deployed."""
    before = len(double.written), len(double.documents)
    assert run(double, resource, check=True)["verdict"] == "changed"
    assert (len(double.written), len(double.documents)) == before
    result = run(double, resource)
    assert result["verdict"] == "changed", result
    after = len(double.written), len(double.documents)
    assert run(double, resource)["verdict"] == "ok"
    assert (len(double.written), len(double.documents)) == after
    return result


def test_a_stack_is_deployed_without_asking_a_registry_and_followed() -> None:
    """The stack file goes to the client's stdin; progress is told per service; then everything is as wanted."""
    double = SwarmDouble()
    settle(double, shop(extra=(JOB, EVERY)))
    words = next(words for words in double.host.log if words[:3] == ("docker", "stack", "deploy"))
    assert words[3:] == ("--resolve-image", "never", "--compose-file", "-", "--detach=true", "shop")
    assert {"web: 2 running\n", "job: completed\n", "every: running on every node\n"} <= set(double.said)
    assert double.documents[0]["services"]["web"]["environment"] == {"PRICE": "5 $$"}


def test_only_what_differs_is_deployed() -> None:
    """A job that is done is not done again because another service changes."""
    double = SwarmDouble()
    run(double, shop(extra=(JOB,)))
    settle(double, shop("app:2", extra=(JOB,)))
    assert list(double.documents[-1]["services"]) == ["web"]


def test_an_old_client_without_detach_is_asked_again_without_it() -> None:
    """Docker 20.10 knows no --detach for stacks, and never waits anyway."""
    double = SwarmDouble()
    deploy = double.host.commands[("docker", "stack", "deploy")]
    assert callable(deploy)

    def old(system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        return (125, "", "unknown flag: --detach") if "--detach=true" in words else deploy(system, words, input)

    double.host.commands[("docker", "stack", "deploy")] = old
    settle(double, shop())


def test_a_job_on_an_old_engine_is_refused_with_the_version() -> None:
    """Clients before 23 take a stack file's job for a mistake; this says it before."""
    double = SwarmDouble()
    double.version = {**double.version, "Version": "20.10.24"}
    assert "Docker 23" in run(double, shop(extra=(JOB,)))["error"]["message"]
    assert double.documents == []


def test_scaling_is_a_change_of_one_number() -> None:
    """The definition stays the same; the diff says how many run."""
    double = SwarmDouble()
    run(double, shop())
    result = settle(double, shop(replicas=3))
    assert "scaled to 2 by hand" in result["diff"] and "+ web: 3 running" in result["diff"]


@pytest.mark.parametrize("what", ["Image", "Env", "gone", "Labels"])
def test_a_change_by_hand_is_seen_and_mended(what: str) -> None:
    """Whatever somebody has changed in a service's definition, it is deployed again as the inventory says."""
    double = SwarmDouble()
    run(double, shop())
    spec = double.services[0]["Spec"]
    if what == "gone":
        double.services.clear()
    elif what == "Labels":
        spec["Labels"]["added"] = "by hand"
    else:
        spec["TaskTemplate"] = {**spec["TaskTemplate"], "ContainerSpec": {"Image": "app:1", what: "other"}}
    settle(double, shop())


def test_a_forced_restart_by_hand_is_no_difference() -> None:
    """`docker service update --force` restarts the tasks and changes nothing of what they are."""
    double = SwarmDouble()
    run(double, shop())
    spec = double.services[0]["Spec"]
    spec["TaskTemplate"] = {**spec["TaskTemplate"], "ForceUpdate": 1}
    for task in double.tasks:
        task["Spec"] = spec["TaskTemplate"]
    assert run(double, shop())["verdict"] == "ok"


def test_a_deployment_that_was_cut_off_is_finished_by_the_next() -> None:
    """Without what is remembered at the end, the service counts as not looked after, and is deployed again."""
    double = SwarmDouble()
    run(double, shop())
    double.objects["configs"].clear()
    assert "cut off" in settle(double, shop())["diff"]


@pytest.mark.parametrize(("fate", "words"), [("rolled back", "was rolled back"), ("paused", "was paused")])
def test_an_update_that_swarm_gives_up_fails_with_the_tasks_errors(fate: str, words: str) -> None:
    """Swarm's verdict, the failed task with its node and its error are told; the next run tries again."""
    double = SwarmDouble()
    run(double, shop())
    double.fate["web"] = fate
    error = run(double, shop("app:2"))["error"]
    assert words in error["message"] and "web.1 on lab7: failed: task: non-zero exit (1)" in error["stderr"]
    assert run(double, shop("app:2"), check=True)["verdict"] == "changed"
    double.fate.clear()
    settle(double, shop("app:2"))


def test_a_task_that_is_stopped_for_its_health_and_ends_in_order_is_told_as_such() -> None:
    """Such a task has no error of its own and the status 0; the evidence says what that means."""
    double = SwarmDouble()
    run(double, shop())
    double.fate["web"] = "ended"
    error = run(double, shop("app:2"))["error"]
    assert "web.1 on lab7: complete: unhealthy, and so stopped" in error["stderr"]


def test_after_a_rollback_the_old_inventory_has_nothing_to_change() -> None:
    """What runs is what was deployed before: reverting is no deployment."""
    double = SwarmDouble()
    run(double, shop())
    double.fate["web"] = "rolled back"
    assert run(double, shop("app:2"))["verdict"] == "failed"
    assert run(double, shop())["verdict"] == "ok"


@pytest.mark.parametrize("takes_s", [5.0, 1e9])
def test_a_rollback_is_told_when_the_version_before_runs_again(takes_s: float) -> None:
    """Swarm calls a rollback completed before its tasks are up: they are waited for, though not for ever."""
    double = SwarmDouble()
    run(double, shop())
    double.fate["web"] = "rolled back"
    returning, began, answer = double.tasks[0], double.host.clock, double.answer

    def late(method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        is_up = double.services[0]["UpdateStatus"] == {} or double.host.clock > began + takes_s
        returning["Status"]["State"] = "running" if is_up else "starting"
        return answer(method, path, query, body)

    double.answer = late  # type: ignore[method-assign]  # the same, later
    assert "was rolled back" in run(double, shop("app:2"))["error"]["message"]
    assert returning["Status"]["State"] == ("running" if takes_s < 60 else "starting")
    assert double.host.clock < began + 60


def test_a_missing_image_is_not_waited_for() -> None:
    """A task that is rejected again and again for want of its image ends the run, naming the image."""
    double = SwarmDouble()
    double.fate["web"] = "rejected"
    error = run(double, shop())["error"]
    assert "image is missing" in error["message"] and "No such image: app:1" in error["stderr"]
    assert "every node" in error["next_step"] and double.host.clock < 1100


def test_what_moves_no_more_is_told_with_what_is_missing() -> None:
    """After the time without progress: which service, how far, and the scheduler's reason."""
    double = SwarmDouble()
    double.fate["web"] = "pending"
    error = run(double, shop(wait_s=30.0))["error"]
    assert "no progress for 30 s: web: 0 of 2 running (pending)" in error["message"]
    assert "no suitable node" in error["stderr"]


def test_a_service_that_is_no_more_is_removed() -> None:
    """One that the file does not name any more goes; with prune off it stays."""
    double = SwarmDouble()
    run(double, shop(extra=(EVERY,)))
    assert run(double, shop(prune=False))["verdict"] == "ok"
    settle(double, shop())
    assert [each["Spec"]["Name"] for each in double.services] == ["shop_web"]


def test_a_service_changes_between_replicated_and_global_by_being_made_anew() -> None:
    """Swarm cannot change a service's mode; it is removed first."""
    double = SwarmDouble()
    run(double, shop(extra=(EVERY,)))
    other = replace(EVERY, deploy=Deploy(replicas=1))
    settle(double, shop(extra=(other,)))
    assert any(method == "DELETE" for method, _, _ in double.written)


def test_a_refused_file_says_the_clients_words() -> None:
    """The last line of the client's complaint is the message; nothing is waited for."""
    double = SwarmDouble()
    double.host.commands[("docker", "stack", "deploy")] = (1, "", "Ignoring x\nservices.web Additional property y")
    error = run(double, shop())["error"]
    assert "refused shop: services.web Additional property y" in error["message"]


def test_a_stack_is_removed_with_what_was_remembered_of_it() -> None:
    """Services and our own note go; another run finds nothing to do."""
    double = SwarmDouble()
    run(double, shop())
    settle(double, Stack("shop", present=False))
    assert double.objects["configs"] == []


def test_an_env_file_is_part_of_what_a_service_was_deployed_with() -> None:
    """The file is read by the deployment: a changed one deploys again, a missing one is named."""
    double = SwarmDouble()
    web = SwarmService(ContainerService("web", "app:1", env_files=("/opt/shop/web.env",)), Deploy())
    found = next(each for each in stack_resources("shop", [web]) if isinstance(each, Stack))
    assert "/opt/shop/web.env" in run(double, found)["error"]["message"]
    double.host.add_file("/opt/shop/web.env", "A=1\n")
    settle(double, found)
    double.host.nodes["/opt/shop/web.env"].data = b"A=2\n"
    settle(double, found)


def test_on_a_worker_the_stack_is_not_looked_for() -> None:
    """Only a manager can tell; the error says whose worker this is."""
    assert "only managers" in run(SwarmDouble("worker"), shop())["error"]["message"]


def test_services_and_tasks_are_read_as_a_real_manager_tells_them() -> None:
    """Two tasks of the web service run; of the job's two, only the one of its last execution counts."""
    double, known = SwarmDouble(), swarm_answers()
    double.services, double.tasks = known["services"], known["tasks"]
    found = stack_state.services(double.system, "t")
    assert found["web"].digest == "x" and (found["web"].mode, found["web"].replicas) == ("Replicated", 2)
    assert len(found["web"].running) == 2 and not found["web"].leftover
    assert len(found["once"].completed) == 1 and found["once"].mode == "ReplicatedJob"
    assert stack_view.progress(StackService("web", "", replicas=2), found["web"]) == "2 running"
    assert stack_view.progress(StackService("once", "", mode="once"), found["once"]) == "completed"
