"""How long each stage of an agent's start takes, told where one takes long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestr.engine.start_errors import MARKS, reason_for_slow_sudo

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Channel

SLOW_S = 3.0  # shorter stages are not told
OUTPUT_LIMIT = 4000  # bytes of a stage's output that are kept


class TimedStart:
    """A channel while an agent starts: passes everything on, and notes when each stage (see MARKS) is reached."""

    def __init__(self, channel: Channel, settings: ConnectionSettings) -> None:
        self._channel = channel
        self._settings = settings
        self._began = time.monotonic()
        self._reached: dict[str, float] = {}
        self._output: dict[str, bytes] = {}  # of each stage: all that came before its mark
        self._text = b"\n"

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        data = self._channel.read(size, timeout_s)
        if len(self._reached) < len(MARKS):
            self._note(data)
        return data

    def write(self, data: bytes) -> None:
        self._channel.write(data)

    def close(self) -> None:
        self._channel.close()

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return self._channel.exit_status(timeout_s)

    def _note(self, data: bytes) -> None:
        self._text += data
        for stage, mark in MARKS.items():
            before, line, after = self._text.partition(f"\n{mark}\n".encode())
            if line:
                self._reached[stage], self._output[stage] = time.monotonic(), before
                self._text = b"\n" + after
        self._text = self._text[-OUTPUT_LIMIT:]

    def slowest(self) -> str:
        """Return which stage took longest and why, where that is known; "" for a start without a slow stage."""
        took: dict[str, float] = {}
        last = self._began
        for stage, moment in [*self._reached.items(), ("agent", time.monotonic())]:
            took[stage], last = moment - last, moment
        stage = max(took, key=took.__getitem__)
        if took[stage] < SLOW_S:
            return ""
        names = {"shell": "the login shell", "sudo": "sudo", "python": self._settings.python or "python3"}
        text = f"{names.get(stage, 'the agent')} took {took[stage]:.1f} s"
        return f"{text}: {reason_for_slow_sudo(self._output[stage])}" if stage == "sudo" else text
