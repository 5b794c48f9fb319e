"""What a run costs a host, counted where it happens: connections, channels, agent starts, messages, turns.

Nothing here looks at a clock, so what is counted is the same on an idle machine and on a busy one. Heartbeats are left
out, for how many there are depends on how long a run takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orchestr.agent import wire

if TYPE_CHECKING:
    from orchestr.engine.session import Connector
    from orchestr.inventory.settings import ConnectionSettings
    from orchestr.transport.base import Channel, Connection


class Costs:
    """What one host's connections came to."""

    def __init__(self) -> None:
        self.connections = 0
        self.commands: list[list[str]] = []
        #: type of message → how many; chunks of content count as "chunk"
        self.to_host: Counter[str] = Counter()
        self.from_host: Counter[str] = Counter()
        #: how often something was written and then waited for; results that stream back are one turn
        self.turns = 0
        self._is_answered = True

    @property
    def agent_starts(self) -> int:
        return sum(1 for command in self.commands if "-c" in command)

    def spoke(self) -> None:
        """Note that something other than a heartbeat was written."""
        self._is_answered = False

    def heard(self) -> None:
        """Note that something other than a heartbeat arrived."""
        self.turns += not self._is_answered
        self._is_answered = True


class CountingConnector:
    """A connector around another one: address → Costs."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.costs: dict[str, Costs] = {}

    def __call__(self, settings: ConnectionSettings) -> Connection:
        costs = self.costs.setdefault(settings.address, Costs())
        connection = self._connector(settings)
        costs.connections += 1
        return _Connection(connection, costs)


class _Connection:
    def __init__(self, connection: Connection, costs: Costs) -> None:
        self._connection = connection
        self._costs = costs

    def start(self, command: Sequence[str]) -> Channel:
        self._costs.commands.append(list(command))
        return _Channel(self._connection.start(command), self._costs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def close(self) -> None:
        self._connection.close()


class _Channel:
    """Passes everything on and reads along: the program and the nonce's line are no frames, all that follows is."""

    def __init__(self, channel: Channel, costs: Costs) -> None:
        self._channel = channel
        self._costs = costs
        self._outgoing, self._incoming = wire.Decoder(), wire.Decoder()
        self._is_begun = False
        self._preamble: bytes | None = b""

    def write(self, data: bytes) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._costs.to_host["program"] += 1
            self._costs.spoke()
        else:
            self._outgoing.feed(data)
            _note(self._outgoing, self._costs.to_host, self._costs.spoke)
        self._channel.write(data)

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        data = self._channel.read(size, timeout_s)
        frames = data
        if self._preamble is not None:
            self._preamble += data
            start = self._preamble.find(wire.MAGIC + b"J")
            if start < 0:
                return data
            frames, self._preamble = self._preamble[start:], None
        self._incoming.feed(frames)
        _note(self._incoming, self._costs.from_host, self._costs.heard)
        return data

    def close(self) -> None:
        self._channel.close()

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return self._channel.exit_status(timeout_s)


def _note(decoder: wire.Decoder, counted: Counter[str], tell: Callable[[], None]) -> None:
    found = decoder.next_frame()
    while found is not None:
        kind = {b"B": "chunk", b"P": "pack"}.get(found[0]) or _type_of(found[1])
        if kind not in ("beat", "pack"):  # a pack belongs to the message after it
            counted[kind] += 1
            tell()
        found = decoder.next_frame()


def _type_of(payload: bytes) -> str:
    return str(wire.decode(payload)["type"])
