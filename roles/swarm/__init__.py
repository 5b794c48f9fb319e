"""A Docker Swarm: begun on the first manager, joined by the others, its nodes labelled, its ports for peers only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from orchestr.agent.resource import Resource
from orchestr.applications.placement import node_labels
from orchestr.cluster.swarm_hosts import (
    LEAVING,
    MANAGERS,
    WORKERS,
    account,
    acting_manager,
    is_acting_manager,
    known_nodes,
    members,
    node_id,
    working_managers,
)
from orchestr.errors import InputError
from orchestr.planning.phases import Phase
from orchestr.planning.role import Params as Base
from orchestr.resources.firewall.firewall import Rule
from orchestr.resources.swarm.ingress import SwarmIngress
from orchestr.resources.swarm.membership import PORT as PORT
from orchestr.resources.swarm.membership import SwarmLeft, SwarmManager, SwarmMember, SwarmSurvey
from orchestr.resources.swarm.nodes import SwarmDrained, SwarmNode, SwarmTokenRotation, SwarmTwins

if TYPE_CHECKING:
    from orchestr.planning.plan import Host, Peer

GOSSIP_PORT = 7946
DATA_PORT = 4789
IN_A_SWARM = ("active", "pending", "locked", "error")
#: On one manager the nodes get labels and availability; a demotion never costs the majority.
PHASES = (
    Phase("survey"),
    Phase("join", MANAGERS, is_serial=True, is_fatal=True),
    Phase("join", WORKERS),
    Phase("nodes", MANAGERS),
    Phase("leave", LEAVING),
    Phase("clean", MANAGERS),
)


class Params(Base):
    """The defaults suit hosts whose private_address (else ansible_host) is the one peers reach them by."""

    advertise: str = Field(
        default="",
        description="where peers reach it: an address, a network (its own address in that one) or an interface; "
        "empty: private_address, else ansible_host",
    )
    data_path: str = Field(default="", description="where containers' traffic goes, said likewise; empty: the same")
    data_path_port: int = Field(default=DATA_PORT, ge=1024, le=49151, description="the port of that traffic, for all")
    address_pools: tuple[str, ...] = Field(
        default=(), description="networks that overlay networks are cut from; they must not overlap with your own"
    )
    subnet_size: int = Field(default=24, ge=8, le=29, description="how large the cuts are, as a prefix length")
    labels: dict[str, str] = Field(
        default={}, description="labels of the node, for placement: {storage: ssd}; one taken back is removed"
    )
    availability: Literal["active", "pause", "drain"] = Field(
        default="active", description="active takes work; pause takes no more; drain gives up what it has"
    )
    encrypted: bool = Field(
        default=False, description="an overlay network is encrypted: let ESP (IP protocol 50) in from peers as well"
    )
    publish_mode: Literal["ingress", "host"] = Field(
        default="ingress",
        description="how stacks publish ports: ingress answers on every node and needs IPVS in all kernels; "
        "host answers where a task runs, and keeps the client's address",
    )

    @field_validator("address_pools")
    @classmethod
    def _are_networks(cls, pools: tuple[str, ...]) -> tuple[str, ...]:
        for pool in pools:
            ipaddress.ip_network(pool)
        return pools


def preflight(host: Host, params: Params) -> Iterator[Resource]:
    """Yield what must hold before anything is changed."""
    if params.publish_mode == "ingress":
        yield SwarmIngress()


def survey(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the look at the swarm as this host knows it: all other phases go by it."""
    yield SwarmSurvey()


# -- joining --------------------------------------------------------------------------------
def join(host: Host, params: Params) -> Iterator[Resource]:
    """Yield a host's place in the swarm: the first manager begins it unless another one is in one already."""
    _assert_groups(host)
    yield from preflight(host, params)
    advertise, data_path = _own_address(host, params.advertise), _own_address(host, params.data_path)
    contact = acting_manager(host)
    if contact.name == host.name:
        _assert_nobody_is_elsewhere(host)
        yield SwarmManager(
            advertise,
            data_path=data_path,
            data_path_port=params.data_path_port,
            address_pools=params.address_pools,
            subnet_size=params.subnet_size,
            cluster=str(account(host).get("cluster", "")),
        )
        return
    role = "manager" if host.in_group(MANAGERS) else "worker"
    told = account(contact)
    yield SwarmMember(
        role,
        advertise,
        managers=tuple(told.get("managers", ())),
        cluster=str(told.get("cluster", "")),
        nodes=known_nodes(host),
        token=told.get(f"{role}_token"),
        data_path=data_path,
    )


def _own_address(host: Host, said: str) -> str:
    """Return an address or interface of the host for what a parameter says. Raises InputError."""
    if not said:
        return host.address
    try:
        network = ipaddress.ip_network(said, strict=False)
    except ValueError:
        return said  # an interface: the engine knows it
    if "/" not in said:
        return said
    own = [each for each in host.facts.get("addresses", ()) if ipaddress.ip_address(each) in network]
    if host.facts and len(own) != 1:
        raise InputError(
            f"{host.name} has {len(own) or 'no'} addresses in {said}, and one is needed to tell peers",
            next_step="set swarm_advertise to the address itself, in the host's own variables",
        )
    return own[0] if own else host.address


