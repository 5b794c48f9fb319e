"""A TCP proxy that holds every byte back for half a round trip each way, as distance does; bandwidth is not limited.

    python -m benchmarks.delay_proxy ROUND_TRIP_MS ADDRESS:PORT...

Prints the local port of each target, in order, on one line; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

CHUNK = 1 << 16


async def carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    delay_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Copy one way until the end, which travels as long as a byte does. Later bytes do not wait for earlier ones."""
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            held.put_nowait((clock() + delay_s, data))

    taking = asyncio.ensure_future(take())
    try:
        while True:
            due, data = await held.get()
            await sleep(max(0.0, due - clock()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass
    finally:
        taking.cancel()


async def relay(near: tuple[asyncio.StreamReader, asyncio.StreamWriter], target: str, round_trip_s: float) -> None:
    """Join an accepted connection to its target, with the delays of TCP's own handshake.

    The kernel accepted at once. Far away the client would be connected, and begin to speak, after one round trip; the
    server would know of the connection, and begin to speak, half a round trip later.
    """
    half_s, clock = round_trip_s / 2, asyncio.get_running_loop().time
    address, _, port = target.rpartition(":")
    await asyncio.sleep(round_trip_s)
    far_reader, far_writer = await asyncio.open_connection(address, int(port))

    async def answer() -> None:
        await asyncio.sleep(half_s)
        await carry(far_reader, near[1], half_s, clock)

    await asyncio.gather(carry(near[0], far_writer, half_s, clock), answer())
    for writer in (near[1], far_writer):
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def main(round_trip_s: float, targets: list[str]) -> None:
    ports = []
    for target in targets:

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str = target) -> None:
            with suppress(asyncio.CancelledError):  # the proxy ends before what it still holds has arrived
                await relay((reader, writer), target, round_trip_s)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000, sys.argv[2:]))
