"""What holds for every resource of a swarm, whatever it is made of and whatever the swarm is like."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestr.agent import wire
from orchestr.agent.converge import CHANGED, OK, converge
from orchestr.agent.resource import Resource, Task, class_of
from orchestr.agent.secret import Secret
from orchestr.containers import ContainerService
from orchestr.resources.stack import Stack
from orchestr.resources.swarm import SwarmLeft, SwarmManager, SwarmMember
from orchestr.resources.swarm_nodes import SwarmNode, SwarmTwins
from orchestr.resources.swarm_objects import SwarmConfig, SwarmLeftovers, SwarmNetwork, SwarmSecret
from orchestr.stack import Deploy, SwarmService
from orchestr.stack import stack as stack_resources
from orchestr.transport.memory import MemorySystem
from tests.resources.swarm_double import CLUSTER, MANAGER, WORKER, SwarmDouble

CANARY = "canary-4711"
ADDRESS = st.sampled_from(["192.168.56.16", "192.168.56.17"])
IDS = [MANAGER, WORKER, "jadaxqfz8pldk7ijctk9o7i5w"]


@st.composite
def stacks(draw: st.DrawFn) -> Resource:
    """A stack of one to three services of any mode."""
    services = []
    for name in draw(st.sets(st.sampled_from(["a", "b", "c"]), min_size=1)):
        mode = draw(st.sampled_from(["replicated", "global", "once"]))
        service = ContainerService(name, draw(st.sampled_from(["x:1", "x:2"])), runs_once=mode == "once")
        replicas = draw(st.integers(0, 3)) if mode == "replicated" else None
        services.append(SwarmService(service, Deploy("global" if mode == "global" else "replicated", replicas)))
    found = stack_resources("shop", services, prune=draw(st.booleans()), settle_s=0.0)
    return next(each for each in found if isinstance(each, Stack))


LABELS = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=2)
#: kind → any resource of it
RESOURCES: dict[str, st.SearchStrategy[Resource]] = {
    "swarm_manager": st.builds(SwarmManager, ADDRESS, cluster=st.sampled_from(["", CLUSTER, "other"])),
    "swarm_member": st.builds(
        SwarmMember,
        st.sampled_from(["worker", "manager"]),
        ADDRESS,
        managers=st.just(("192.168.56.16:2377",)),
        cluster=st.sampled_from(["", CLUSTER]),
        nodes=st.just((*IDS, *(f"id{number:023d}" for number in range(1, 9)))),
        token=st.just(Secret("SWMTKN-x")),
    ),
    "swarm_left": st.builds(SwarmLeft, st.booleans()),
    "swarm_node": st.builds(
        lambda node_id, role, availability, labels: SwarmNode(
            node_id, "", role, availability, tuple(sorted(labels.items()))
        ),
        st.sampled_from(IDS),
        st.sampled_from(["", "worker", "manager"]),
        st.sampled_from(["", "active", "pause", "drain"]),
        LABELS,
    ),
    "swarm_twins": st.builds(SwarmTwins),
    "swarm_network": st.builds(
        SwarmNetwork,
        st.sampled_from(["one", "two"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "10.9.0.0/24"]),
        present=st.booleans(),
    ),
    "swarm_config": st.builds(SwarmConfig, st.sampled_from(["shop_a-1", "shop_b-1"]), st.just("text"), st.just("shop")),
    "swarm_secret": st.builds(
        SwarmSecret, st.sampled_from(["shop_a-1", "shop_b-1"]), st.just(Secret(CANARY)), st.just("shop")
    ),
    "swarm_leftovers": st.builds(SwarmLeftovers, st.just("shop"), st.sampled_from([(), ("shop_a-1",)])),
    "stack": stacks(),
}


@st.composite
def swarms(draw: st.DrawFn) -> SwarmDouble:
    """A node that is in a swarm or not, among managers that are well or not, with things on it that may be ours."""
    double = SwarmDouble(draw(st.sampled_from(["manager", "manager", "worker", "inactive"])))
    for node in double.nodes[1:]:
        if draw(st.booleans()):
            node["Spec"]["Role"] = "manager"
            node["ManagerStatus"] = {"Reachability": draw(st.sampled_from(["reachable", "unreachable"]))}
        node["Spec"]["Labels"] = draw(LABELS)
        node["Status"]["State"] = draw(st.sampled_from(["ready", "down"]))
    twin = json.loads(json.dumps(double.nodes[2]))
    twin.update(ID="twin", Status={**twin["Status"], "State": draw(st.sampled_from(["ready", "down"]))})
    double.nodes.append(twin)
    if not double.info["ControlAvailable"]:
        return double
    there = st.one_of(RESOURCES["swarm_network"], RESOURCES["swarm_config"], RESOURCES["stack"])
    for resource in draw(st.lists(there)):
        settle(resource, double)
    return double


class Interrupted(BaseException):
    """The agent was killed."""


class InterruptedSystem(MemorySystem):
    """Dies before its write number ``left``."""

    left = 0

    def _written(self) -> None:
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        super()._written()


def settle(resource: Resource, double: SwarmDouble) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(double.host), check=False, has_pending=False)


def snapshot(double: SwarmDouble) -> str:
    return json.dumps(
        [double.info, double.nodes, double.services, double.tasks, double.objects, double.networks], sort_keys=True
    )


REFUSALS = ("manager", "majority", "in place", "another swarm", "known by", "in no swarm", "no node of this swarm")


def is_refused(result: dict[str, Any]) -> bool:
    """Tell whether it was refused for a reason a person can act on, nothing being a fault of ours."""
    return result["verdict"] == "failed" and any(reason in result["error"]["message"] for reason in REFUSALS)


anything = pytest.mark.parametrize("kind", sorted(RESOURCES))
examples = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@anything
@examples
@given(data=st.data())
def test_looking_changes_nothing_and_foretells_the_run(kind: str, data: st.DataObject) -> None:
    """A plan writes nothing and says changed exactly when a run then changes something, or refuses to."""
    resource, double = data.draw(RESOURCES[kind]), data.draw(swarms())
    before = snapshot(double)
    planned = converge(Task(resource), MemorySystem(double.host, read_only=True), check=True, has_pending=False)
    assert snapshot(double) == before and CANARY not in str(planned)
    done = settle(resource, double)
    assert is_refused(done) or done["verdict"] == planned["verdict"], (planned, done)
    assert CANARY not in str(done) and "SWMTKN" not in str(done)


@anything
@examples
@given(data=st.data())
def test_a_second_run_changes_nothing(kind: str, data: st.DataObject) -> None:
    """After a run everything is as wanted; what was refused is refused again, and nothing was written for it."""
    resource, double = data.draw(RESOURCES[kind]), data.draw(swarms())
    first = settle(resource, double)
    assert is_refused(first) or first["verdict"] in (OK, CHANGED), first
    written, documents, after = len(double.written), len(double.documents), snapshot(double)
    again = settle(resource, double)
    assert again["verdict"] == OK or (is_refused(first) and is_refused(again)), (first, again)
    assert (len(double.written), len(double.documents), snapshot(double)) == (written, documents, after)


@anything
@examples
@given(data=st.data())
def test_a_run_cut_off_at_any_write_is_finished_by_the_next(kind: str, data: st.DataObject) -> None:
    """Killed before any of its writes, a run leaves nothing that the next one cannot bring about."""
    resource, double = data.draw(RESOURCES[kind]), data.draw(swarms())
    whole = copy.deepcopy(double)
    if settle(resource, whole)["verdict"] not in (OK, CHANGED):
        return
    for left in range(whole.host.writes - double.host.writes):
        part = copy.deepcopy(double)
        dying = InterruptedSystem(part.host)
        dying.left = left
        with pytest.raises(Interrupted):
            converge(Task(resource), dying, check=False, has_pending=False)
        assert settle(resource, part)["verdict"] in (OK, CHANGED)
        assert settle(resource, part)["verdict"] == OK


@anything
@examples
@given(data=st.data())
def test_a_resource_arrives_as_it_was_sent(kind: str, data: st.DataObject) -> None:
    """The wire gives back an equal resource, of the same kind and label."""
    resource = data.draw(RESOURCES[kind])
    decoder = wire.Decoder()
    decoder.feed(wire.encode({"type": "tasks", "tasks": [resource]}))
    frame = decoder.next_frame()
    assert frame is not None
    arrived: Any
    [arrived] = wire.decode(frame[1])["tasks"]
    assert arrived == resource and arrived.label == resource.label and type(arrived) is class_of(kind)
