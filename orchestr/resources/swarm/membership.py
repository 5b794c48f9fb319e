"""A host's membership in a swarm: beginning one, joining one, leaving it.

Join tokens are read from a manager when the run comes to it, reach the joining host as Secrets, and go into the body of
a request on the engine's socket: no argument, no file, no log has them. The role of a *member* is set by a SwarmNode.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, Survey, registered
from orchestr.agent.secret import Secret
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.names import check_host
from orchestr.resources.swarm import gossip as swarm_gossip
from orchestr.resources.swarm import state as swarm_state
from orchestr.resources.swarm.account import published, refusal
from orchestr.resources.swarm.state import Membership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple

PORT = 2377
JOIN_S, DEMOTED_S = 60.0, 60.0
THIS, REMOVED = "this one", "this one, which has removed this host"
#: Why a run has no token of its manager: the event, and the next step (``%s``: the manager).
_MEND = "see the message about %s and correct that, then run again"
_OBSTACLES = {
    "failed": ("failed earlier in this run", _MEND),
    "unreachable": ("could not be reached in this run", _MEND),
    "left out": ("is not part of this run", "include %s in the run: --limit with both hosts, or without --limit"),
}
ADDRESS = "0123456789abcdefABCDEF.:"  # the characters of addresses; the name of an interface has another


@record
@registered("swarm_survey")
class SwarmSurvey(Survey):
    """The host's account of its swarm, for later plays; ``name`` only distinguishes surveys.

    Observes: the engine's own account. Changes: nothing. Never touches: anything; a host without an engine is in none.
    """

    name: str = "swarm"

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        try:
            return published(reader)
        except docker.EngineSilent:
            return {"state": "no engine", "is_manager": False}
        except ResourceError as error:  # a manager without a majority: the plan says so where it matters
            return {"state": "error", "is_manager": False, "error": str(error)}


@record
@registered("swarm_manager")
class SwarmManager(Resource):
    """The first manager of a swarm: begins one unless the host manages one already.

    ``advertise`` is the address peers reach it by and ``data_path`` that of containers' traffic (default: the same);
    with several addresses on a machine the engine would refuse, or guess. ``cluster``: the id it must have, if known.
    Observes: the engine's account of its swarm. Changes: begins a swarm. Never touches: a swarm the host is in; another
    one than expected, or a worker's place in one, is an error that names it.
    """

    advertise: str
    data_path: str = ""
    listen: str = "0.0.0.0:2377"
    data_path_port: int = 0
    address_pools: Tuple[str, ...] = ()
    subnet_size: int = 24
    cluster: str = ""
    name: str = "swarm"

    touches: ClassVar[Tuple[str, ...]] = ("swarm", "networks")

    def __post_init__(self) -> None:
        for address in filter(None, (self.advertise, self.data_path, self.listen)):
            check_host(address, "the swarm's address")
        for pool in self.address_pools:
            if not pool.partition("/")[2] or set(pool) - set(ADDRESS + "/"):
                raise ValueError("%r is not a network" % pool)

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        wanted = dict(_address(self.advertise), role="manager")
        return dict(wanted, cluster=self.cluster) if self.cluster else wanted

    def observe(self, reader: Reader) -> Optional[State]:
        membership = swarm_state.membership(reader)
        if membership.state == "inactive":
            return None
        role = "manager" if membership.is_manager else "worker"
        state = {"role": "%s, which cannot act" % role if membership.error else role, "address": membership.address}
        return dict(state, cluster=membership.cluster, node=membership.node_id)

    def apply(self, system: System, change: Change) -> None:
        membership = swarm_state.membership(system)
        if membership.state != "inactive":
            raise refusal(membership, self.advertise, self.cluster)
        if self.cluster:
            raise ResourceError(
                "this host is in no swarm, and no second one is begun beside %s" % self.cluster,
                "let it join that one through another manager",
            )
        _require_no_live_restore(system)
        body = {
            "ListenAddr": self.listen,
            "AdvertiseAddr": self.advertise,
            "DataPathAddr": self.data_path or self.advertise,
            "DataPathPort": self.data_path_port,
            "DefaultAddrPool": list(self.address_pools),
            "SubnetSize": self.subnet_size,
            "ForceNewCluster": False,
            "Spec": {},
        }
        docker_api.call(system, "POST", "/swarm/init", body=body, timeout_s=JOIN_S)

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        return published(reader)


@record
@registered("swarm_member")
class SwarmMember(Resource):
    """A membership of the swarm that ``managers`` (address:port) run; ``role`` is the host's role when it joins.

    ``cluster`` and ``nodes`` (ids of all its nodes) say which swarm that is, ``token`` lets the host in; all of them
    come from the outcome of a manager, ``contact``, and may be missing in a plan; ``obstacle`` says why the run has
    none: the contact "failed", was "unreachable" or "left out". A host already in it stays as it is, in either role.
    Observes: the engine's account of its swarm. Changes: joins; joins again when the swarm has removed the host.
    Never touches: another swarm the host is in, which is an error that names it.
    """

    role: str
    advertise: str
    managers: Tuple[str, ...] = ()
    cluster: str = ""
    nodes: Tuple[str, ...] = ()
    token: Optional[Secret] = None
    data_path: str = ""
    listen: str = "0.0.0.0:2377"
    name: str = "swarm"
    contact: str = ""
    obstacle: str = ""

    touches: ClassVar[Tuple[str, ...]] = ("swarm", "networks")

    def __post_init__(self) -> None:
        for address in filter(None, (self.advertise, self.data_path, self.listen, *self.managers)):
            check_host(address, "the swarm's address")
        if self.role not in ("worker", "manager"):
            raise ValueError("a swarm's member is a worker or a manager, not %r" % self.role)

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        return dict(_address(self.advertise), swarm=THIS)

    def observe(self, reader: Reader) -> Optional[State]:
        membership = swarm_state.membership(reader)
        if membership.state == "inactive":
            return None
        return {"swarm": self._which(reader, membership), "address": membership.address, "state": membership.state}

    def _which(self, reader: Reader, membership: Membership) -> str:
        """Return THIS, REMOVED, or the managers of another swarm."""
        known = (*self.nodes, self.published_values(reader).get("node"))  # the list is older than our own joining
        if not self.cluster or self.cluster == membership.cluster or membership.node_id in known:
            return THIS
        if not membership.cluster and any(node_id in self.nodes for node_id, _ in membership.managers):
            return REMOVED
        return "another, that of %s" % membership.manager_text

    def apply(self, system: System, change: Change) -> None:
        membership = swarm_state.membership(system)
        if membership.state != "inactive":
            which = self._which(system, membership)
            if which != REMOVED:
                raise refusal(membership, self.advertise, "" if which == THIS else self.cluster)
            docker_api.call(system, "POST", "/swarm/leave", {"force": "1"}, timeout_s=JOIN_S)
            swarm_gossip.await_closed(system)
        if not self.token or not self.managers:
            raise self._lack_of_token()
        _require_no_live_restore(system)
        self._join(system)

    def _lack_of_token(self) -> ResourceError:
        manager = self.contact or "a host of swarm_managers"
        event, step = _OBSTACLES.get(self.obstacle, _OBSTACLES["left out"])
        return ResourceError("this host waits for %s, which %s, to let it in" % (manager, event), step % manager)

    def _join(self, system: System) -> None:
        assert self.token is not None
        body = {
            "ListenAddr": self.listen,
            "AdvertiseAddr": self.advertise,
            "DataPathAddr": self.data_path or self.advertise,
            "RemoteAddrs": list(self.managers),
            "JoinToken": self.token.reveal(),
        }
        try:
            docker_api.call(system, "POST", "/swarm/join", body=body, timeout_s=JOIN_S)
        except docker_api.Refused as refused:
            # it goes on in the background when the engine's own patience ends
            if "background" not in refused.reason:
                step = "see that 2377/tcp of %s can be reached from here" % ", ".join(self.managers)
                raise ResourceError("this host could not join: %s" % refused.reason, step) from refused
        self.publish(system, {"node": _await_active(system).node_id})

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        return published(reader)


@record
@registered("swarm_left")
class SwarmLeft(Resource):
    """The host in no swarm. A manager has to be made a worker first (SwarmNode), which guards the majority.

    Its own engine learns of that a moment after the other managers have agreed on it, and is waited for.
    ``last``: the swarm may end with this host, its last manager; all it knows is lost then.
    Observes: the engine's account. Changes: leaves. Never touches: the other nodes' list, which keeps a Down entry.
    """

    last: bool = False
    name: str = "swarm"

    touches: ClassVar[Tuple[str, ...]] = ("swarm", "networks", "containers")

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        return None

    def observe(self, reader: Reader) -> Optional[State]:
        membership = swarm_state.membership(reader)
        return None if membership.state == "inactive" else {"swarm": "that of %s" % membership.manager_text}

    def apply(self, system: System, change: Change) -> None:
        membership = swarm_state.membership(system)
        if membership.is_manager and not self.last:
            membership = _await_demoted(system, membership)
            if membership.is_manager:
                raise ResourceError(
                    "this host is a manager, and leaving would break the swarm's majority",
                    "make it a worker first (move it to the group swarm_workers and run), then let it leave",
                )
        query = {"force": "1"} if membership.is_manager else None
        docker_api.call(system, "POST", "/swarm/leave", query, timeout_s=JOIN_S)
        swarm_gossip.await_closed(system)


def _address(advertise: str) -> Dict[str, str]:
    """Return the address a node is to be known by, where that is said by an address and not by an interface."""
    is_address = advertise and all(char in ADDRESS for char in advertise)
    return {"address": advertise} if is_address else {}


def _await_active(system: System) -> Membership:
    for _ in system.attempts(JOIN_S, 0.2):
        system.forget((swarm_state.FAMILY,))
        membership = swarm_state.membership(system)
        if membership.is_active:
            return membership
    raise ResourceError(
        "this host is still %s in the swarm after %.0f s: %s"
        % (membership.state, JOIN_S, membership.error or "no reason given"),
        "see that 2377/tcp of the managers can be reached from here; journalctl -u docker -n 50",
    )


def _await_demoted(system: System, membership: Membership) -> Membership:
    """Return the host's membership once its engine is no manager any more, if the swarm has it as a worker by now."""
    for _ in system.attempts(DEMOTED_S, 0.2):
        if not membership.is_manager or _is_kept_manager(system, membership):
            break
        system.forget((swarm_state.FAMILY,))
        membership = swarm_state.membership(system)
    return membership


def _is_kept_manager(system: System, own: Membership) -> bool:
    """Return True if the managers still count this host as one of them; they may not answer it any more."""
    try:
        node = swarm_state.node(system, own.node_id)
    except ResourceError:
        return False
    return node is not None and node.role == "manager"


def _require_no_live_restore(reader: Reader) -> None:
    if docker.get(reader, "/info").get("LiveRestoreEnabled"):
        raise ResourceError(
            "Docker's live-restore is on, which excludes swarm mode",
            "set docker_live_restore: false for these hosts (the role docker then changes daemon.json)",
        )
