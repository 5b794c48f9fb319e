"""One host's messages become events for people, and outcomes for later plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.agent.resource import Task

if TYPE_CHECKING:
    from orchestr.engine.run import Run, Step


class Collector:
    """Turn one host's messages into events, and keep the outcomes for later plays."""

    def __init__(self, run: Run, host: str, tasks: Mapping[str, Task], step: Step) -> None:
        self._run, self._host, self._tasks, self._step = run, host, tasks, step
        self._has_secrets = run.has_secrets(host)
        self._shown = ("", "", "")

    def __call__(self, message: dict[str, Any]) -> None:
        task = self._tasks.get(str(message.get("task", "")))
        if task is None:
            return
        if self._step.forecast:
            self._foresee(task, message)
        elif message["type"] == "started":
            self._shown = (task.id, self._veil(task.id), self._veil(_title(task)))  # the same at its end
            self._run.emit(events.TaskStarted(self._host, *self._shown[1:]))
        elif message["type"] == "output":
            text = self._veil(str(message["text"]))
            self._run.emit(events.TaskOutput(self._host, self._veil(task.id), text))
        elif message["type"] == "result":
            self._finished(task, message)

    def _foresee(self, task: Task, message: dict[str, Any]) -> None:
        if message["type"] == "result" and message["verdict"] in ("changed", "unknown", "failed"):
            change = {"play": self._step.number, "task": task.id, "diff": str(message.get("diff", ""))}
            self._run.forecast.setdefault(self._host, []).append(change)

    def _finished(self, task: Task, message: dict[str, Any]) -> None:
        if "outcome" in message:
            self._run.context.outcomes.setdefault(self._host, {})[task.id] = dict(message["outcome"])
        its_id, shown, title = self._shown
        if its_id != task.id:
            shown, title = self._veil(task.id), self._veil(_title(task))
        self._run.emit(
            events.TaskFinished(
                host=self._host,
                task=shown,
                resource=task.resource.kind,
                name=self._veil(task.resource.label),
                verdict=str(message["verdict"]),
                diff=self._veil(str(message.get("diff", ""))),
                reason=self._veil(str(message.get("reason", ""))),
                error={key: self._veil(str(text)) for key, text in message.get("error", {}).items()},
                elapsed_s=float(message.get("elapsed_s", 0.0)),
                title=title,
            )
        )

    def _veil(self, text: str) -> str:
        return self._run.veil(self._host, text) if self._has_secrets else text


def _title(task: Task) -> str:
    return task.name or f"{task.resource.kind.replace('_', ' ')} {task.resource.label}"

