"""The gossip port that an engine may keep open after it has left a swarm, and how to close it."""

from __future__ import annotations

from orchestr.agent.system import System
from orchestr.resources.docker import engine as docker
from orchestr.resources.ports import held_ports

PORT = 7946
CLOSE_S = 5.0


def await_closed(system: System) -> None:
    """Return when the port of the swarm's gossip is closed, so that the host can be a node again.

    An engine that leaves while it cannot reach its manager may keep it (26.1 does): the next swarm's overlay networks
    would then not reach this host. Where no container runs, the engine is restarted; otherwise a message asks for it.
    """
    for _ in system.attempts(CLOSE_S, 0.2):
        if PORT not in held_ports(system, "tcp"):
            return
    _restart(system)


def _restart(system: System) -> None:
    if docker.get(system, "/containers/json"):
        system.say("the engine keeps port %d open: restart it before this host joins a swarm again" % PORT)
        return
    system.run(["systemctl", "restart", "docker"], timeout_s=120)
    docker.await_engine(system)
