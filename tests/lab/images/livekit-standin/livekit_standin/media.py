"""The media ports, without media and without TURN: UDP answers STUN binding requests (RFC 8489), TCP accepts and waits.

Only the first few ports of a range are opened: enough to see whether a firewall lets them through.
"""

from __future__ import annotations

import asyncio
import struct

from livekit_standin.config import MEDIA_PORTS_OPENED, Config

_MAGIC = 0x2112A442
_REQUEST, _SUCCESS, _XOR_MAPPED_ADDRESS = 0x0001, 0x0101, 0x0020


def stun_answer(request: bytes, sender: tuple[str, int]) -> bytes | None:
    """The answer to a STUN binding request from an IPv4 `sender`; None to anything else."""
    if len(request) < 20:
        return None
    kind, _, magic = struct.unpack("!HHI", request[:8])
    if kind != _REQUEST or magic != _MAGIC:
        return None
    address = int.from_bytes(bytes(int(part) for part in sender[0].split(".")), "big") ^ _MAGIC
    attribute = struct.pack("!HHBBHI", _XOR_MAPPED_ADDRESS, 8, 0, 1, sender[1] ^ (_MAGIC >> 16), address)
    return struct.pack("!HHI", _SUCCESS, len(attribute), _MAGIC) + request[8:20] + attribute


class _Stun(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = stun_answer(data, address)
        if answer:
            self._transport.sendto(answer, address)  # type: ignore[attr-defined]


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass
    writer.close()


async def listen(config: Config) -> None:
    """Open the media ports; raises OSError when one is taken."""
    loop = asyncio.get_running_loop()
    first, last = config.udp_ports
    ports = list(range(first, min(last, first + MEDIA_PORTS_OPENED - 1) + 1))
    for port in ports:
        await loop.create_datagram_endpoint(_Stun, ("0.0.0.0", port))
    if config.tcp_port:
        await asyncio.start_server(_hold, "0.0.0.0", config.tcp_port)
