"""A node's account of its swarm, and a manager's account of the nodes, read over the engine's socket."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import NotObservable, ResourceError
from orchestr.agent.system import Reader
from orchestr.resources.docker import engine as docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

FAMILY = "swarm"
NO_QUORUM = "start the managers that are down; with most of them lost for good see docs/how-to/swarm.md"
LEAVE = "where that is right, take it out of that swarm by hand: docker swarm leave --force"


@record
class Membership:
    """A node as it sees itself. ``state``: inactive, pending, active, locked or error; ``cluster``: managers know it.

    ``managers`` are pairs (node id, address:port) of the managers it knows of.
    """

    state: str
    node_id: str = ""
    address: str = ""
    is_manager: bool = False
    cluster: str = ""
    managers: Tuple[Tuple[str, str], ...] = ()
    error: str = ""

    @property
    def is_active(self) -> bool:
        return self.state == "active"

    @property
    def manager_text(self) -> str:
        """The managers' addresses, for a person."""
        return ", ".join(sorted(address for _, address in self.managers)) or "unknown managers"


@record
class Node:
    """A node as a manager sees it."""

    id: str
    hostname: str
    role: str
    availability: str
    state: str  # ready, down, disconnected, unknown
    address: str
    labels: Tuple[Tuple[str, str], ...]
    reachability: str = ""  # of managers: reachable, unreachable, unknown
    is_leader: bool = False

    @property
    def is_manager(self) -> bool:
        return bool(self.reachability)

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"


def membership(reader: Reader) -> Membership:
    """Return the node's account of itself. Raises EngineSilent."""
    membership: Membership = reader.once((FAMILY, "info"), lambda: _membership(docker.get(reader, "/info")))
    return membership


def _membership(info: Dict[str, Any]) -> Membership:
    swarm = info.get("Swarm") or {}
    managers = tuple((manager["NodeID"], manager["Addr"]) for manager in swarm.get("RemoteManagers") or ())
    return Membership(
        state=str(swarm.get("LocalNodeState") or "inactive"),
        node_id=str(swarm.get("NodeID") or ""),
        address=str(swarm.get("NodeAddr") or ""),
        is_manager=bool(swarm.get("ControlAvailable")),
        cluster=str((swarm.get("Cluster") or {}).get("ID") or ""),
        managers=managers,
        error=str(swarm.get("Error") or ""),
    )


def require_manager(reader: Reader) -> Membership:
    """Return the membership of a manager that can act. Raises NotObservable on any other host."""
    own = membership(reader)
    if own.is_active and own.is_manager:
        return own
    if not own.is_active:
        raise NotObservable(
            "this host is in no swarm (%s)" % (own.error or own.state), "the role swarm makes it a manager"
        )
    if own.error:
        raise NotObservable("this manager cannot act: %s" % own.error, NO_QUORUM)
    raise NotObservable(
        "this host is a worker of the swarm of %s; only managers can do this" % own.manager_text,
        "do it on one of them",
    )


def nodes(reader: Reader) -> List[Node]:
    """Return all nodes. Raises NotObservable on a host that is no manager, ResourceError without a quorum."""
    require_manager(reader)
    nodes: List[Node] = reader.once((FAMILY, "nodes"), lambda: [_node(item) for item in _all_nodes(reader)])
    return nodes


def _all_nodes(reader: Reader) -> List[Dict[str, Any]]:
    try:
        return docker.get(reader, "/nodes") or []
    except ResourceError as error:
        if "leader" in str(error) or "quorum" in str(error) or "deadline" in str(error):
            raise ResourceError("the swarm has no working majority of managers: %s" % error, NO_QUORUM) from error
        raise


def _node(item: Dict[str, Any]) -> Node:
    spec, status = item.get("Spec") or {}, item.get("Status") or {}
    manager = item.get("ManagerStatus") or {}
    return Node(
        id=item["ID"],
        hostname=str((item.get("Description") or {}).get("Hostname") or ""),
        role=str(spec.get("Role") or ""),
        availability=str(spec.get("Availability") or ""),
        state=str(status.get("State") or "unknown"),
        address=str(status.get("Addr") or ""),
        labels=tuple(sorted((spec.get("Labels") or {}).items())),
        reachability=str(manager.get("Reachability") or ("unknown" if manager else "")),
        is_leader=bool(manager.get("Leader")),
    )


def node(reader: Reader, node_id: str) -> Optional[Node]:
    """Return the node with this id, None when there is none."""
    return next((node for node in nodes(reader) if node.id == node_id), None)


def why_not_without(all_nodes: List[Node], gone: Node) -> str:
    """Return why a manager may not stop being one now, "" when it may: the rest must be a working majority."""
    rest = [node for node in all_nodes if node.is_manager and node.id != gone.id]
    working = [node for node in rest if node.reachability == "reachable"]
    if not rest:
        return "it is the only manager"
    if len(working) <= len(rest) // 2:
        return "only %d of the %d other managers can be reached, which is no majority" % (len(working), len(rest))
    return ""
