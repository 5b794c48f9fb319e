"""Swarm membership, nodes and shared objects, on an engine that answers in the words of a real one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.resources.swarm import state as swarm_state
from orchestr.resources.swarm.ingress import SwarmIngress
from orchestr.resources.swarm.membership import SwarmLeft, SwarmManager, SwarmMember, SwarmSurvey
from orchestr.resources.swarm.nodes import SwarmDrained, SwarmNode, SwarmTokenRotation, SwarmTwins
from orchestr.resources.swarm.objects import SwarmConfig, SwarmLeftovers, SwarmSecret
from orchestr.transport.memory import MemorySystem
from tests.resources.swarm_double import CLUSTER, MANAGER, WORKER, SwarmDouble, swarm_answers

HERE = "192.168.56.16"
TOKEN = "SWMTKN-x"
THIRD = "jadaxqfz8pldk7ijctk9o7i5w"


def run(double: SwarmDouble, resource: Resource, check: bool = False) -> dict[str, Any]:
    system = MemorySystem(double.host, read_only=check, run_id="r1", on_output=double.said.append)
    return converge(Task(resource), system, check, False)


def settle(double: SwarmDouble, resource: Resource) -> None:
    """It changes, after a plan that says so and writes nothing; then it is as wanted."""
    before = len(double.written)
    assert run(double, resource, check=True)["verdict"] == "changed"
    assert len(double.written) == before
    result = run(double, resource)
    assert result["verdict"] == "changed", result
    written = len(double.written)
    assert run(double, resource)["verdict"] == "ok"
    assert len(double.written) == written


def member(role: str = "worker", **options: Any) -> SwarmMember:
    given: dict[str, Any] = {"managers": (f"{HERE}:2377",), "cluster": CLUSTER, "nodes": (MANAGER, WORKER)}
    given["token"] = Secret(TOKEN)
    return SwarmMember(role, "192.168.56.17", **{**given, **options})


# -- membership -------------------------------------------------------------------------------------------------------
def test_a_swarm_is_begun_with_explicit_addresses() -> None:
    """The engine is told where peers reach it and where traffic goes, and does not guess."""
    double = SwarmDouble("inactive")
    settle(double, SwarmManager(HERE, data_path="10.9.9.1", address_pools=("10.50.0.0/16",)))
    [(_, path, body)] = double.written
    assert path == "/swarm/init" and body["AdvertiseAddr"] == HERE and body["DataPathAddr"] == "10.9.9.1"
    assert body["DefaultAddrPool"] == ["10.50.0.0/16"] and body["ForceNewCluster"] is False


def test_a_managers_outcome_holds_tokens_only_as_secrets() -> None:
    """What later plays need of a manager is there; nothing in it shows a token."""
    outcome = run(SwarmDouble(), SwarmManager(HERE))["outcome"]
    assert outcome["cluster"] == CLUSTER and outcome["managers"] == (f"{HERE}:2377",)
    assert [name for _, name, _, _ in outcome["nodes"]] == ["lab6", "lab7", "lab8"]
    assert isinstance(outcome["worker_token"], Secret) and "SWMTKN" not in repr(outcome)


def test_a_survey_never_fails() -> None:
    """A host without an engine is in no swarm; one whose managers have no majority says so."""
    double = SwarmDouble()
    double.is_up = False
    assert run(double, SwarmSurvey())["outcome"]["state"] == "no engine"
    double = SwarmDouble()
    double.info["Error"] = "rpc error: code = Unknown desc = The swarm does not have a leader."
    assert run(double, SwarmSurvey())["outcome"]["is_manager"] is False


def test_a_manager_without_a_majority_is_not_taken_for_well() -> None:
    """The engine's own words and the way out are told."""
    double = SwarmDouble()
    double.info["Error"] = "rpc error: code = Unknown desc = The swarm does not have a leader."
    error = run(double, SwarmManager(HERE))["error"]
    assert "does not have a leader" in error["message"] and "start the managers" in error["next_step"]
    assert double.written == []


