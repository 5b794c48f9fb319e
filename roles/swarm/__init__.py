"""A Docker Swarm: created on the first manager, joined by the other hosts; labelled nodes, ports only for peers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from orchestr import InputError, Resource, Rule
from orchestr import Params as Base
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
from orchestr.planning.phases import Phase
from orchestr.resources.swarm.ingress import SwarmIngress
from orchestr.resources.swarm.membership import PORT as PORT
from orchestr.resources.swarm.membership import SwarmLeft, SwarmManager, SwarmMember, SwarmSurvey
from orchestr.resources.swarm.nodes import SwarmDrained, SwarmNode, SwarmTokenRotation, SwarmTwins

if TYPE_CHECKING:
    from orchestr import Host, Peer

GOSSIP_PORT = 7946
DATA_PORT = 4789
IN_A_SWARM = ("active", "pending", "locked", "error")
#: One manager sets labels and availability of all nodes; a demotion never costs the majority.
PHASES = (
    Phase("survey"),
    Phase("join", MANAGERS, is_serial=True, is_fatal=True),
    Phase("join", WORKERS),
    Phase("nodes", MANAGERS),
    Phase("leave", LEAVING),
    Phase("clean", MANAGERS),
)


class Params(Base):
    """The defaults suit hosts that peers reach at their private_address (else ansible_host)."""

    advertise: str = Field(
        default="",
        description="the address for peers: an address, a network (the host's address in it) or an interface; "
        "empty: private_address, else ansible_host",
    )
    data_path: str = Field(
        default="", description="address for containers' traffic, in the same forms; empty: the same"
    )
    data_path_port: int = Field(default=DATA_PORT, ge=1024, le=49151, description="the port of that traffic, for all")
    address_pools: tuple[str, ...] = Field(
        default=(), description="address pools of overlay networks; they must not overlap with your own networks"
    )
    subnet_size: int = Field(default=24, ge=8, le=29, description="prefix length of each overlay network")
    labels: dict[str, str] = Field(
        default={}, description="labels of the node, for placement: {storage: ssd}; a label taken out is removed"
    )
    availability: Literal["active", "pause", "drain"] = Field(
        default="active",
        description="active: gets tasks; pause: no new tasks; drain: its tasks move to other nodes",
    )
    encrypted: bool = Field(
        default=False, description="an overlay network is encrypted: also allow ESP (IP protocol 50) from peers"
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
    """Yield the gate that must pass before a change."""
    if params.publish_mode == "ingress":
        yield SwarmIngress()


def survey(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the survey of the swarm as this host knows it; all other phases depend on it."""
    yield SwarmSurvey()


# -- joining --------------------------------------------------------------------------------
def join(host: Host, params: Params) -> Iterator[Resource]:
    """Yield a host's membership: the first manager creates the swarm unless another manager is already in one."""
    _assert_groups(host)
    yield from preflight(host, params)
    advertise, data_path = _own_address(host, params.advertise), _own_address(host, params.data_path)
    contact = acting_manager(host)
    if contact.name == host.name:
        _assert_no_other_swarm(host)
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
    known = account(contact)
    token = known.get(f"{role}_token")
    yield SwarmMember(
        role,
        advertise,
        managers=tuple(known.get("managers", ())),
        cluster=str(known.get("cluster", "")),
        nodes=known_nodes(host),
        token=token,
        data_path=data_path,
        contact=contact.name,
        obstacle="" if token else contact.absence or "failed",
    )


def _own_address(host: Host, value: str) -> str:
    """Return the host's address or interface for a parameter's value. Raises InputError."""
    if not value:
        return host.address
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return value  # an interface: the engine knows it
    if "/" not in value:
        return value
    own = [address for address in host.facts.get("addresses", ()) if ipaddress.ip_address(address) in network]
    if host.facts and len(own) != 1:
        raise InputError(
            f"{host.name} has {len(own) or 'no'} addresses in {value}, but peers need exactly one",
            next_step="set swarm_advertise to the address itself, in the host's own variables",
        )
    return own[0] if own else host.address


