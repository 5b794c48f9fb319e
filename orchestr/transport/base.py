"""The two contracts of every transport: a connection that starts commands, and a channel of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Channel(Protocol):
    """One running remote command: its stdin to write, its stdout and stderr (merged) to read."""

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        """Return at most ``size`` bytes as soon as any are there, ``b""`` at the end of the stream.

        Raises TimeoutError when nothing came within ``timeout_s``, UnreachableError when the connection broke.
        """

    def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises UnreachableError when the connection broke or stalls for too long."""

    def close(self) -> None:
        """End the command's input and forget it. Never raises; may be called twice and from another thread."""

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        """Return the exit status of an ended command, None while it is not known."""


class Connection(Protocol):
    """One authenticated connection to one host, used by one run."""

    def start(self, command: Sequence[str]) -> Channel:
        """Start a command given as an argument list (quoted by construction). Raises UnreachableError."""

    def close(self) -> None:
        """Close all channels and the connection. Never raises; may be called twice."""
