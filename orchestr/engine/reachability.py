"""Proof for a host that it can still be reached anew, while a change of its firewall waits for that."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestr.agent.wire import ProtocolError
from orchestr.errors import HostError

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Connection

PAUSE_S = 0.5  # between two attempts
LONGEST_S = 600.0  # the window that a host may ask for


class Reachability:
    """Answer the question of one host, whether it can be reached; one question at a time.

    ``send`` takes the answer; ``is_open`` tells whether anybody still waits for it.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        connector: Callable[[ConnectionSettings], Connection],
        send: Callable[[dict[str, Any]], None],
        is_open: Callable[[], bool],
    ) -> None:
        self._settings, self._connector, self._send, self._is_open = settings, connector, send, is_open
        self._thread: threading.Thread | None = None

    def begin(self, window_s: float) -> None:
        """Prove it in a thread. Raises ProtocolError while an earlier question is open, or for an endless window."""
        if self._thread is not None and self._thread.is_alive():
            raise ProtocolError("a second question whether the host can be reached, before the answer to the first")
        if not 0 <= window_s <= LONGEST_S:
            raise ProtocolError(f"a window of {window_s:g} s to reach the host in")
        self._thread = threading.Thread(target=self.prove, args=(window_s,), daemon=True)
        self._thread.start()

    def prove(self, window_s: float) -> None:
        """Reach the host on a new connection, as a next run would, and send it the answer, with the reason.

        Tried until the window closes: a daemon that is just starting may drop a first attempt.
        """
        give_up = time.monotonic() + window_s - PAUSE_S  # so that the reason arrives before the window closes
        why = self._why_unreachable(window_s)
        while why and time.monotonic() + PAUSE_S < give_up and self._is_open():
            time.sleep(PAUSE_S)
            why = self._why_unreachable(give_up - time.monotonic())
        with contextlib.suppress(HostError, OSError):
            self._send({"type": "confirm", "reached": not why, "why": why})

    def _why_unreachable(self, timeout_s: float) -> str:
        """Return why a new connection does not get through to a command, "" when it does."""
        try:
            connection = self._connector(self._settings)
            try:
                status = connection.start(["true"]).exit_status(timeout_s)
            finally:
                connection.close()
        except (HostError, OSError) as error:
            return getattr(error, "message", "") or str(error) or type(error).__name__
        return "" if status == 0 else f"a command on it ended with {status}"