def _assert_groups(host: Host) -> None:
    names = [{peer.name for peer in host.group(group)} for group in (MANAGERS, WORKERS, LEAVING)]
    twice = (names[0] & names[1]) | (names[2] & (names[0] | names[1]))
    if twice:
        raise InputError(
            f"{', '.join(sorted(twice))}: a host may be in only one of {MANAGERS}, {WORKERS} and {LEAVING}",
            next_step="keep it in one of them; managers run tasks too",
        )
    if not any(host.in_group(group) for group in (MANAGERS, WORKERS)):
        raise InputError(
            f"{host.name} has the role swarm, but is neither in {MANAGERS} nor in {WORKERS}",
            next_step=f"add it to {MANAGERS} or {WORKERS}",
        )
    if len(names[0]) % 2 == 0:
        count = len(names[0])
        host.note(f"{count} managers tolerate no more failures than {count - 1}: use an odd number")


def _assert_no_other_swarm(host: Host) -> None:
    """Refuse to create a second swarm while the managers of the first one are only unreachable."""
    if working_managers(host) or not account(host):
        return
    silent = [peer.name for peer in host.group(MANAGERS) if not account(peer)]
    if silent:
        raise InputError(
            f"{', '.join(silent)} did not answer and may already have a swarm, so none is created on {host.name}",
            next_step=f"include them in the run and make them reachable, or take them out of {MANAGERS}",
        )
    busy = [peer.name for peer in members(host) if account(peer).get("state") in IN_A_SWARM]
    if busy and host.name not in busy:
        raise InputError(
            f"{', '.join(busy)} are in a swarm that no host of {MANAGERS} manages, so none is created on {host.name}",
            next_step="start its managers, or run on these hosts: docker swarm leave --force",
        )


# -- nodes --------------------------------------------------------------------------------
def nodes(host: Host, params: Params) -> Iterator[Resource]:
    """Yield, on one manager, the settings of every node: managers first, then workers, then departing nodes."""
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
    yield SwarmTwins(current=tuple(name for name in own if name))


def _is_ours(host: Host, peer: Peer) -> bool:
    """Return True if a host is, or in a plan would be, in this swarm; earlier failures are already reported."""
    if not account(peer):
        return not account(host)  # no host was surveyed: this is a plan without hosts
    known = known_nodes(host)
    return not node_id(peer) or not known or node_id(peer) in known or bool(peer.outcome("swarm_member:swarm"))


def _node(host: Host, peer: Peer, role: str) -> SwarmNode:
    theirs: Params = peer.params("swarm")
    labels = tuple(sorted({**node_labels(host, peer.name), **theirs.labels}.items())) if theirs else ()
    availability = theirs.availability if theirs else "active"
    return SwarmNode(node_id(peer), peer.name, role=role, availability=availability, labels=labels)


def _leavers(host: Host) -> list[Peer]:
    """Return the departing hosts that are still in the swarm of the managers."""
    return [peer for peer in host.group(LEAVING) if node_id(peer) and node_id(peer) in known_nodes(host)]


def clean(host: Host, params: Params) -> Iterator[Resource]:
    """Yield, on one manager, the removal of the entries of nodes that left."""
    if is_acting_manager(host) and _leavers(host):
        yield SwarmTwins(gone=tuple(node_id(peer) for peer in _leavers(host)), name="nodes that left")


def rotate(host: Host, params: Params) -> Iterator[Resource]:
    """Yield new join tokens, from one manager."""
    if is_acting_manager(host):
        yield SwarmTokenRotation("worker")
        yield SwarmTokenRotation("manager")


def leave(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the departure of a host from the swarm: a host of the group `leaving`, or one that an upgrade removes.

    A manager must become a worker before, unless no host stays in the swarm, which then ends with it.
    """
    yield SwarmLeft(last=not host.staying("swarm"))


# -- the firewall --------------------------------------------------------------------------------
def ports(host: Host, params: Params) -> Iterator[Rule]:
    """Yield the rules for the other hosts of the swarm."""
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
