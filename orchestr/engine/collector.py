"""One host's messages become events for people, and outcomes for later plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.agent.resource import Task
from orchestr.engine.faults import name_role

if TYPE_CHECKING:
    from orchestr.agent.redaction import Redactor


class Collector:
    """Turn the messages about one host's tasks into events, and keep the tasks' outcomes for later plays."""

    def __init__(
        self,
        host: str,
        tasks: Mapping[str, Task],
        emit: events.Consumer,
        outcomes: dict[str, dict[str, Any]],
        redactor: Redactor | None,
    ) -> None:
        self._host, self._tasks, self._emit, self._outcomes, self._redactor = host, tasks, emit, outcomes, redactor
        self._held = ""  # the end of the output, when it may be the beginning of a secret
        self._started = ("", "", "")  # id of the task that runs, then id and title as shown

    def __call__(self, message: dict[str, Any]) -> None:
        task = self._tasks.get(str(message.get("task", "")))
        if task is None:
            return
        if message["type"] == "started":
            self._started = (task.id, self._redact(task.id), self._redact(_title(task)))
            self._emit(events.TaskStarted(self._host, *self._started[1:]))
        elif message["type"] == "output":
            self._say(task, str(message["text"]))
        elif message["type"] == "result":
            self._say(task, "", is_last=True)
            self._finish(task, message)

    def _say(self, task: Task, text: str, is_last: bool = False) -> None:
        """Emit output; the end of it waits while the next output may make a secret of it."""
        if self._redactor is not None:
            text, self._held = self._redactor.divide(self._held + text)
            if is_last:
                text, self._held = text + self._redactor.redact(self._held), ""
        if text:
            self._emit(events.TaskOutput(self._host, self._redact(task.id), text))

    def _finish(self, task: Task, message: dict[str, Any]) -> None:
        if "outcome" in message:
            self._outcomes[task.id] = dict(message["outcome"])
        started_id, shown_id, title = self._started
        if started_id != task.id:
            shown_id, title = self._redact(task.id), self._redact(_title(task))
        self._emit(
            events.TaskFinished(
                host=self._host,
                task=shown_id,
                resource=task.resource.kind,
                name=self._redact(task.resource.label),
                verdict=str(message["verdict"]),
                diff=self._redact(str(message.get("diff", ""))),
                reason=self._redact(str(message.get("reason", ""))),
                error=self._error(message["error"]) if "error" in message else {},
                elapsed_s=float(message.get("elapsed_s", 0.0)),
                title=title,
                begun=bool(message.get("begun")),
            )
        )

    def _error(self, error: Mapping[str, Any]) -> dict[str, str]:
        return {key: self._redact(str(text)) for key, text in name_role(error).items()}

    def _redact(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.redact(text)


class ForecastCollector:
    """Keep the changes that a forecast finds on one host; nothing is emitted."""

    def __init__(self, play: int, tasks: Mapping[str, Task], changes: list[dict[str, Any]]) -> None:
        self._play, self._tasks, self._changes = play, tasks, changes

    def __call__(self, message: dict[str, Any]) -> None:
        task = self._tasks.get(str(message.get("task", "")))
        is_result = task is not None and message["type"] == "result"
        if is_result and message["verdict"] in ("changed", "unknown", "failed"):
            change = {"play": self._play, "task": message["task"], "diff": str(message.get("diff", ""))}
            self._changes.append(change)


def _title(task: Task) -> str:
    return task.name or f"{task.resource.kind.replace('_', ' ')} {task.resource.label}"
