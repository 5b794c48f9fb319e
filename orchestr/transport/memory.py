"""The test seam: a connection to a host in memory runs the real agent loop in a thread, over in-memory pipes."""

from __future__ import annotations

import ast
import json
import queue
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestr.agent.wire import encode
from orchestr.errors import UnreachableError
from orchestr.transport.memory_host import MemoryHost, MemorySystem, Node, ReadOnlyViolation, facts_of

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings

__all__ = ["MemoryConnection", "MemoryHost", "MemorySystem", "Node", "ReadOnlyViolation", "memory_connector"]

class _Pipe:
    """Bytes one way, with a timeout on reading and an end."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes] = queue.Queue()
        self._rest = b""

    def write(self, data: bytes) -> None:
        if data:
            self._chunks.put(data)

    def end(self) -> None:
        self._chunks.put(b"")

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        if not self._rest:
            try:
                self._rest = self._chunks.get(timeout=timeout_s)
            except queue.Empty:
                raise TimeoutError from None
        data, self._rest = self._rest[:size], self._rest[size:]
        if not data:
            self._chunks.put(b"")
        return data


class MemoryChannel:
    """The real agent loop in a thread on a MemoryHost, started by the program a session writes first."""

    def __init__(self, host: MemoryHost) -> None:
        self._to_agent, self._from_agent = _Pipe(), _Pipe()
        self._host = host
        self._is_started = False
        self._ended = threading.Event()

    def _serve(self, start: dict[str, Any]) -> None:
        from orchestr.agent.serve import Agent

        def make_system(**options: Any) -> MemorySystem:
            return MemorySystem(self._host, **options)

        self._from_agent.write(b"\n" + str(start["nonce"]).encode() + b"\n")
        holder = self._host.holder
        if start["lock"] and holder is not None:
            self._from_agent.write(encode({"type": "locked", "holder": holder}))
        else:
            Agent(
                self._to_agent.read,
                self._from_agent.write,
                {**start, "lock": False},
                make_system,
                lambda: facts_of(self._host),
                self._end,
            ).serve()
        self._end()

    def _end(self) -> None:
        self._ended.set()
        self._from_agent.end()

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        return self._from_agent.read(size, timeout_s)

    def write(self, data: bytes) -> None:
        if not self._is_started:
            self._is_started = True
            start = _start_in(data)
            threading.Thread(target=self._serve, args=(start,), daemon=True).start()
            return
        self._to_agent.write(data)

    def close(self) -> None:
        self._to_agent.end()

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return 0 if not self._is_started or self._ended.wait(timeout_s) else None


class MemoryConnection:
    """A connection to a MemoryHost; any command but the agent's ends at once with status 0."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host
        self._channels: list[MemoryChannel] = []

    def start(self, command: Sequence[str]) -> MemoryChannel:
        self._host.log.append(("start",))
        channel = MemoryChannel(self._host)
        self._channels.append(channel)
        return channel

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def memory_connector(hosts: Mapping[str, MemoryHost]) -> Callable[[ConnectionSettings], MemoryConnection]:
    """Return what `orchestr.run(connector=…)` takes: address → MemoryHost; other addresses are unreachable."""

    def connect(settings: ConnectionSettings) -> MemoryConnection:
        host = hosts.get(settings.address)
        if host is None:
            raise UnreachableError(f"{settings.address} does not answer", next_step="ping it")
        return MemoryConnection(host)

    return connect


def _start_in(program: bytes) -> dict[str, Any]:
    """Return what a bundled program passes to the agent it starts."""
    last = zlib.decompress(program).decode("utf-8").rstrip().rpartition("\n")[2]
    found: dict[str, Any] = json.loads(ast.literal_eval(last[last.index(".loads(") + 7 : -2]))
    return found
