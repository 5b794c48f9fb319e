"""The nodes that are alive, the rooms they host and who is in them.

A room lives on the node it was first given to, until that node dies; any node carries its signalling.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, replace

from livekit_standin.store import Store

HEARTBEAT_S = 1.0
HEALTHY_S = 4.0  # service/server.go: healthCheck
DEAD_S = 8.0

SERVING = "SERVING"
SHUTTING_DOWN = "SHUTTING_DOWN"


@dataclass(frozen=True)
class Node:
    """One server; `updated_at` is the time of its last heartbeat in seconds since the epoch."""

    id: str
    ip: str
    region: str
    state: str
    started_at: float
    updated_at: float
    rooms: int = 0
    clients: int = 0

    @property
    def is_alive(self) -> bool:
        return time.time() - self.updated_at < DEAD_S


def new_node(ip: str, region: str) -> Node:
    """A node with an id of its own, not yet heard from."""
    return Node("ND_" + secrets.token_hex(6), ip, region, SERVING, time.time(), 0.0)


class Cluster:
    """What one node knows and says of all of them."""

    def __init__(self, store: Store, node: Node) -> None:
        self._store = store
        self.node = node

    async def heartbeat(self) -> None:
        """Record that this node is alive; only then is it healthy. Raises RedisError."""
        rooms = await self.rooms_here()
        clients = sum([len(await self.participants(room)) for room in rooms])
        fresh = replace(self.node, updated_at=time.time(), rooms=len(rooms), clients=clients)
        await self._store.put("nodes", fresh.id, json.dumps(asdict(fresh)))
        self.node = replace(fresh, state=self.node.state)

    def drain(self) -> None:
        """Take no new rooms from now on."""
        self.node = replace(self.node, state=SHUTTING_DOWN)

    @property
    def is_healthy(self) -> bool:
        return time.time() - self.node.updated_at <= HEALTHY_S

    async def leave(self) -> None:
        """Forget this node and the rooms it hosts."""
        for room in await self.rooms_here():
            await self._store.delete("room_node_map", room)
        await self._store.delete("nodes", self.node.id)

    async def nodes(self) -> dict[str, Node]:
        """All recorded nodes by id; records not written by this stand-in are passed over."""
        found = {}
        for identifier, record in (await self._store.hash("nodes")).items():
            try:
                found[identifier] = Node(**json.loads(record))
            except (TypeError, ValueError):
                continue
        return found

    async def forget_dead_nodes(self) -> None:
        """Drop the records of nodes not heard from for long, as the real one does when it starts."""
        for node in (await self.nodes()).values():
            if not node.is_alive:
                await self._store.delete("nodes", node.id)

    async def rooms_here(self) -> list[str]:
        rooms = await self._store.hash("room_node_map")
        return [room for room, node in rooms.items() if node == self.node.id]

    async def pin(self, room: str) -> tuple[Node, bool]:
        """The node `room` lives on, and whether the room was created for it just now."""
        alive = {name: node for name, node in (await self.nodes()).items() if node.is_alive}
        holder = (await self._store.hash("room_node_map")).get(room)
        if holder in alive:
            return alive[str(holder)], False
        if holder is not None:
            await self._store.delete("room_node_map", room)
        chosen = await self._least_loaded(alive)
        created = await self._store.put_if_absent("room_node_map", room, chosen.id)
        if not created:
            return await self.pin(room)
        await self._store.put("rooms", room, json.dumps({"sid": "RM_" + secrets.token_hex(6), "name": room}))
        return chosen, True

    async def _least_loaded(self, alive: dict[str, Node]) -> Node:
        rooms = list((await self._store.hash("room_node_map")).values())
        serving = [node for node in alive.values() if node.state == SERVING] or [self.node]
        return min(serving, key=lambda node: (rooms.count(node.id), node.started_at, node.id))

    async def participants(self, room: str) -> list[str]:
        """Identities in `room` whose signalling node is alive."""
        members = await self._store.hash(f"room_participants:{room}")
        alive = {name for name, node in (await self.nodes()).items() if node.is_alive}
        return sorted(name for name, node in members.items() if node in alive)

    async def join(self, room: str, identity: str) -> None:
        await self._store.put(f"room_participants:{room}", identity, self.node.id)

    async def part(self, room: str, identity: str) -> bool:
        """Take `identity` out of `room`; True when the room is empty now and therefore gone."""
        await self._store.delete(f"room_participants:{room}", identity)
        if await self.participants(room):
            return False
        await self._store.delete("room_node_map", room)
        await self._store.delete("rooms", room)
        return True

    async def has_participants(self) -> bool:
        """Whether anybody is in a room that lives on this node."""
        for room in await self.rooms_here():
            if await self.participants(room):
                return True
        return False
