"""A node of a swarm that is well or not, and everything that can be desired of it."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.containers.compose import ContainerService
from orchestr.containers.stack import Deploy, SwarmService
from orchestr.containers.stack import stack as stack_resources
from orchestr.resources.swarm.membership import SwarmLeft, SwarmManager, SwarmMember, SwarmSurvey
from orchestr.resources.swarm.nodes import SwarmDrained, SwarmNode, SwarmTokenRotation, SwarmTwins
from orchestr.resources.swarm.objects import SwarmConfig, SwarmLeftovers, SwarmSecret
from orchestr.resources.swarm.stack import Stack
from orchestr.testing import CANARY, World
from orchestr.transport.memory import MemorySystem
from tests.resources.swarm_double import CLUSTER, MANAGER, WORKER, SwarmDouble

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
    "swarm_twins": st.builds(SwarmTwins, current=st.sampled_from([(), ("twin",), (IDS[2], MANAGER)])),
    "swarm_config": st.builds(SwarmConfig, st.sampled_from(["shop_a-1", "shop_b-1"]), st.just("text"), st.just("shop")),
    "swarm_secret": st.builds(
        SwarmSecret, st.sampled_from(["shop_a-1", "shop_b-1"]), st.just(Secret(CANARY)), st.just("shop")
    ),
    "swarm_leftovers": st.builds(SwarmLeftovers, st.just("shop"), st.sampled_from([(), ("shop_a-1",)])),
    "stack": stacks(),
    "swarm_survey": st.builds(SwarmSurvey),
    "swarm_drained": st.builds(SwarmDrained, st.sampled_from([*IDS, ""]), timeout_s=st.just(2.0)),
    "swarm_token_rotation": st.builds(SwarmTokenRotation, st.sampled_from(["worker", "manager"])),
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
    there = st.one_of(RESOURCES["swarm_config"], RESOURCES["stack"])
    for resource in draw(st.lists(there)):
        settle(resource, double)
    return double


def settle(resource: Resource, double: SwarmDouble) -> None:
    converge(Task(resource), MemorySystem(double.host), check=False, has_pending=False)


def snapshot(double: SwarmDouble) -> str:
    return json.dumps(
        [double.info, double.nodes, double.services, double.tasks, double.objects, double.networks], sort_keys=True
    )


REFUSALS = ("manager", "majority", "in place", "another swarm", "known by", "in no swarm", "no node of this swarm")
WORLD = World(
    "swarm",
    RESOURCES,
    swarms(),
    snapshot,
    (*REFUSALS, "tasks still run", "still ready after"),
    never_done={"swarm_token_rotation": "a token is made anew each time it is asked for"},
)
