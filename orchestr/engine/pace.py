"""How long a host may take for its tasks: the host watches itself, and the controller watches the host.

An agent can hang as a whole, and a host is not trusted to keep the time; other hosts do not wait for either.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from orchestr.agent.resource import Task
from orchestr.agent.watch import LONGEST_S, longest_of, patience_of
from orchestr.errors import AgentError

GRACE_S = 30.0  # within this the host's own report of a task that is over its time arrives


class Pace:
    """The time of one request. ``take`` every message; ``left_s`` is over when the host is to be given up."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._done = 0
        self._began_s = self._progress_s = self._promised_s = time.monotonic()
        self._end_s = self._began_s + max(LONGEST_S, sum(task.timeout_s or 0.0 for task in tasks))

    def take(self, message: dict[str, Any]) -> None:
        """Note a message: a result begins the next task, a heartbeat may say how long the task at work still has."""
        now_s = time.monotonic()
        kind = message["type"]
        if kind == "beat":
            if "left_s" in message:
                self._promised_s = now_s + min(max(0.0, float(message["left_s"])), LONGEST_S)
            return
        self._progress_s = now_s
        if kind in ("result", "fine"):
            self._done += 1 if kind == "result" else len(message["elapsed_s"])
            self._began_s = self._promised_s = now_s

    def left_s(self) -> float:
        """Return the seconds until the host is to be given up, 0 or less when that is now."""
        task = self._at_work()
        end_s = max(self._progress_s + (0.0 if task is None else patience_of(task)), self._promised_s)
        if task is not None:
            end_s = min(end_s, self._began_s + longest_of(task))
        return min(end_s, self._end_s) + GRACE_S - time.monotonic()

    def error(self, host: str) -> AgentError:
        """Return the failure of a host that is to be given up."""
        task = self._at_work()
        seconds = time.monotonic() - self._began_s
        what = "the end of the request" if task is None else f"{task.resource.kind} {task.resource.label}"
        is_silent = time.monotonic() - self._progress_s > GRACE_S
        silence = f"no answer about {what} for {seconds:.0f} s, though the agent is alive"
        return AgentError(
            silence if is_silent else f"{what} is not done after {seconds:.0f} s",
            host=host,
            next_step="look on the host for what hangs (ps, dmesg, mount), and run again; a task that may take longer "
            "gets a longer timeout_s, a resource that is silent for longer a longer patience_s",
        )

    def _at_work(self) -> Task | None:
        """Return the first task without a result; tasks are done in their order."""
        return self._tasks[self._done] if self._done < len(self._tasks) else None
