"""The hosts of an inventory as a swarm: who is in it, who manages it, and which manager the others turn to.

Everything comes from the outcomes of this run's earlier plays (the role swarm's first one asks every host): nothing of
it is written down, and a join token least of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestr.errors import InputError

if TYPE_CHECKING:
    from orchestr.planning.plan import Host, Peer

MANAGERS, WORKERS, LEAVING = "swarm_managers", "swarm_workers", "leaving"
#: Where a host's own account of its swarm is found, newest first.
OUTCOMES = ("swarm_manager:swarm", "swarm_member:swarm", "swarm_survey:swarm")


def members(host: Host) -> list[Peer]:
    """Return the hosts that belong to the swarm, managers first, each once."""
    found = {peer.name: peer for peer in (*host.group(MANAGERS), *host.group(WORKERS))}
    return list(found.values())


def account(peer: Peer) -> Mapping[str, Any]:
    """Return what a host last said of its swarm, {} when it has not been asked in this run."""
    return next((found for found in map(peer.outcome, OUTCOMES) if found), {})


def working_managers(host: Host) -> list[Peer]:
    """Return the hosts of the group swarm_managers that manage a swarm now, in inventory order."""
    return [peer for peer in host.group(MANAGERS) if account(peer).get("is_manager")]


def acting_manager(host: Host) -> Peer:
    """Return the manager that does what is done once for the swarm: the first that works, else the first of the group.

    Raises InputError when the group swarm_managers is empty, or its hosts manage different swarms.
    """
    managers = host.group(MANAGERS)
    if not managers:
        raise InputError(f"no host is in the group {MANAGERS}", next_step="put one, three or five hosts into it")
    working = working_managers(host)
    clusters = {account(peer)["cluster"]: peer.name for peer in working}
    if len(clusters) > 1:
        told = ", ".join(f"{name} in {cluster}" for cluster, name in clusters.items())
        raise InputError(
            f"the managers are in different swarms: {told}",
            next_step="decide which one stays, and on the others: docker swarm leave --force",
        )
    return (working or managers)[0]


def is_acting_manager(host: Host) -> bool:
    """Tell whether this host is the one that deploys stacks and looks after nodes."""
    return acting_manager(host).name == host.name


def node_id(peer: Peer) -> str:
    """Return a host's node id, "" while it is not known to be in a swarm."""
    return str(account(peer).get("node_id", ""))


def known_nodes(host: Host) -> tuple[str, ...]:
    """Return the ids of all nodes the working managers told of."""
    told = [node[0] for peer in working_managers(host) for node in account(peer).get("nodes", ())]
    return tuple(dict.fromkeys(told))


def publishing(host: Host) -> dict[str, str]:
    """Return how services are published and found here, as Deploy's options: by the mesh, or without IPVS."""
    params = acting_manager(host).params("swarm")
    if params is not None and params.publish_mode == "host":
        return {"publish": "host", "endpoint_mode": "dnsrr"}
    return {"publish": "ingress", "endpoint_mode": "vip"}
