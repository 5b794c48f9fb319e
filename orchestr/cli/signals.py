"""Ctrl-C, a polite kill and a closed terminal end a run in the same way: the report is still given."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType

from orchestr.errors import EXIT_INTERRUPTED


def interrupt_on_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        return
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if received:
            os._exit(EXIT_INTERRUPTED)
        received.append(number)
        raise KeyboardInterrupt

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError, OSError):
            if signal.getsignal(name) is not signal.SIG_IGN:  # nohup and & in scripts ask for that
                signal.signal(name, interrupt)
