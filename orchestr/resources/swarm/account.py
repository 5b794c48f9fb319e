"""What a node tells of its swarm to later plays, and why it cannot be in another place than it is."""

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
    """Return a membership as an outcome; a working manager tells the join tokens and the nodes too."""
    found = swarm_state.membership(reader)
    outcome: Dict[str, Any] = {
        "state": found.state,
        "node_id": found.node_id,
        "address": found.address,
        "is_manager": found.is_manager and not found.error,
        "cluster": found.cluster,
        "managers": tuple(address for _, address in found.managers),
    }
    if outcome["is_manager"]:
        tokens = docker.get(reader, "/swarm")["JoinTokens"]
        outcome["worker_token"], outcome["manager_token"] = Secret(tokens["Worker"]), Secret(tokens["Manager"])
        nodes = swarm_state.nodes(reader)
        outcome["nodes"] = tuple((each.id, each.hostname, each.role, each.state) for each in nodes)
    return outcome


def refusal(found: Membership, advertise: str, cluster: str) -> ResourceError:
    """Return why a host that is in a swarm already cannot be what is asked."""
    if found.state == "locked":
        return ResourceError("this node's swarm is locked", "docker swarm unlock, with the key that is kept for it")
    name = "%s (%s)" % (found.cluster, found.manager_text) if found.cluster else "that of %s" % found.manager_text
    if found.is_manager and found.error:
        return ResourceError("this manager cannot act: %s" % found.error, swarm_state.NO_QUORUM)
    if cluster and found.cluster != cluster:
        return ResourceError("this host is in another swarm: %s" % name, swarm_state.LEAVE)
    if found.is_active and found.address != advertise and found.is_manager:
        return ResourceError(
            "this manager is known by %s, and a manager's address cannot be changed to %s" % (found.address, advertise),
            "let it leave (a worker first, then leaving) and join again, or keep the address",
        )
    if found.is_active and found.address != advertise:
        return ResourceError(
            "this worker is known by %s, not %s" % (found.address, advertise),
            "let it leave (group leaving) and join again, or keep the address",
        )
    if not found.is_manager:
        return ResourceError("this host is a worker of another swarm: %s" % name, swarm_state.LEAVE)
    return ResourceError("this node is %s in its swarm: %s" % (found.state, found.error or name), swarm_state.LEAVE)
