"""Content that a host offers, received into the run's store: whole and unharmed, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestr.resources.tree_archive import TreeCheck

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore, Incoming


MOST_TIMES, SLACK_BYTES = 4, 1 << 30  # an offer's size is an estimate: small files weigh more in an archive


class Download:
    """One offer at a time, of one host. ``send`` gives the host its answer; nothing is kept of a refused offer."""

    def __init__(self, blobs: BlobStore | None, send: Callable[[dict[str, Any]], None]) -> None:
        self._blobs, self._send = blobs, send
        self._transfer = 0
        self._incoming: Incoming | None = None
        self._left_bytes = 0
        self._tree: TreeCheck | None = None

    def begin(self, transfer: int, size_bytes: int, *, is_tree: bool = False) -> None:
        """Take in an offer of about this size; a packed tree is checked before any other host gets it."""
        self.forget()
        self._transfer = transfer
        self._tree = TreeCheck() if is_tree else None
        try:
            if self._blobs is None:
                raise OSError("this run keeps no content")
            self._incoming = self._blobs.incoming(size_bytes)
            self._left_bytes = MOST_TIMES * size_bytes + SLACK_BYTES
        except OSError as error:
            self._refuse(str(error))

    def take(self, transfer: int, chunk: bytes) -> None:
        """Write a piece of the offer; those of one that was refused are dropped."""
        if self._incoming is None or transfer != self._transfer:
            return
        try:
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0:
                raise OSError("it is far larger than was said")
            if self._tree is not None:
                self._tree.feed(chunk)
            self._incoming.write(chunk)
        except OSError as error:
            self._refuse(str(error))

    def end(self, transfer: int, sha256: str, size_bytes: int) -> None:
        """Keep the content if its digest is right, and tell the host; without a digest the host gave it up."""
        if self._incoming is None or transfer != self._transfer:
            return
        if not sha256:
            self.forget()
            return
        try:
            if self._tree is not None:
                self._tree.end()
            self._incoming.finish(sha256, size_bytes)
        except OSError as error:
            self._refuse(str(error))
            return
        self._incoming = None
        self._send({"type": "taken", "transfer": transfer, "why": ""})

    def forget(self) -> None:
        """Keep nothing of an unfinished offer."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _refuse(self, why: str) -> None:
        self.forget()
        self._send({"type": "taken", "transfer": self._transfer, "why": why})
