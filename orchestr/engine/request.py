"""One request to an agent: its tasks, and which messages about them may still come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from orchestr.agent.record import is_record
from orchestr.agent.resource import Task
from orchestr.agent.wire import ProtocolError

_SCALARS = frozenset((str, int, float, bool, bytes, type(None)))


class Request:
    """The state of a request. ``digests`` are the blobs its tasks refer to."""

    def __init__(self, tasks: Sequence[Task], *, may_offer: bool) -> None:
        self.may_offer = may_offer
        self.digests = {value.sha256 for task in tasks for value in records_in(task) if hasattr(value, "sha256")}
        self._tasks = tasks
        self._without_result = Counter(task.id for task in tasks)
        self._not_started = self._without_result.copy()

    def take(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the messages about single tasks in a message: ``fine`` stands for many results.

        Raises ProtocolError for a task that is not in the request, or that has its result already.
        """
        kind = message["type"]
        if kind == "fine":
            first, elapsed_s = message["first"], message["elapsed_s"]
            if first < 0 or first + len(elapsed_s) > len(self._tasks):
                raise ProtocolError("results of more tasks than were sent")
            for task, task_s in zip(self._tasks[first:], elapsed_s, strict=False):
                self._end(task.id)
                yield {"type": "result", "task": task.id, "verdict": "ok", "elapsed_s": task_s}
            return
        if kind not in ("started", "output", "result"):
            raise ProtocolError(f"a message {kind} while tasks run")
        task_id = message["task"]
        if kind == "result":
            self._end(task_id)
        elif not self._without_result[task_id]:
            raise ProtocolError(f"{kind} of a task that does not run")
        elif kind == "started":
            if not self._not_started[task_id]:
                raise ProtocolError("a task that starts twice")
            self._not_started[task_id] -= 1
        yield message

    def _end(self, task_id: str) -> None:
        if not self._without_result[task_id]:
            raise ProtocolError("a second result of a task, or one of a task that was not sent")
        self._without_result[task_id] -= 1


def classes_in(value: Any) -> Iterator[type]:
    """Yield the classes of a task's resource and of the registered values within it."""
    return (type(record) for record in records_in(value))


def records_in(value: Any) -> Iterator[Any]:
    """Yield a task's resource and the registered values within it."""
    if isinstance(value, tuple):
        for item in value:
            if type(item) not in _SCALARS:
                yield from records_in(item)
    elif isinstance(value, Task):
        yield from records_in(value.resource)
        if value.until is not None:
            yield from records_in(value.until)
    elif hasattr(type(value), "kind") and is_record(type(value)):
        yield value
        for inner in vars(value).values():
            if type(inner) not in _SCALARS:
                yield from records_in(inner)
