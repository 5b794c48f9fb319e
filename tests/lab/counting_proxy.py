"""A TCP proxy on loopback in front of a node's sshd that counts what passes: connections, bytes each way, turns."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

PIECE = 1 << 16  # bytes read at once
TO_HOST, FROM_HOST = "to", "from"


@dataclass
class Passed:
    """What passed so far. ``turns``: how often the line's direction changed from to the host to from it."""

    connections: int = 0
    to_host_bytes: int = 0
    from_host_bytes: int = 0
    turns: int = 0


class CountingProxy:
    """Serves on 127.0.0.1, ``port``, in a thread of its own."""

    def __init__(self, address: str, port: int = 22) -> None:
        self._upstream = (address, port)
        self._loop = asyncio.new_event_loop()
        self._direction = ""
        self.passed = Passed()
        self.port = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[CountingProxy]:
        """Serve while the block runs; its connections end with it."""
        server = self._loop.run_until_complete(asyncio.start_server(self._pass_on, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def begin(self) -> None:
        """Count from nothing again."""
        self.passed, self._direction = Passed(), ""

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed.connections += 1
        there_reader, there_writer = await asyncio.open_connection(*self._upstream)
        await asyncio.gather(
            self._copy(reader, there_writer, TO_HOST),
            self._copy(there_reader, writer, FROM_HOST),
        )

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(PIECE):
                self._count(direction, len(data))
                writer.write(data)
                await writer.drain()
        writer.close()

    def _count(self, direction: str, size_bytes: int) -> None:
        if direction == TO_HOST:
            self.passed.to_host_bytes += size_bytes
        else:
            self.passed.from_host_bytes += size_bytes
            self.passed.turns += self._direction == TO_HOST
        self._direction = direction

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
