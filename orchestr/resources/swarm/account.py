"""The outcome of a node's membership for later plays, and the refusal of another membership."""

from __future__ import annotations

from orchestr.agent.resource import ResourceError
from orchestr.agent.secret import Secret
from orchestr.agent.system import Reader
from orchestr.resources.docker import engine as docker
from orchestr.resources.swarm import state as swarm_state
from orchestr.resources.swarm.state import Membership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict


def published(reader: Reader) -> Dict[str, Any]:
    """Return a membership as an outcome; that of a working manager includes the join tokens and the nodes."""
    membership = swarm_state.membership(reader)
    outcome: Dict[str, Any] = {
        "state": membership.state,
        "node_id": membership.node_id,
        "address": membership.address,
        "is_manager": membership.is_manager and not membership.error,
        "cluster": membership.cluster,
        "managers": tuple(address for _, address in membership.managers),
    }
    if outcome["is_manager"]:
        tokens = docker.get(reader, "/swarm")["JoinTokens"]
        outcome["worker_token"], outcome["manager_token"] = Secret(tokens["Worker"]), Secret(tokens["Manager"])
        nodes = swarm_state.nodes(reader)
        outcome["nodes"] = tuple((node.id, node.hostname, node.role, node.state) for node in nodes)
    return outcome


def refusal(membership: Membership, advertise: str, cluster: str) -> ResourceError:
    """Return the error for a host whose membership of a swarm contradicts the desired one."""
    if membership.state == "locked":
        return ResourceError("this node's swarm is locked", "docker swarm unlock, with the key that is kept for it")
    name = (
        "%s (%s)" % (membership.cluster, membership.manager_text)
        if membership.cluster
        else "that of %s" % membership.manager_text
    )
    if membership.is_manager and membership.error:
        return ResourceError("this manager cannot act: %s" % membership.error, swarm_state.NO_QUORUM)
    if cluster and membership.cluster != cluster:
        return ResourceError("this host is in another swarm: %s" % name, swarm_state.LEAVE)
    if membership.is_active and membership.address != advertise and membership.is_manager:
        return ResourceError(
            "this manager is known by %s, and a manager's address cannot be changed to %s"
            % (membership.address, advertise),
            "let it leave (a worker first, then leaving) and join again, or keep the address",
        )
    if membership.is_active and membership.address != advertise:
        return ResourceError(
            "this worker is known by %s, not %s" % (membership.address, advertise),
            "let it leave (group leaving) and join again, or keep the address",
        )
    if not membership.is_manager:
        return ResourceError("this host is a worker of another swarm: %s" % name, swarm_state.LEAVE)
    return ResourceError(
        "this node is %s in its swarm: %s" % (membership.state, membership.error or name), swarm_state.LEAVE
    )
