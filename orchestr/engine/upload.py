"""Content for one host: the blobs of its tasks, sent as fast as the host acknowledges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from orchestr.agent import wire

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore

WINDOW = 4 * 1024 * 1024  # bytes of a blob that may be on their way without being acknowledged


class Upload:
    """One blob at a time. ``send`` takes frames. A host gets only blobs that its own tasks refer to (``allow``)."""

    def __init__(self, blobs: BlobStore | None, send: Callable[[bytes], None]) -> None:
        self._blobs, self._send = blobs, send
        self._allowed: set[str] = set()
        self._transfer = 0
        self._chunks: Iterator[bytes] | None = None
        self._on_the_way_bytes = 0

    def allow(self, digests: Iterable[str]) -> None:
        """Let the host have these blobs, in this request and later ones."""
        self._allowed.update(digests)

    def begin(self, digest: str, transfer: int) -> None:
        """Send a blob; a blob that is unknown, or not meant for this host, is answered as absent."""
        self.forget()
        is_known = self._blobs is not None and digest in self._allowed
        self._chunks = self._blobs.chunks(digest) if self._blobs is not None and is_known else iter(())
        self._transfer = transfer
        self._go_on()

    def acknowledge(self, size_bytes: int) -> None:
        """Send more, now that the host has taken so much. Raises ProtocolError if it cannot have."""
        if self._chunks is None:
            return
        if size_bytes > self._on_the_way_bytes:
            raise wire.ProtocolError("more content acknowledged than was sent")
        self._on_the_way_bytes -= size_bytes
        self._go_on()

    def forget(self) -> None:
        """End the transfer under way, and close its file."""
        chunks, self._chunks, self._on_the_way_bytes = self._chunks, None, 0
        close = getattr(chunks, "close", None)
        if close is not None:
            close()

    def _go_on(self) -> None:
        while self._chunks is not None and self._on_the_way_bytes < WINDOW:
            try:
                chunk = next(self._chunks, b"")
            except (KeyError, OSError):
                chunk = b""
            self._send(wire.chunk_frame(self._transfer, chunk))
            self._on_the_way_bytes += len(chunk)
            if not chunk:
                self.forget()
