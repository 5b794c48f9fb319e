"""Threads, locks and events without the package ``threading``, which costs as much to import as starting python.

Everything that travels imports this module; ``tests/agent/test_light_threading.py`` compares it with the real one.
"""

from __future__ import annotations

from _thread import allocate_lock as Lock
from _thread import get_ident, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Event", "Lock", "Thread", "get_ident"]


class Thread:
    """A thread that nobody waits for: ``daemon`` has to be true."""

    def __init__(self, *, target: Any, args: Any = (), daemon: bool = False) -> None:
        if not daemon:
            raise ValueError("a thread that is waited for needs the real threading")
        self._target, self._args = target, args

    def start(self) -> None:
        start_new_thread(self._target, self._args)


class Event:
    """A flag that threads can wait for."""

    def __init__(self) -> None:
        self._is_set = False
        self._lock = Lock()
        self._gates: Any = []  # a locked lock for each that waits

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._lock:
            self._is_set = True
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.release()

    def clear(self) -> None:
        with self._lock:
            self._is_set = False

    def wait(self, timeout: Any = None) -> bool:
        """Return when the flag is set, True, or False when it was not within so many seconds."""
        with self._lock:
            if self._is_set:
                return True
            gate = Lock()
            gate.acquire()
            self._gates.append(gate)
        came = gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        if not came:
            with self._lock:
                came = gate not in self._gates  # set just as the time ran out
                if not came:
                    self._gates.remove(gate)
        return came