def _assert_groups(host: Host) -> None:
    names = [{peer.name for peer in host.group(group)} for group in (MANAGERS, WORKERS, LEAVING)]
    twice = (names[0] & names[1]) | (names[2] & (names[0] | names[1]))
    if twice:
        raise InputError(
            f"{', '.join(sorted(twice))}: a host is in one of {MANAGERS}, {WORKERS} and {LEAVING}",
            next_step="leave it in one; managers run tasks too",
        )
    if not any(host.in_group(group) for group in (MANAGERS, WORKERS)):
        raise InputError(f"{host.name} is to join the swarm, but is neither in {MANAGERS} nor in {WORKERS}")
    if len(names[0]) % 2 == 0:
        count = len(names[0])
        host.note(f"{count} managers bear the loss of no more than {count - 1} would: make it an odd number")


def _assert_nobody_is_elsewhere(host: Host) -> None:
    """Refuse to begin a second swarm beside one whose managers are merely not there now."""
    if working_managers(host) or not account(host):
        return
    silent = [peer.name for peer in host.group(MANAGERS) if not account(peer)]
    if silent:
        raise InputError(
            f"{', '.join(silent)} could not be asked whether there is a swarm already, so none is begun on {host.name}",
            next_step=f"include them in the run and let them answer, or take them out of {MANAGERS}",
        )
    busy = [peer.name for peer in members(host) if account(peer).get("state") in IN_A_SWARM]
    if busy and host.name not in busy:
        raise InputError(
            f"{', '.join(busy)} are in a swarm that no host of {MANAGERS} manages, so none is begun on {host.name}",
            next_step="start its managers, or on those hosts: docker swarm leave --force",
        )


# -- nodes --------------------------------------------------------------------------------
def nodes(host: Host, params: Params) -> Iterator[Resource]:
    """Yield, on one manager, what the swarm has of every node: promotions first, the rest, then who is to leave."""
    if not is_acting_manager(host):
        return
    for group, role in ((MANAGERS, "manager"), (WORKERS, "worker")):
        for peer in host.group(group):
            if _is_ours(host, peer):
                yield _node(host, peer, role)
    for peer in _leavers(host):
        yield SwarmNode(node_id(peer), peer.name, role="worker", availability="drain")
        yield SwarmDrained(node_id(peer), peer.name)
    own = (node_id(peer) for peer in (*members(host), *host.group(LEAVING)))
    yield SwarmTwins(current=tuple(each for each in own if each))


def _is_ours(host: Host, peer: Peer) -> bool:
    """Tell whether a host is, or in a plan would be, in this swarm; one that failed before has been told of already."""
    if not account(peer):
        return not account(host)  # nobody was asked: this is a plan without hosts
    known = known_nodes(host)
    return not node_id(peer) or not known or node_id(peer) in known or bool(peer.outcome("swarm_member:swarm"))


def _node(host: Host, peer: Peer, role: str) -> SwarmNode:
    theirs: Params = peer.params("swarm")
    labels = tuple(sorted({**node_labels(host, peer.name), **theirs.labels}.items())) if theirs else ()
    availability = theirs.availability if theirs else "active"
    return SwarmNode(node_id(peer), peer.name, role=role, availability=availability, labels=labels)


def _leavers(host: Host) -> list[Peer]:
    """Return the hosts that are to leave and still are in the swarm of the managers."""
    return [peer for peer in host.group(LEAVING) if node_id(peer) and node_id(peer) in known_nodes(host)]


def clean(host: Host, params: Params) -> Iterator[Resource]:
    """Yield, on one manager, the entries of nodes that left removed."""
    if is_acting_manager(host) and _leavers(host):
        yield SwarmTwins(gone=tuple(node_id(peer) for peer in _leavers(host)), name="nodes that left")


def rotate(host: Host, params: Params) -> Iterator[Resource]:
    """Yield new join tokens, from one manager."""
    if is_acting_manager(host):
        yield SwarmTokenRotation("worker")
        yield SwarmTokenRotation("manager")


def leave(host: Host, params: Params) -> Iterator[Resource]:
    """Yield a host out of the swarm: one of the group `leaving`, or one that an upgrade removes.

    A manager has to be made a worker before, unless nobody stays in the swarm, which then ends with it.
    """
    yield SwarmLeft(last=not host.staying("swarm"))


# -- the firewall --------------------------------------------------------------------------------
def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the ways in for the swarm's other hosts, and for nobody else."""
    peers = tuple(peer.address for peer in (*members(host), *host.group(LEAVING)) if peer.name != host.name)
    if not peers:
        return
    if host.in_group(MANAGERS):
        yield Rule(PORT, sources=peers, comment="swarm managers")
    yield Rule(GOSSIP_PORT, "tcp", sources=peers, comment="swarm nodes")
    yield Rule(GOSSIP_PORT, "udp", sources=peers, comment="swarm nodes")
    yield Rule(params.data_path_port, "udp", sources=peers, comment="swarm overlay networks")
    if params.encrypted:
        yield Rule(protocol="esp", sources=peers, comment="swarm encrypted networks")