def test_the_address_of_a_manager_is_not_changed_behind_its_back() -> None:
    """Another advertise address than the one peers know is an error that says what can be done."""
    double = SwarmDouble()
    error = run(double, SwarmManager("10.0.0.5"))["error"]
    assert "known by 192.168.56.16" in error["message"] and "leave" in error["next_step"]
    assert double.written == []
    assert run(double, SwarmManager("eth1"))["verdict"] == "ok"


def test_live_restore_is_named_as_what_excludes_a_swarm() -> None:
    """The engine's setting that forbids swarm mode is found before it is tried."""
    double = SwarmDouble("inactive")
    double.live_restore = True
    error = run(double, SwarmManager(HERE))["error"]
    assert "live-restore" in error["message"] and "docker_live_restore: false" in error["next_step"]


@pytest.mark.parametrize("role", ["worker", "manager"])
def test_a_host_joins_with_the_token_in_the_body_of_a_request(role: str) -> None:
    """The token travels to the engine's socket and nowhere else: no command is run."""
    double = SwarmDouble("inactive")
    assert run(double, member(role), check=True)["verdict"] == "changed" and double.written == []
    assert run(double, member(role))["verdict"] == "changed"
    [(method, path, body)] = double.written
    assert (method, path, body["JoinToken"]) == ("POST", "/swarm/join", TOKEN)
    assert body["RemoteAddrs"] == [f"{HERE}:2377"] and body["AdvertiseAddr"] == "192.168.56.17"
    assert double.host.log == []
    assert run(double, member(role, nodes=(MANAGER, double.info["NodeID"])))["verdict"] == "ok"


def test_a_host_without_a_token_says_which_host_the_run_lacks() -> None:
    """With no manager in the run a plan still tells the change; the run says what to include."""
    double = SwarmDouble("inactive")
    assert run(double, member(token=None, managers=()), check=True)["verdict"] == "changed"
    assert "swarm_managers" in run(double, member(token=None, managers=()))["error"]["next_step"]


@pytest.mark.parametrize(
    ("obstacle", "event", "step"),
    [
        ("failed", "failed earlier in this run", "see the message about m1"),
        ("unreachable", "could not be reached in this run", "see the message about m1"),
        ("left out", "is not part of this run", "--limit with both hosts"),
    ],
)
def test_a_host_that_waits_says_why_its_manager_does_not_let_it_in(obstacle: str, event: str, step: str) -> None:
    """The manager is named with its own trouble, and --limit only where a limit left it out."""
    error = run(SwarmDouble("inactive"), member(token=None, managers=(), contact="m1", obstacle=obstacle))["error"]
    assert error["message"] == f"this host waits for m1, which {event}, to let it in"
    assert step in error["next_step"]
    assert ("--limit" in error["next_step"]) == (obstacle == "left out")


def test_a_refused_token_is_not_shown() -> None:
    """The engine's refusal reaches the user; the token does not."""
    result = run(SwarmDouble("inactive"), member(token=Secret("SWMTKN-old")))
    assert "valid join token" in result["error"]["message"] and "SWMTKN-old" not in str(result)


@pytest.mark.parametrize("role", ["worker", "manager"])
def test_a_member_of_this_swarm_stays_as_it_is(role: str) -> None:
    """In either role: which one it has is the managers' to change."""
    double = SwarmDouble(role)
    double.info["NodeAddr"] = "192.168.56.17"
    assert run(double, member("worker"))["verdict"] == "ok"
    assert double.written == []


def test_a_worker_of_another_swarm_is_left_in_it() -> None:
    """The error names the other swarm's managers and the way out; nothing is left or joined."""
    double = SwarmDouble("worker")
    double.info["RemoteManagers"] = [{"NodeID": "other", "Addr": "10.1.1.1:2377"}]
    double.info["NodeID"] = "stranger"
    error = run(double, member())["error"]
    assert "another swarm" in error["message"] and "10.1.1.1:2377" in error["message"]
    assert "leave --force" in error["next_step"] and double.written == []


