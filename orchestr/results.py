"""The result of a run, host by host: counts, changes with their diffs, errors. The same shape ``--json`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from orchestr.errors import EXIT_CHANGES, EXIT_DONE, EXIT_FAILED, EXIT_LOCKED, EXIT_UNREACHABLE
from orchestr.events import Event, HostFailed, HostUnreachable, TaskFinished

JSON_VERSION = 1
VERDICTS = ("ok", "changed", "failed", "skipped", "unknown")


@dataclass
class HostResult:
    """One host: the number of tasks with each verdict, its changes (made or predicted), its errors.

    ``may_have_changed``: a task failed after it had begun to change the host, or the host was lost with tasks at work,
    and nobody knows how far they came. ``is_at_work``: it has tasks whose results are not in.
    """

    ok: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    unreachable: bool = False
    may_have_changed: bool = False
    changes: list[dict[str, str]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    is_at_work: bool = field(default=False, repr=False, compare=False)

    @property
    def is_uncertain(self) -> bool:
        """True if it is not known what this run changed on the host."""
        return self.may_have_changed or self.is_at_work

    @property
    def has_failed(self) -> bool:
        return self.failed > 0 or self.unreachable or bool(self.errors)

    def to_json(self) -> dict[str, Any]:
        counts: dict[str, Any] = {verdict: getattr(self, verdict) for verdict in VERDICTS}
        known = {"unreachable": self.unreachable, "may_have_changed": self.is_uncertain}
        return {**counts, **known, "changes": self.changes, "errors": self.errors}


@dataclass
class RunResult:
    """A whole run. ``exit_code`` is the exit code of the command line; ``host_type`` is the type of a host's result."""

    host_type: ClassVar[type[HostResult]] = HostResult

    run: str
    verb: str
    hosts: dict[str, HostResult] = field(default_factory=dict)
    exit_code: int = EXIT_DONE
    elapsed_s: float = 0.0
    locked: bool = False

    @classmethod
    def of_hosts(cls, run: str, verb: str, names: Iterable[str]) -> Self:
        """Return the result of a run that has not begun, with an empty result for each host."""
        return cls(run, verb, {name: cls.host_type() for name in names})

    @property
    def changed(self) -> int:
        """The number of changes over all hosts."""
        return sum(host.changed for host in self.hosts.values())

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints; documented in docs/reference/json.md."""
        return {
            "version": JSON_VERSION,
            "run": self.run,
            "verb": self.verb,
            "exit": self.exit_code,
            "hosts": {name: host.to_json() for name, host in self.hosts.items()},
            "elapsed_s": round(self.elapsed_s, 3),
        }

    def take(self, event: Event) -> None:
        """Count an event in."""
        if isinstance(event, TaskFinished):
            self._take_task(event)
        elif isinstance(event, HostUnreachable):
            host = self.hosts.setdefault(event.host, self.host_type())
            self.locked = self.locked or event.exit_code == EXIT_LOCKED
            host.unreachable = event.exit_code == EXIT_UNREACHABLE
            host.errors.append(_error(event.message, event.stderr, event.next_step))
        elif isinstance(event, HostFailed):
            host = self.hosts.setdefault(event.host, self.host_type())
            host.errors.append(_error(event.message, event.stderr, event.next_step))

    def _take_task(self, event: TaskFinished) -> None:
        host = self.hosts.setdefault(event.host, self.host_type())
        setattr(host, event.verdict, getattr(host, event.verdict) + 1)
        if event.verdict == "changed":
            host.changes.append(
                {"task": event.task, "resource": event.resource, "name": event.name, "diff": event.diff}
            )
        elif event.verdict == "failed":
            host.may_have_changed = host.may_have_changed or event.begun
            parts = [event.error.get(key, "") for key in ("message", "stderr", "next_step")]
            host.errors.append({"task": event.task, **_error(*parts)})

    def conclude(self, check: bool) -> int:
        """Set and return the exit code: failures before unreachable hosts before pending changes."""
        hosts = self.hosts.values()
        if self.locked:
            self.exit_code = EXIT_LOCKED
        elif any(host.failed or (host.errors and not host.unreachable) for host in hosts):
            self.exit_code = EXIT_FAILED
        elif any(host.unreachable for host in hosts):
            self.exit_code = EXIT_UNREACHABLE
        elif check and any(host.changed or host.unknown for host in hosts):
            self.exit_code = EXIT_CHANGES
        return self.exit_code


def _error(message: str, stderr: str, next_step: str) -> dict[str, str]:
    return {"message": message, "stderr": stderr, "next_step": next_step}
