"""A small WebSocket client (RFC 6455): enough to see that a proxy and a server carry one, and keep it open."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
from collections.abc import Mapping
from types import TracebackType

_ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
MESSAGE_LIMIT = 16 * 1024 * 1024  # bytes


class HandshakeRefused(ConnectionError):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the server answered {status} instead of switching to a WebSocket: {body[:200]}")
        self.status, self.body = status, body


class WebSocketClosed(ConnectionError):
    """The other side closed; ``code`` is its reason (RFC 6455, section 7.4), 1006 when it just went."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".strip())
        self.code, self.reason = code, reason


class WebSocket:
    """An open WebSocket over a connected socket. Use as a context manager."""

    def __init__(self, way: socket.socket, host: str, path: str, headers: Mapping[str, str]) -> None:
        self._way = way
        self._buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        own = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade"}
        own |= {"Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **headers}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items()), "", ""]
        way.sendall("\r\n".join(lines).encode())
        self._shake_hands(key)

    def _shake_hands(self, key: str) -> None:
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._read_some()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status != 101:
            self._read_rest(int(headers.get("content-length", "0") or 0))
            raise HandshakeRefused(status, self._buffer.decode("utf-8", "replace"))
        digest = hashlib.sha1((key + _ACCEPT_SUFFIX).encode(), usedforsecurity=False).digest()
        if headers.get("sec-websocket-accept") != base64.b64encode(digest).decode():
            raise HandshakeRefused(status, "its Sec-WebSocket-Accept is not the answer to our key")

    def _read_rest(self, size_bytes: int) -> None:
        try:
            while len(self._buffer) < min(size_bytes, 65536):
                self._buffer += self._read_some()
        except OSError:
            pass  # what came is enough for a message

    # -- messages -------------------------------------------------------------------------------------------------
    def send_text(self, text: str) -> None:
        """Send one text message."""
        self._send(_TEXT, text.encode())

    def ping(self, data: bytes = b"orchestr") -> None:
        """Send a ping; its pong is taken by the next receive."""
        self._send(_PING, data)

    def receive(self, timeout_s: float = 5.0) -> str | bytes:
        """Return the next message, text as str. Pings are answered. Raises TimeoutError, WebSocketClosed."""
        self._way.settimeout(timeout_s)
        kind, whole = 0, b""
        while True:
            is_last, opcode, payload = self._frame()
            if opcode == _CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                raise WebSocketClosed(code, payload[2:].decode("utf-8", "replace"))
            if opcode == _PING:
                self._send(_PONG, payload)
            elif opcode != _PONG:
                kind, whole = kind or opcode, whole + payload
                if is_last:
                    return whole.decode() if kind == _TEXT else whole

    def receive_text(self, timeout_s: float = 5.0) -> str:
        """Return the next text message, skipping binary ones. Raises TimeoutError, WebSocketClosed."""
        while True:
            message = self.receive(timeout_s)
            if isinstance(message, str):
                return message

    def is_alive(self, timeout_s: float = 5.0) -> bool:
        """Tell whether the other side still answers a ping; messages that come before the pong are dropped."""
        try:
            self._way.settimeout(timeout_s)
            self.ping()
            while True:
                _, opcode, _ = self._frame()
                if opcode in (_PONG, _CLOSE):
                    return opcode == _PONG
        except OSError:
            return False

    def close(self) -> None:
        """Say goodbye and close. Never raises; may be called twice."""
        try:
            self._send(_CLOSE, struct.pack(">H", 1000))
        except OSError:
            pass
        finally:
            self._way.close()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- frames ---------------------------------------------------------------------------------------------------
    def _send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
        masked = bytes(byte ^ mask[position % 4] for position, byte in enumerate(payload))
        self._way.sendall(head + mask + masked)

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._take(8))
        if size > MESSAGE_LIMIT or second & 0x80:
            raise WebSocketClosed(1002, "a frame too large, or masked by the server")
        return bool(first & 0x80), first & 0x0F, self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._read_some()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _read_some(self) -> bytes:
        data = self._way.recv(65536)
        if not data:
            raise WebSocketClosed(1006, "the connection ended")
        return data