def test_a_host_the_swarm_has_removed_joins_again() -> None:
    """It still believes to be in it: it leaves, and joins under a new id."""
    double = SwarmDouble("worker")
    double.info["NodeID"] = "forgotten"
    assert run(double, member())["verdict"] == "changed"
    assert [path for _, path, _ in double.written] == ["/swarm/leave", "/swarm/join"]
    assert double.info["NodeID"] != "forgotten"


def test_a_manager_does_not_just_leave() -> None:
    """Leaving is for workers; a manager's would cost the majority, unless the swarm is to end with it."""
    error = run(SwarmDouble(), SwarmLeft())["error"]
    assert "is a manager" in error["message"] and "swarm_workers" in error["next_step"]
    settle(SwarmDouble("worker"), SwarmLeft())
    settle(SwarmDouble(), SwarmLeft(last=True))


def test_a_manager_just_made_a_worker_is_awaited() -> None:
    """Its engine learns of it after the managers have agreed: leaving waits for that, and needs no force."""
    double = SwarmDouble()
    double.nodes[0]["Spec"]["Role"] = "worker"
    double.demoted_in = 4
    assert run(double, SwarmLeft())["verdict"] == "changed"
    assert double.demoted_in == 0 and [path for _, path, _ in double.written] == ["/swarm/leave"]


# -- nodes ------------------------------------------------------------------------------------------------------------
def managers(double: SwarmDouble, *reachabilities: str) -> None:
    """Make the nodes managers with these reachabilities, the first one the leader."""
    for number, (node, reachability) in enumerate(zip(double.nodes, reachabilities, strict=True)):
        node["Spec"]["Role"] = "manager"
        node["ManagerStatus"] = {"Leader": number == 0, "Reachability": reachability}


def test_a_node_is_labelled_promoted_and_drained() -> None:
    """Role, labels and availability are set in one request each time, and only when they differ."""
    double = SwarmDouble()
    double.nodes[1]["Spec"]["Labels"] = {"theirs": "1"}
    settle(double, SwarmNode(WORKER, "lab7", role="manager", availability="drain", labels=(("a", "b"),)))
    spec = double.nodes[1]["Spec"]
    assert spec["Role"] == "manager" and spec["Availability"] == "drain"
    assert spec["Labels"] == {"theirs": "1", "a": "b", "orchestr.labels": "a"}
    settle(double, SwarmNode(WORKER, "lab7"))
    assert double.nodes[1]["Spec"]["Labels"] == {"theirs": "1"}


def test_a_node_somebody_else_writes_at_the_same_time_is_written_again() -> None:
    """The engine's "update out of sequence" is answered by reading and writing once more."""
    double = SwarmDouble()
    double.other_writers = 2
    assert run(double, SwarmNode(WORKER, "lab7", availability="pause"))["verdict"] == "changed"
    double.other_writers = 99
    assert "out of sequence" in run(double, SwarmNode(WORKER, "lab7", availability="active"))["error"]["message"]


@pytest.mark.parametrize(
    ("reachabilities", "demoted", "reason"),
    [
        (("reachable", "reachable", "unreachable"), 1, "1 of the 2 other managers"),
        (("reachable", "reachable", "unreachable"), 2, ""),
        (("reachable", "reachable", "reachable"), 1, ""),
    ],
)
def test_a_demotion_never_costs_the_majority(reachabilities: tuple[str, ...], demoted: int, reason: str) -> None:
    """Of the managers that stay, most must be reachable; a lost one may be demoted for that very reason."""
    double = SwarmDouble()
    managers(double, *reachabilities)
    result = run(double, SwarmNode(double.nodes[demoted]["ID"], "x", role="worker"))
    assert reason in result.get("error", {}).get("message", "") and (result["verdict"] == "failed") == bool(reason)
    assert bool(double.written) != bool(reason)


