"""The delaying proxy: what is held back, for how long, and in which order; on a clock of the test's own."""

from __future__ import annotations

import asyncio

from benchmarks.delay_proxy import carry, relay


class Line:
    """A writer that notes when each piece arrived."""

    def __init__(self, clock: Clock) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self._clock = clock

    def write(self, data: bytes) -> None:
        self.arrived.append((self._clock(), data))

    async def drain(self) -> None:
        pass

    def write_eof(self) -> None:
        self.arrived.append((self._clock(), b"end"))


class Clock:
    """Seconds that pass only in sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def test_bytes_and_the_end_arrive_after_the_delay() -> None:
    """Pieces sent together arrive together, one delay later: the delay is per byte, not per piece."""

    async def scenario() -> list[tuple[float, bytes]]:
        clock, reader = Clock(), asyncio.StreamReader()
        line = Line(clock)
        reader.feed_data(b"one")
        copying = asyncio.ensure_future(carry(reader, line, 0.025, clock, clock.sleep))  # type: ignore[arg-type]
        await _until(lambda: bool(line.arrived))
        reader.feed_data(b"two")
        reader.feed_eof()
        await copying
        return [(round(when, 3), data) for when, data in line.arrived]

    assert asyncio.run(scenario()) == [(0.025, b"one"), (0.05, b"two"), (0.05, b"end")]


def test_both_directions_reach_their_ends() -> None:
    """What either side says, and that it is done, gets through to the other."""

    async def scenario() -> bytes:
        async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read()).upper())
            writer.close()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await relay((reader, writer), f"127.0.0.1:{_port(far)}", 0.002)

        far = await asyncio.start_server(shout, "127.0.0.1", 0)
        near = await asyncio.start_server(accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", _port(near))
        writer.write(b"hello")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        far.close()
        near.close()
        return answer

    assert asyncio.run(scenario()) == b"HELLO"


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def _until(holds: object) -> None:
    assert callable(holds)
    while not holds():
        await asyncio.sleep(0)
