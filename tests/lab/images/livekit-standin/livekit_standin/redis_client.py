"""As much of Redis's protocol (RESP2) as rooms need: one connection, remade when it breaks."""

from __future__ import annotations

import asyncio

from livekit_standin.config import Redis

Reply = str | int | None | list["Reply"]

TIMEOUT_S = 3.0


class RedisError(Exception):
    """Redis cannot be reached, or refused a command."""


class RedisClient:
    """Commands to one Redis, one at a time."""

    def __init__(self, settings: Redis) -> None:
        self._settings = settings
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def command(self, *words: str) -> Reply:
        """The reply to one command; raises RedisError."""
        async with self._turn:
            try:
                return await asyncio.wait_for(self._exchange(words), TIMEOUT_S)
            except (TimeoutError, OSError, EOFError, ValueError) as error:
                self._drop()
                detail = str(error) or type(error).__name__
                raise RedisError(f"unable to connect to redis: {self._settings.address}: {detail}") from error

    async def hash(self, key: str) -> dict[str, str]:
        """All fields of a hash."""
        reply = await self.command("HGETALL", key)
        flat = [str(item) for item in reply] if isinstance(reply, list) else []
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def _drop(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None

    async def _exchange(self, words: tuple[str, ...]) -> Reply:
        if self._streams is None:
            await self._connect()
        return await self._send(words)

    async def _connect(self) -> None:
        host, _, port = self._settings.address.rpartition(":")
        self._streams = await asyncio.open_connection(host, int(port))
        try:
            if self._settings.password:
                login = [self._settings.username] if self._settings.username else []
                await self._send(("AUTH", *login, self._settings.password))
            await self._send(("SELECT", str(self._settings.db)))
        except RedisError:
            self._drop()
            raise

    async def _send(self, words: tuple[str, ...]) -> Reply:
        assert self._streams is not None
        reader, writer = self._streams
        encoded = [word.encode() for word in words]
        writer.write(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
        await writer.drain()
        return await _read_reply(reader)


async def _read_reply(reader: asyncio.StreamReader) -> Reply:
    line = await reader.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("connection closed")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RedisError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else (await reader.readexactly(int(rest) + 2))[:-2].decode()
    if kind == b"*":
        return [await _read_reply(reader) for _ in range(int(rest))]
    raise ValueError(f"not a Redis reply: {line!r}")