def test_two_demotions_in_a_run_are_judged_one_after_the_other() -> None:
    """The second one is refused where the first has made it dangerous."""
    double = SwarmDouble()
    managers(double, "reachable", "reachable", "unreachable")
    double.nodes.append({**double.nodes[0], "ID": "fourth", "ManagerStatus": {"Reachability": "reachable"}})
    assert run(double, SwarmNode(WORKER, "b", role="worker"))["verdict"] == "changed"
    assert "no majority" in run(double, SwarmNode("fourth", "d", role="worker"))["error"]["message"]


def test_only_dead_twins_are_removed() -> None:
    """A Down entry goes when its name and address are Ready under another id; one without a successor stays."""
    double = SwarmDouble()
    double.nodes[2]["Status"]["State"] = "down"
    assert run(double, SwarmTwins())["verdict"] == "ok"
    double.nodes.append({**json.loads(json.dumps(double.nodes[2])), "ID": "new"})
    double.nodes[3]["Status"] = {"State": "ready", "Addr": "10.0.0.99"}
    assert run(double, SwarmTwins())["verdict"] == "ok"
    double.nodes[3]["Status"]["Addr"] = double.nodes[2]["Status"]["Addr"]
    settle(double, SwarmTwins())
    assert [node["ID"] for node in double.nodes] == [MANAGER, WORKER, "new"]


