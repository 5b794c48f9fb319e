"""The nodes of a swarm as its managers hold them: role, labels, availability; old entries; join tokens.

All of these run on a manager and name a node by its id: names are not unique, a node that joined again has two.
"""

from __future__ import annotations

from orchestr.agent.record import record, replace
from orchestr.agent.resource import Action, Change, NotObservable, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.names import check_part
from orchestr.resources.swarm import state as swarm_state
from orchestr.resources.swarm.state import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

OURS = "orchestr.labels"  # a node label that names the labels we have set, so that one taken back can be removed
ROLE_S, DRAIN_S, DOWN_S = 60.0, 600.0, 60.0
AT_WORK = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running")


def _check_id(node_id: str) -> None:
    """Raise ValueError unless a text can be the id of a node ("" is one that has not joined)."""
    if node_id:
        check_part(node_id, "the id of the swarm's node")


@record
@registered("swarm_node")
class SwarmNode(Resource):
    """A node as its managers keep it: its role, its labels, and its availability (active, pause, drain).

    An empty role or availability is left as it is. Labels set here and no longer wanted go; others' labels stay.
    Observes: the node's entry. Changes: promotes, demotes, labels. A demotion that would leave no working majority of
    managers is refused, and is waited for before anything else. Never touches: the node itself.
    """

    node_id: str
    hostname: str = ""
    role: str = ""
    availability: str = ""
    labels: Tuple[Tuple[str, str], ...] = ()

    touches: ClassVar[Tuple[str, ...]] = ("swarm",)

    def __post_init__(self) -> None:
        _check_id(self.node_id)
        if self.role not in ("", "worker", "manager"):
            raise ValueError("a swarm node is a worker or a manager, not %r" % self.role)
        if self.availability not in ("", "active", "pause", "drain"):
            raise ValueError("a swarm node is active, paused (pause) or drained (drain), not %r" % self.availability)

    @property
    def label(self) -> str:
        return self.hostname or self.node_id

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return {("swarm node", self.label): self.desired()}

    def desired(self) -> Optional[State]:
        wanted = {"role": self.role, "availability": self.availability}
        return dict({key: value for key, value in wanted.items() if value}, labels=_pairs(self.labels))

    def observe(self, reader: Reader) -> Optional[State]:
        node = self._node(reader)
        if node is None:
            return None
        own = (*_ours(node), *(name for name, _ in self.labels))
        labels = [(name, value) for name, value in node.labels if name in own]
        return {"role": node.role, "availability": node.availability, "labels": _pairs(labels)}

    def _node(self, reader: Reader) -> Optional[Node]:
        return swarm_state.node(reader, self.node_id) if self.node_id else None

    def apply(self, system: System, change: Change) -> None:
        node = self._node(system)
        if node is None:
            raise ResourceError("%s is no node of this swarm" % self.label, "let it join first (the role swarm)")
        if change.touches("role") and self.role == "worker":
            self._guard(system, node)
        docker_api.update(system, "/nodes/%s" % self.node_id, self._spec, "the node %s" % self.label)
        if change.touches("role"):
            self._await_role(system)

    def _guard(self, system: System, node: Node) -> None:
        reason = swarm_state.why_not_without(swarm_state.nodes(system), node)
        if reason:
            raise ResourceError(
                "%s may not be made a worker: %s" % (self.label, reason),
                "make another host a manager first, or start the managers that are down",
            )

    def _spec(self, node: Dict[str, Any]) -> Dict[str, Any]:
        spec = dict(node["Spec"])
        ours = _ours(swarm_state._node(node))
        labels = {name: value for name, value in (spec.get("Labels") or {}).items() if name not in (*ours, OURS)}
        labels.update(self.labels)
        if self.labels:
            labels[OURS] = ",".join(sorted(name for name, _ in self.labels))
        spec["Labels"] = labels
        spec["Role"] = self.role or spec["Role"]
        spec["Availability"] = self.availability or spec["Availability"]
        return spec

    def _await_role(self, system: System) -> None:
        """Wait until the managers agree on their members: the next change must not meet an unfinished one."""
        seen = "no answer"
        for _ in system.attempts(ROLE_S, 0.2):
            system.forget((swarm_state.FAMILY,))
            try:
                node = self._node(system)
                managers = [other for other in swarm_state.nodes(system) if other.is_manager]
                if node is None or (node.is_manager == (self.role == "manager") and _is_settled(managers)):
                    return
                seen = "%s, %s" % (node.role, node.reachability or "no manager")
            except NotObservable:
                raise
            except ResourceError as error:
                seen = str(error)  # a leader is being elected
        raise ResourceError("%s did not become a %s in %.0f s: %s" % (self.label, self.role, ROLE_S, seen))


def _is_down(node: Node) -> bool:
    return node.state == "down"


def _is_settled(managers: List[Node]) -> bool:
    reachable = [manager for manager in managers if manager.reachability == "reachable"]
    return any(manager.is_leader for manager in managers) and len(reachable) > len(managers) // 2


def _ours(node: Node) -> Tuple[str, ...]:
    return tuple(name for name in dict(node.labels).get(OURS, "").split(",") if name)


