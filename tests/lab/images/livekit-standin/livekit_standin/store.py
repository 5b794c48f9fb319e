"""Where nodes and rooms are recorded: Redis, shared by all nodes, or this process's memory without Redis.

Keys, as upstream names them: hash `nodes` (node id to record), hash `room_node_map` (room to the id of the node
it lives on), hash `rooms` (room to record); and one hash of our own per room, `room_participants:ROOM`
(identity to the id of the node that carries the signalling).
"""

from __future__ import annotations

from typing import Protocol

from livekit_standin.redis_client import RedisClient


class Store(Protocol):
    """Hashes of strings."""

    async def hash(self, key: str) -> dict[str, str]: ...

    async def put(self, key: str, name: str, value: str) -> None: ...

    async def put_if_absent(self, key: str, name: str, value: str) -> bool: ...

    async def delete(self, key: str, name: str) -> None: ...


class RedisStore:
    """Hashes in Redis."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def hash(self, key: str) -> dict[str, str]:
        return await self._client.hash(key)

    async def put(self, key: str, name: str, value: str) -> None:
        await self._client.command("HSET", key, name, value)

    async def put_if_absent(self, key: str, name: str, value: str) -> bool:
        return await self._client.command("HSETNX", key, name, value) == 1

    async def delete(self, key: str, name: str) -> None:
        await self._client.command("HDEL", key, name)


class MemoryStore:
    """Hashes of a single node without Redis."""

    def __init__(self) -> None:
        self._hashes: dict[str, dict[str, str]] = {}

    async def hash(self, key: str) -> dict[str, str]:
        return dict(self._hashes.get(key, {}))

    async def put(self, key: str, name: str, value: str) -> None:
        self._hashes.setdefault(key, {})[name] = value

    async def put_if_absent(self, key: str, name: str, value: str) -> bool:
        return self._hashes.setdefault(key, {}).setdefault(name, value) is value

    async def delete(self, key: str, name: str) -> None:
        self._hashes.get(key, {}).pop(name, None)