def missed_after(double: SwarmDouble, node: dict[str, Any], looks: int) -> None:
    """Let the managers miss a node once the list of nodes was asked for this often."""
    answer = double.answer

    def counted(method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        nonlocal looks
        looks -= (method, path) == ("GET", "/nodes")
        node["Status"]["State"] = "ready" if looks > 0 else "down"
        return answer(method, path, query, body)

    double.answer = counted  # type: ignore[method-assign]  # the same, counted


@pytest.mark.parametrize("looks", [1, 5, 1_000_000])
def test_an_entry_that_its_host_has_outlived_is_waited_for(looks: int) -> None:
    """A host that joined anew names its own entry: the other under its name goes as soon as it is Down, not before."""
    double = SwarmDouble()
    old = double.nodes[2]
    double.nodes.append({**json.loads(json.dumps(old)), "ID": "new"})
    assert run(double, SwarmTwins())["verdict"] == "ok"
    assert run(double, SwarmTwins(current=(MANAGER, WORKER, old["ID"], "new")))["verdict"] == "ok"
    missed_after(double, old, looks)
    result = run(double, SwarmTwins(current=(MANAGER, WORKER, "new")))
    if looks < 1000:
        assert result["verdict"] == "changed", result
        assert [node["ID"] for node in double.nodes] == [MANAGER, WORKER, "new"]
    else:
        assert old["ID"] in result["error"]["message"] and "still ready" in result["error"]["message"]
        assert old in double.nodes


def test_a_dead_manager_twin_is_demoted_before_it_is_removed() -> None:
    """Removing a manager from the list would leave its voice in the majority."""
    double = SwarmDouble()
    managers(double, "reachable", "reachable", "unreachable")
    double.nodes[2]["Status"]["State"] = "down"
    double.nodes.append({**json.loads(json.dumps(double.nodes[1])), "ID": "new"})
    double.nodes[3]["Description"] = double.nodes[2]["Description"]
    double.nodes[3]["Status"] = {**double.nodes[2]["Status"], "State": "ready"}
    settle(double, SwarmTwins())
    assert [(method, path) for method, path, _ in double.written] == [
        ("POST", f"/nodes/{THIRD}/update"),
        ("DELETE", f"/nodes/{THIRD}"),
    ]


def test_draining_is_waited_for() -> None:
    """The gate opens when no task of the node is at work any more; a node that is gone has none."""
    double = SwarmDouble()
    double.tasks = swarm_answers()["tasks"]
    error = run(double, SwarmDrained(WORKER, "lab7", timeout_s=5.0))["error"]
    assert "1 tasks still run on lab7" in error["message"]
    double.nodes[1]["Status"]["State"] = "down"
    assert run(double, SwarmDrained(WORKER, "lab7"))["verdict"] == "ok"


@pytest.mark.parametrize("role", ["worker", "manager"])
def test_a_token_is_rotated_and_not_told(role: str) -> None:
    """Only the one asked for is new, and nothing of it is in the result."""
    double = SwarmDouble()
    result = run(double, SwarmTokenRotation(role))
    assert result["verdict"] == "changed" and "SWMTKN" not in str(result)
    tokens = double.swarm["JoinTokens"]
    assert [name for name, token in tokens.items() if token == "SWMTKN-new"] == [role.capitalize()]


def test_a_worker_cannot_be_asked_what_managers_know() -> None:
    """The error says whose worker it is."""
    error = run(SwarmDouble("worker"), SwarmNode(WORKER, "lab7", role="worker"))["error"]
    assert f"worker of the swarm of {HERE}:2377" in error["message"]


def test_nodes_are_read_as_a_manager_tells_them() -> None:
    """Ids, names, roles, addresses and states come from the real answer."""
    nodes = swarm_state.nodes(SwarmDouble().system)
    assert [(each.hostname, each.role, each.state, each.is_leader) for each in nodes] == [
        ("lab6", "manager", "ready", True),
        ("lab7", "worker", "ready", False),
        ("lab8", "worker", "ready", False),
    ]


# -- what services share ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", [SwarmConfig, SwarmSecret])
def test_a_content_is_created_under_its_name(cls: type[Any]) -> None:
    """The body has the content, labelled as ours; somebody else's object of that name is not touched."""
    double = SwarmDouble()
    settle(double, cls("shop_key-0123456789ab", Secret("hunter2"), "shop"))
    [(_, path, body)] = double.written
    assert path == f"/{cls.plural}/create" and base64.b64decode(body["Data"]) == b"hunter2"
    double.objects[cls.plural][0]["Spec"]["Labels"] = {}
    error = run(double, cls("shop_key-0123456789ab", Secret("hunter2"), "shop"))["error"]
    assert "not made by orchestr" in error["message"]


def test_only_our_own_unused_contents_are_collected() -> None:
    """Kept: the wanted, those a service uses, those a rollback would use, another stack's, and other people's."""
    double = SwarmDouble()
    for name in ("wanted", "used", "previous", "old"):
        run(double, SwarmConfig(f"shop_{name}-1", "x", "shop"))
    run(double, SwarmSecret("shop_old-2", Secret("x"), "shop"))
    run(double, SwarmConfig("other_old-1", "x", "other"))
    double.objects["configs"].append({"ID": "foreign", "Spec": {"Name": "shop_foreign", "Labels": {}}})
    ids = {each["Spec"]["Name"]: each["ID"] for each in double.objects["configs"]}

    def uses(name: str) -> dict[str, Any]:
        return {"TaskTemplate": {"ContainerSpec": {"Configs": [{"ConfigID": ids[f"shop_{name}-1"]}], "Secrets": None}}}

    double.services = [{"ID": "s", "Spec": uses("used"), "PreviousSpec": uses("previous")}]
    settle(double, SwarmLeftovers("shop", ("shop_wanted-1",)))
    left = {each["Spec"]["Name"] for kind in double.objects.values() for each in kind}
    assert left == {"shop_wanted-1", "shop_used-1", "shop_previous-1", "other_old-1", "shop_foreign"}


def test_a_kernel_without_ipvs_is_told_with_the_way_out() -> None:
    """Neither loaded nor loadable: the mesh would silently not answer."""
    double = SwarmDouble("inactive")
    error = run(double, SwarmIngress())["error"]
    assert "no IPVS" in error["message"] and "swarm_publish_mode: host" in error["next_step"]
    double.host.commands[("modprobe", "--dry-run")] = ""
    assert run(double, SwarmIngress())["verdict"] == "ok"
