"""The hosts of an inventory as a swarm: its members, its managers, and the manager that acts for the swarm.

All data comes from the outcomes of this run's earlier plays (the first play of the role swarm asks every host). None
of it is stored, in particular no join token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestr.errors import InputError

if TYPE_CHECKING:
    from orchestr.planning.plan import Host, Peer

MANAGERS, WORKERS, LEAVING = "swarm_managers", "swarm_workers", "leaving"
#: Labels of the outcomes with a host's state in its swarm, newest first.
OUTCOMES = ("swarm_manager:swarm", "swarm_member:swarm", "swarm_survey:swarm")


def members(host: Host) -> list[Peer]:
    """Return the hosts that belong to the swarm, managers first, each once."""
    peers = {peer.name: peer for peer in (*host.group(MANAGERS), *host.group(WORKERS))}
    return list(peers.values())


def account(peer: Peer) -> Mapping[str, Any]:
    """Return a host's newest state in its swarm, {} when it has not been asked in this run."""
    return next((outcome for outcome in map(peer.outcome, OUTCOMES) if outcome), {})


def working_managers(host: Host) -> list[Peer]:
    """Return the hosts of the group swarm_managers that manage a swarm now, in inventory order."""
    return [peer for peer in host.group(MANAGERS) if account(peer).get("is_manager")]


def acting_manager(host: Host) -> Peer:
    """Return the manager that acts for the swarm: the first working manager, else the first host of the group.

    Raises InputError when the group swarm_managers is empty, or its hosts manage different swarms.
    """
    managers = host.group(MANAGERS)
    if not managers:
        raise InputError(f"no host is in the group {MANAGERS}", next_step="put one, three or five hosts into it")
    working = working_managers(host)
    clusters = {account(peer)["cluster"]: peer.name for peer in working}
    if len(clusters) > 1:
        memberships = ", ".join(f"{name} in {cluster}" for cluster, name in clusters.items())
        raise InputError(
            f"the managers are in different swarms: {memberships}",
            next_step="choose one swarm to keep; on the managers of the others: docker swarm leave --force",
        )
    return (working or managers)[0]


def is_acting_manager(host: Host) -> bool:
    """Return True if this host deploys stacks and manages nodes for the swarm."""
    return acting_manager(host).name == host.name


def node_id(peer: Peer) -> str:
    """Return a host's node id, "" as long as no swarm is known for it."""
    return str(account(peer).get("node_id", ""))


def known_nodes(host: Host) -> tuple[str, ...]:
    """Return the ids of all nodes that the working managers reported."""
    nodes = [node[0] for peer in working_managers(host) for node in account(peer).get("nodes", ())]
    return tuple(dict.fromkeys(nodes))


def publishing(host: Host) -> dict[str, str]:
    """Return the options of Deploy for ports and name resolution: the routing mesh, or host mode (no IPVS)."""
    params = acting_manager(host).params("swarm")
    if params is not None and params.publish_mode == "host":
        return {"publish": "host", "endpoint_mode": "dnsrr"}
    return {"publish": "ingress", "endpoint_mode": "vip"}
