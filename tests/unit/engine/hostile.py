"""A host whose agent is the attacker's: it answers the handshake, then sends what a test wrote."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from orchestr.agent import wire
from orchestr.transport.memory import start_in

FACTS: dict[str, Any] = {"hostname": "h", "architecture": "x86_64", "disk_free_bytes": 1 << 34, "addresses": []}
Script = Callable[[list[str]], Iterator[bytes]]


def message(kind: str, **fields: Any) -> bytes:
    """Return the frame of a message, without any of the checks of an honest agent."""
    return wire.frame(b"J", json.dumps({"type": kind, **fields}).encode())


def hello(**fields: Any) -> bytes:
    facts = {**FACTS, "time": time.time()}
    return message("hello", **{"protocol": wire.PROTOCOL, "bytecode": "", "facts": facts, **fields})


class HostileChannel:
    """``script`` gets the ids of the first request's tasks and yields frames; ``first`` replaces the hello."""

    def __init__(self, script: Script, first: bytes | None) -> None:
        self._script, self._first = script, first
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._decoder, self._has_started = wire.Decoder(), False
        self.heard: list[tuple[bytes, bytes]] = []

    def write(self, data: bytes) -> None:
        if not self._has_started:
            self._has_started = True
            nonce = start_in(data)["nonce"].encode()
            self._said.put(b"\n" + nonce + b"\n" + (hello() if self._first is None else self._first))
            return
        self._decoder.feed(data)
        while (frame := self._decoder.next_frame()) is not None:
            self.heard.append(frame)
            request = json.loads(frame[1]) if frame[0] == b"J" else {}
            if request.get("type") == "tasks":
                for said in self._script([task["id"] for task in request["tasks"]]):
                    self._said.put(said)

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        try:
            return self._said.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None

    def close(self) -> None:
        self._said.put(b"")

    def exit_status(self, timeout_s: float = 1.0) -> int:
        return 0


class HostileHost:
    """A connection to such a host."""

    def __init__(self, script: Script = lambda tasks: iter(()), first: bytes | None = None) -> None:
        self._script, self._first = script, first
        self.channels: list[HostileChannel] = []

    def start(self, command: Sequence[str]) -> HostileChannel:
        self.channels.append(HostileChannel(self._script, self._first))
        return self.channels[-1]

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
