"""Where a report's lines go: a stream that may vanish without ending the run that is being reported."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, TextIO


class LastingStream:
    """A text stream whose reader may leave (``| head``, a closed terminal): later writes are lost in silence.

    The run goes on, and its result is in the journal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Output:
    """Write whole lines, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = LastingStream(stream)
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Write ``text`` and a newline, at once."""
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()
