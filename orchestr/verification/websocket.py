"""WebSockets for checks: that a proxy and a server carry one, and keep it open. The protocol is `websockets`'."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection

MESSAGE_LIMIT = 16 * 1024 * 1024  # bytes
CLOSE_S = 1.0  # the other side is waited for at the end
LOOK_S = 0.05  # between two looks whether the connection ended before its pong


class HandshakeRefused(ConnectionError):
    """The server did not switch to a WebSocket; ``status`` is 101 when it said it did, and did it wrongly."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the server answered {status} instead of switching to a WebSocket: {body[:200]}")
        self.status, self.body = status, body


class WebSocketClosed(ConnectionError):
    """The other side closed; ``code`` is its reason (RFC 6455, section 7.4), 1006 without a closing handshake."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".strip())
        self.code, self.reason = code, reason


class WebSocket:
    """An open WebSocket. Use as a context manager. ``connection`` is the one of `websockets`, for all else."""

    def __init__(self, connection: ClientConnection, end: Callable[[], None]) -> None:
        self.connection, self._end = connection, end

    def receive(self, timeout_s: float = 5.0) -> str | bytes:
        """Return the next message, text as str. Pings are answered. Raises TimeoutError, WebSocketClosed."""
        from websockets.exceptions import ConnectionClosed

        try:
            return self.connection.recv(timeout=timeout_s)
        except ConnectionClosed as error:
            raise _closed(error) from None

    def is_alive(self, timeout_s: float = 5.0) -> bool:
        """Return True if the other side still answers a ping."""
        from websockets.exceptions import ConnectionClosed
        from websockets.protocol import State

        give_up = time.monotonic() + timeout_s
        try:
            pong = self.connection.ping()
            while not pong.wait(LOOK_S):
                if time.monotonic() > give_up or self.connection.protocol.state is not State.OPEN:
                    return False
        except (OSError, ConnectionClosed):
            return False
        return self.connection.protocol.state is State.OPEN

    def close(self) -> None:
        """Close it with a closing handshake. Never raises; may be called twice."""
        with contextlib.suppress(OSError):
            self._end()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_websocket(
    connected: socket.socket, host: str, path: str, headers: Mapping[str, str], timeout_s: float = 5.0
) -> WebSocket:
    """Return a WebSocket over a connected socket, TLS done already; ``host`` is the Host header.

    Raises HandshakeRefused when the server answers anything but a right 101, WebSocketClosed, TimeoutError, OSError.
    """
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
    from websockets.sync.client import connect

    connected.settimeout(None)  # the library waits by itself
    stack = contextlib.ExitStack()
    try:
        connection = stack.enter_context(
            connect(
                f"ws://{host}{path}",
                sock=connected,
                additional_headers=dict(headers),
                user_agent_header=None,
                compression=None,
                open_timeout=timeout_s,
                close_timeout=CLOSE_S,
                max_size=MESSAGE_LIMIT,
                max_queue=None,  # or messages that nobody takes would keep a pong from being read
            )
        )
    except InvalidStatus as error:
        body = bytes(error.response.body or b"").decode("utf-8", "replace")
        raise HandshakeRefused(error.response.status_code, body) from None
    except (InvalidMessage, EOFError):
        raise WebSocketClosed(1006, "the connection ended before an answer") from None
    except InvalidHandshake as error:
        raise HandshakeRefused(101, str(error)) from None
    except ConnectionClosed as error:
        raise _closed(error) from None
    return WebSocket(connection, stack.close)


def _closed(error: ConnectionClosed) -> WebSocketClosed:
    received = error.rcvd
    return WebSocketClosed(1006, str(error)) if received is None else WebSocketClosed(received.code, received.reason)
