"""One request to an agent: its tasks, and which messages about them may still come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestr.agent.record import is_record
from orchestr.agent.resource import Task
from orchestr.agent.wire import ProtocolError

_SCALARS = frozenset((str, int, float, bool, bytes, type(None)))


class Request:
    """The state of a request for tasks that hold these records (`records_in`). ``digests``: the blobs among them."""

    def __init__(self, tasks: Sequence[Task], records: Iterable[Any], *, may_offer: bool) -> None:
        self.digests = {fields["sha256"] for fields in map(vars, records) if "sha256" in fields}
        self.may_offer = may_offer
        self.offers_tree = may_offer and any(getattr(task.resource, "offers_tree", False) for task in tasks)
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


def records_in(tasks: Iterable[Task]) -> list[Any]:
    """Return the tasks' resources and the registered values within them."""
    records: list[Any] = []
    todo: list[Any] = [value for task in tasks for value in (task.resource, task.until) if value is not None]
    while todo:
        value = todo.pop()
        if isinstance(value, tuple):
            inner: Iterable[Any] = value
        elif hasattr(type(value), "kind") and is_record(type(value)):
            records.append(value)
            inner = vars(value).values()
        else:
            continue
        todo.extend([item for item in inner if type(item) not in _SCALARS])
    return records
