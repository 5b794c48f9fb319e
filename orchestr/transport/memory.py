"""The test seam: a connection to a host in memory drives the real agent, without a process, a line or a poll."""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestr.agent.bootstrap import parts_of
from orchestr.agent.wire import encode
from orchestr.errors import UnreachableError
from orchestr.transport.memory_host import MemoryHost, MemorySystem, Node, ReadOnlyViolation, facts_of

if TYPE_CHECKING:
    from orchestr.agent.serve import Agent
    from orchestr.inventory.settings import ConnectionSettings

__all__ = ["MemoryConnection", "MemoryHost", "MemorySystem", "Node", "ReadOnlyViolation", "memory_connector"]


IDLE_S = 2.0  # after which a thread without work ends
_idle: list[queue.SimpleQueue[Callable[[], None]]] = []  # the inboxes of threads without work


def _aside(work: Callable[[], None]) -> None:
    """Do ``work`` in an idle thread, or in a new one."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = queue.SimpleQueue()
        threading.Thread(target=_do_in_turn, args=(inbox,), daemon=True).start()
    inbox.put(work)


def _do_in_turn(inbox: queue.SimpleQueue[Callable[[], None]]) -> None:
    """Do the work that arrives, and end after IDLE_S without any; work that arrives just then is still done."""
    while True:
        try:
            work = inbox.get(timeout=IDLE_S)
        except queue.Empty:
            try:
                _idle.remove(inbox)
            except ValueError:  # another thread has just taken the inbox, and is about to put work in
                continue
            return
        work()
        _idle.append(inbox)


class _Pipe:
    """An agent's output, with a timeout on reading and an end."""

    __slots__ = ("_chunks", "_rest")

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
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


def start_in(program: bytes) -> dict[str, Any]:
    """Return the start (nonce, run, holder, lock) that a program of ``engine.bundle`` was made with."""
    text = zlib.decompressobj()
    text.decompress(program)
    start: dict[str, Any] = parts_of(text.unused_data)[0]
    return start


class MemoryChannel:
    """The real agent on a MemoryHost, begun by the program a session writes first.

    It handles input in the writer's own thread, and has one of its own only while it works on tasks, which may ask
    back. Nothing here polls: a pipe in memory does not break in silence.
    """

    def __init__(self, host: MemoryHost) -> None:
        self._from_agent = _Pipe()
        self._host = host
        self._agent: Agent | None = None
        self._is_started = self._is_busy = self._is_over = False
        self._turn = threading.Lock()

    def _serve(self, start: dict[str, Any]) -> None:
        from orchestr.agent.serve import Agent

        def make_system(**options: Any) -> MemorySystem:
            return MemorySystem(self._host, **options)

        self._from_agent.write(b"\n" + str(start["nonce"]).encode() + b"\n")
        holder = self._host.holder
        if start["lock"] and holder is not None:
            self._from_agent.write(encode({"type": "locked", "holder": holder}))
            self._end()
            return
        self._agent = Agent(
            self._from_agent.read,  # never used: `hear` gets all input
            self._from_agent.write,
            {**start, "lock": False},
            make_system,
            lambda: facts_of(self._host),
            self._end,
        )
        self._agent.begin()

    def _end(self) -> None:
        self._is_over = True
        self._from_agent.end()

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        return self._from_agent.read(size, timeout_s)

    def write(self, data: bytes) -> None:
        with self._host.working():
            if not self._is_started:
                self._is_started = True
                self._serve(start_in(data))
            elif self._agent is not None and not self._is_over:
                self._hear(self._agent, data)

    def _hear(self, agent: Agent, data: bytes) -> None:
        try:
            agent.line.hear(data)
        except Exception as error:
            agent.line.fail(error)
            self._end()
            return
        request = self._next_turn(agent)
        if request is not None and request["type"] == "stop":
            self._work(agent, request)
        elif request is not None:
            _aside(lambda: self._work_aside(agent, request))

    def _next_turn(self, agent: Agent, is_mine: bool = False) -> dict[str, Any] | None:
        """Return the next request, None when there is none or another thread is at work and will come to it."""
        with self._turn:
            if self._is_busy and not is_mine:
                return None
            request = agent.next_request()
            self._is_busy = request is not None
            return request

    def _work_aside(self, agent: Agent, request: dict[str, Any]) -> None:
        with self._host.working():
            self._work(agent, request)

    def _work(self, agent: Agent, request: dict[str, Any] | None) -> None:
        while request is not None:
            if not agent.answer(request):
                self._end()
                return
            request = self._next_turn(agent, is_mine=True)

    def close(self) -> None:
        if not self._is_over:
            self._end()

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return 0 if not self._is_started or self._is_over else None


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
    """Return a connector for `orchestr.run(connector=…)`; addresses without a MemoryHost are unreachable."""

    def connect(settings: ConnectionSettings) -> MemoryConnection:
        host = hosts.get(settings.address)
        if host is None:
            raise UnreachableError(f"{settings.address} does not answer", next_step="ping it")
        return MemoryConnection(host)

    return connect
