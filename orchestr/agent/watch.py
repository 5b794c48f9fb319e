"""The time of a task: an agent that is over it ends, whatever it waits for.

A thread in a system call (a mount that hangs, a FIFO) cannot be interrupted, nor can one whose child does not die; so
another thread watches the one at work. A task's time has two ends: ``timeout_s`` as a whole (without it, what its
resource may take at most), and its patience without a sign of progress. Everything that has a time limit of its own (a
command, a transfer, a wait) may use up that one.
"""

from __future__ import annotations

import sys
import time

from orchestr.agent.light_threading import Event, Lock, get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional

    from orchestr.agent.resource import Task

LONGEST_S = 48 * 3600.0  # of any request, and of tasks that move data
OVERTIME_S = 5.0  # a task that is over its timeout_s ends its commands and reports itself within this
FRAMES_SHOWN = 12
NEVER = float("inf")


def patience_of(task: Task) -> float:
    """Return the seconds that a task may be without a sign of progress."""
    resources = [task.resource] if task.until is None else [task.resource, task.until]
    return max([float(getattr(resource, "patience_s", 0.0)) for resource in resources])


def longest_of(task: Task) -> float:
    """Return the seconds that a task may take as a whole, attempts and the pauses between them included."""
    if task.timeout_s is not None:
        return task.timeout_s
    resources = [task.resource] if task.until is None else [task.resource, task.until]
    names = ("longest_s", "timeout_s", "wait_s")
    own_s = [sum([float(getattr(resource, name, 0.0)) for name in names]) for resource in resources]
    return max(own_s) + task.retries * task.delay_s


class Watch:
    """Call ``begin`` and ``end`` around a task and ``watch`` in a thread, which calls ``on_over(why)`` at most once."""

    def __init__(self, on_over: Callable[[str], None]) -> None:
        self._on_over = on_over
        self._lock = Lock()
        self._due = self._limit = NEVER  # monotonic seconds
        self._patience_s = 0.0
        self._longest_s = 0.0
        self._has_timeout = False
        self._asleep_until = NEVER
        self._has_work = Event()
        self._thread = 0  # the one at work
        self._is_over = False

    def begin(self, task: Task) -> None:
        """Note that this thread begins a task."""
        now = time.monotonic()
        self._thread, self._longest_s, self._patience_s = get_ident(), longest_of(task), patience_of(task)
        self._has_timeout = task.timeout_s is not None
        self._limit = now + self._longest_s + OVERTIME_S
        self._due = min(self._limit, now + self._patience_s)
        if self._due < self._asleep_until:
            self._has_work.set()

    def end(self) -> bool:
        """Note that the task has ended; return True when its time was over before that: its result is reported."""
        with self._lock:
            self._due = NEVER
            return self._is_over

    def allow(self, seconds: float) -> None:
        """Note progress; the next sign may take so many seconds more than usual."""
        self._due = max(self._due, min(self._limit, time.monotonic() + seconds + self._patience_s))

    def settle(self) -> None:
        """Note that what was allowed has ended."""
        self._due = min(self._limit, time.monotonic() + self._patience_s)
        if self._due < self._asleep_until:
            self._has_work.set()

    def left_s(self) -> Optional[float]:
        """Return the seconds that the task at work has, None between tasks."""
        due = self._due
        return None if due == NEVER else max(0.0, due - time.monotonic())

    def watch(self) -> None:
        """Wait for a task that is over its time."""
        while True:
            self._has_work.clear()
            self._asleep_until = self._due  # before the time is read anew: `begin` sees it, or this sees that
            left_s = self._due - time.monotonic()
            if left_s > 0:
                self._has_work.wait(None if left_s == NEVER else left_s)
                continue
            with self._lock:
                self._is_over = self._due <= time.monotonic()
            if self._is_over:
                self._on_over(self._why())
                return

    def _why(self) -> str:
        if self._due < self._limit:
            return "it made no progress for %.0f s" % self._patience_s
        limit = "its timeout_s of %g s" if self._has_timeout else "the %g s that it may take without a timeout_s"
        return "it did not end within " + limit % self._longest_s

    def stack(self) -> str:
        """Return where the thread at work is, the innermost call last."""
        frame = sys._current_frames().get(self._thread)
        lines: List[str] = []
        while frame is not None and len(lines) < FRAMES_SHOWN:
            name = frame.f_globals.get("__name__", "?")
            lines.append("%s, line %d, in %s" % (name, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        return "\n".join(reversed(lines))
