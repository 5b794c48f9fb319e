"""As much of WebSocket (RFC 6455) as signalling needs: the handshake and binary, ping and close frames."""

from __future__ import annotations

import asyncio
import base64
import hashlib

from http_messages import Request

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA
FRAME_LIMIT_BYTES = 1024 * 1024


def is_upgrade(request: Request) -> bool:
    return request.headers.get("upgrade", "").lower() == "websocket" and "sec-websocket-key" in request.headers


def handshake(request: Request) -> bytes:
    """The response that turns the connection into a WebSocket."""
    digest = hashlib.sha1((request.headers["sec-websocket-key"] + _GUID).encode(), usedforsecurity=False).digest()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked frame, as servers send them."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, size])
    elif size < 65536:
        head = bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big")
    return head + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The opcode and payload of the next frame; a vanished peer reads as a close."""
    try:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        if size > FRAME_LIMIT_BYTES:
            return CLOSE, b""
        mask = await reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
        payload = await reader.readexactly(size)
    except (asyncio.IncompleteReadError, OSError):
        return CLOSE, b""
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class WebSocket:
    """One open connection to a participant."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        self._writer.write(frame(BINARY, message))
        await self._writer.drain()

    async def wait_for_close(self) -> None:
        """Answer pings, and pass over messages, until either side closes."""
        while True:
            opcode, payload = await read_frame(self._reader)
            if opcode == CLOSE:
                break
            if opcode == PING:
                self._writer.write(frame(PONG, payload))
                await self._writer.drain()
        self.close()

    def close(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame(CLOSE, (1001).to_bytes(2, "big")))
            self._writer.close()