def _pairs(labels: Any) -> Tuple[str, ...]:
    return tuple(sorted("%s=%s" % (name, value) for name, value in labels if name != OURS))


@record
@registered("swarm_twins")
class SwarmTwins(Resource):
    """No old entry of a node that came back: its engine was new, so it joined under a new id and its old name.

    Safe to remove is only an entry that is Down, no manager that others count on, and whose name and address a Ready
    node with another id has now: machines made from one image may share a name. Where ``current`` (ids that hosts
    call their own now) has that other id, the entry is old before the managers miss its engine, and is waited for
    until it is Down. Entries named in ``gone`` (ids of hosts that left) go in any case, once they are Down.
    Observes: the list of nodes. Changes: removes such entries, made workers first. Never touches: any other node.
    """

    gone: Tuple[str, ...] = ()
    current: Tuple[str, ...] = ()
    name: str = "old nodes"

    touches: ClassVar[Tuple[str, ...]] = ("swarm",)

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        return {"old": ()}

    def observe(self, reader: Reader) -> Optional[State]:
        return {"old": tuple("%s (%s)" % (item.hostname, item.id) for item in self._old(reader))}

    def _old(self, reader: Reader) -> List[Node]:
        nodes = swarm_state.nodes(reader)
        living = {(node.hostname, node.address) for node in nodes if node.is_ready and node.id not in self.gone}
        own = {(node.hostname, node.address) for node in nodes if node.id in self.current}
        others = [node for node in nodes if node.id not in (*self.gone, *self.current)]
        twins = [node for node in others if (node.hostname, node.address) in (living if _is_down(node) else own)]
        return [*twins, *(node for node in nodes if node.id in self.gone)]

    def apply(self, system: System, change: Change) -> None:
        for old in self._old(system):
            self._await_down(system, old)
            if old.is_manager:
                SwarmNode(old.id, old.hostname, role="worker").apply(system, Change({}, {}, ("role",)))
            docker_api.call(system, "DELETE", "/nodes/%s" % old.id, {"force": "1"})
            system.forget((swarm_state.FAMILY,))

    def _await_down(self, system: System, old: Node) -> None:
        for _ in system.attempts(DOWN_S, 0.3):
            if _is_down(old):
                return
            system.forget((swarm_state.FAMILY,))
            old = swarm_state.node(system, old.id) or replace(old, state="down")
        raise ResourceError(
            "%s (%s) has left, and is still %s after %.0f s" % (old.hostname, old.id, old.state, DOWN_S),
            "check the nodes of its name: docker node ls",
        )


@record
@registered("swarm_drained")
class SwarmDrained(Resource):
    """A gate: no task is at work on a node any more, after its availability became drain.

    Observes: the node's tasks. Changes: nothing, it waits. Never touches: tasks.
    """

    node_id: str
    hostname: str = ""
    timeout_s: float = DRAIN_S

    is_gate: ClassVar[bool] = True
    touches: ClassVar[Tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_id(self.node_id)

    @property
    def label(self) -> str:
        return self.hostname or self.node_id

    def desired(self) -> Optional[State]:
        return {"tasks": 0}

    def observe(self, reader: Reader) -> Optional[State]:
        node = swarm_state.node(reader, self.node_id) if self.node_id else None
        if node is None or not node.is_ready:
            return {"tasks": 0}  # tasks on a machine that is gone cannot be awaited
        tasks = docker_api.listed(reader, "/tasks", {"node": [self.node_id]})
        return {"tasks": sum(1 for item in tasks if (item.get("Status") or {}).get("State") in AT_WORK)}

    def apply(self, system: System, change: Change) -> None:
        left = 0
        for _ in system.attempts(self.timeout_s, 0.3):
            system.forget((swarm_state.FAMILY,))
            left = (self.observe(system) or {})["tasks"]
            if not left:
                return
        raise ResourceError(
            "%d tasks still run on %s after %.0f s" % (left, self.label, self.timeout_s),
            "docker node ps %s on a manager shows them" % self.label,
        )


@record
@registered("swarm_token_rotation")
class SwarmTokenRotation(Action):
    """A new join token for workers or managers: the old one no longer lets a host join. Never shown.

    Observes: nothing, it is done each time. Changes: the token. Never touches: nodes that have joined.
    """

    role: str = "worker"

    touches: ClassVar[Tuple[str, ...]] = ("swarm",)

    def __post_init__(self) -> None:
        if self.role not in ("worker", "manager"):
            raise ValueError("a token is of workers or of managers, not of %r" % self.role)

    @property
    def label(self) -> str:
        return "%s token" % self.role

    def is_done(self, reader: Reader) -> bool:
        swarm_state.require_manager(reader)
        return False

    def perform(self, system: System) -> None:
        current = docker.get(system, "/swarm")
        which = {"worker": "rotateWorkerToken", "manager": "rotateManagerToken"}[self.role]
        query = {"version": str(current["Version"]["Index"]), which: "true"}
        docker_api.call(system, "POST", "/swarm/update", query, current["Spec"])
