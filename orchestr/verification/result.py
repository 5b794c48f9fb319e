"""The result of a verification: a run's result, and under each host its checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from orchestr.events import Event, TaskFinished
from orchestr.results import HostResult, RunResult

OUTCOMES = {"ok": "passed", "failed": "failed", "skipped": "skipped"}


@dataclass
class HostChecks(HostResult):
    """One host. A check has ``role``, ``name``, ``outcome`` (passed, failed, skipped) and ``message``."""

    checks: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "checks": self.checks}


@dataclass
class VerifyResult(RunResult):
    """All checks of all hosts. ``exit_code`` is 0, 1 when a check failed, 4 when a host could not be reached."""

    host_type: ClassVar[type[HostResult]] = HostChecks
    hosts: dict[str, HostChecks] = field(default_factory=dict)  # type: ignore[assignment]

    def take(self, event: Event) -> None:
        super().take(event)
        if isinstance(event, TaskFinished):
            role = event.task.partition("/")[0]
            message = event.error.get("message", "") or event.reason
            check = {"role": role, "name": event.name, "outcome": OUTCOMES[event.verdict], "message": message}
            self.hosts[event.host].checks.append(check)
