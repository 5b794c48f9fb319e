"""The steps of a run: one play for some hosts, batch by batch, within the play's failure budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.engine.collector import Collector, ForecastCollector
from orchestr.engine.faults import describe_fault
from orchestr.engine.fleet import unreachable
from orchestr.errors import EXIT_FAILED, HostError, OrchestrError
from orchestr.planning.plan import plan_host
from orchestr.redaction import redact

if TYPE_CHECKING:
    from orchestr.agent.resource import Task
    from orchestr.engine.fleet import Fleet
    from orchestr.engine.frame import Emitter
    from orchestr.engine.options import RunOptions
    from orchestr.engine.redaction import HostSecrets
    from orchestr.engine.session import OnMessage, Session
    from orchestr.planning.plan import PlanContext
    from orchestr.planning.playbook import Play


@dataclass(frozen=True)
class Step:
    """One play (by its number) for some hosts, batch by batch, with one of the roles' lifecycle functions.

    A ``forecast`` step observes only; its changes go to ``Player.forecast``, not into the result. ``hosts_if`` is
    asked for each host just before its turn. ``of`` is the player of another run that the hosts belong to. ``role`` is
    the only one that takes part, "" for all of the play. ``is_fatal``: a failure on one host ends the run. A quiet step
    is planned for all hosts first, and is none where no host has a task.
    """

    number: int
    batches: list[list[str]]
    lifecycle: str = "deploy"
    title: str = ""
    forecast: bool = False
    hosts_if: Callable[[str], bool] | None = None
    of: Player | None = None
    role: str = ""
    is_fatal: bool = False
    is_quiet: bool = False


@dataclass
class Player:
    """Carry out the steps of one run, and count which hosts still take part.

    ``forecast`` has, for each host, the changes that forecast steps found (``play``, ``task``, ``diff``).
    """

    context: PlanContext
    options: RunOptions
    emit: Emitter
    secrets: HostSecrets
    forecast: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    task_count: int = 0  # tasks that hosts were given
    _failed_hosts: set[str] = field(default_factory=set)  # in an earlier play: they take no part in later ones

    def play(self, fleet: Fleet, step: Step) -> bool:
        """Carry out one step; return True if the next may begin."""
        play = self.context.playbook.plays[step.number]
        title = step.title or play.name
        # As in Ansible, a host that failed in an earlier play is no part of this one, nor of its budget.
        batches = [[host for host in batch if host not in self._failed_hosts] for batch in step.batches]
        batches = [batch for batch in batches if batch]
        hosts = [host for batch in batches for host in batch]
        if step.is_quiet and not self._has_tasks(fleet, step, hosts):
            self._tell_notes()
            return True
        self.emit(events.PlayStarted(title, tuple(hosts)))
        for number, batch in enumerate(batches, 1):
            self.emit(events.BatchStarted(title, number, len(batches), tuple(batch)))
            reason = self._run_batch(fleet, step, play, batch)
            if reason:
                self.emit(events.RunStopped(reason))
                return False
        failed = tuple(self._failed_of(hosts))
        self._failed_hosts.update(failed)
        self.emit(events.PlayFinished(title, failed))
        return True

    def _run_batch(self, fleet: Fleet, step: Step, play: Play, batch: list[str]) -> str:
        """Run a batch's hosts; return the reason to stop the run after it, "" when it may go on."""
        failed = self._failed_of(batch)
        wanted = [host for host in batch if host not in failed and (step.hosts_if is None or step.hosts_if(host))]
        fleet.each(wanted, lambda host: self._run_host(fleet, step, host))
        return self._over_budget(play, batch, self._failed_of(batch), step.is_fatal)

    def _has_tasks(self, fleet: Fleet, step: Step, hosts: list[str]) -> bool:
        """Return True if a host has tasks in this step, or a fault that it must report."""
        for host in hosts:
            if fleet.session(host) is not None and (step.hosts_if is None or step.hosts_if(host)):
                try:
                    if self._plan(step, host):
                        return True
                except Exception:  # planned again in the host's turn, which reports it
                    return True
        return False

    def _failed_of(self, hosts: list[str]) -> list[str]:
        return [host for host in hosts if self.emit.result.hosts[host].has_failed]

    def _over_budget(self, play: Play, batch: list[str], failed: list[str], is_fatal: bool = False) -> str:
        """Return why the run must stop after this batch, "" when it may go on. Unreachable counts as failed."""
        if not failed or self.options.check:
            return ""
        names = ", ".join(failed)
        if is_fatal or play.any_errors_fatal or self.options.any_errors_fatal:
            return f"{names} failed, and any_errors_fatal is set for the play {play.name!r}"
        if len(failed) == len(batch):
            return f"all hosts of this part of the play {play.name!r} failed: {names}"
        share = 100 * len(failed) / len(batch)
        if share > play.max_fail_percentage:
            return f"{share:.0f} % failed ({names}), more than max_fail_percentage {play.max_fail_percentage:g}"
        return ""

    def _run_host(self, fleet: Fleet, step: Step, host: str) -> None:
        """Plan and run one host's part of a play; any failure becomes an event of that host."""
        session = fleet.session(host)
        if session is None:
            return
        try:
            tasks = self._plan(step, host)
            self._tell_notes()
            self.task_count += len(tasks)
            if tasks:
                self._run_tasks(session, step, host, tasks)
        except HostError as error:
            if fleet.has_ended:  # the run was interrupted: this side closed the connection
                return
            fleet.drop(host)
            self.emit(_broken_host(host, error))
        except OrchestrError as error:
            message = str(error).partition("\n  → ")[0]
            self.emit(events.HostFailed(host, redact(message), redact(error.next_step)))
        except Exception as error:
            fleet.drop(host)  # its session may be in the middle of a request
            self.emit(_fault(host, error))

    def _run_tasks(self, session: Session, step: Step, host: str, tasks: tuple[Task, ...]) -> None:
        """Run a host's tasks; one that does not return leaves its host at work: nobody knows how far it came."""
        check, result = self.options.check or step.forecast, self.emit.result.hosts[host]
        result.is_at_work = not check
        try:
            session.run_tasks(tasks, check=check, on_message=self._collector(step, host, tasks))
        finally:
            result.is_at_work = result.is_at_work and session.is_at_work

    def _plan(self, step: Step, host: str) -> tuple[Task, ...]:
        options = self.options
        return plan_host(
            self.context,
            step.number,
            host,
            lifecycle=step.lifecycle,
            role=step.role,
            tags=options.tags,
            skip_tags=options.skip_tags,
        )

    def _tell_notes(self) -> None:
        for noted_host, message in self.context.take_notes():
            self.emit(events.Note(self.secrets.redact(noted_host, message), noted_host, "warning"))

    def _collector(self, step: Step, host: str, tasks: tuple[Task, ...]) -> OnMessage:
        by_id = {task.id: task for task in tasks}
        if step.forecast:
            return ForecastCollector(step.number, by_id, self.forecast.setdefault(host, []))
        outcomes = self.context.outcomes.setdefault(host, {})
        return Collector(host, by_id, self.emit, outcomes, self.secrets.redactor(host))


def _broken_host(host: str, error: HostError) -> events.HostFailed | events.HostUnreachable:
    event = unreachable(host, error)
    if error.exit_code == EXIT_FAILED:
        return events.HostFailed(host, event.message, event.next_step, event.stderr)
    return event


def _fault(host: str, error: Exception) -> events.HostFailed:
    return events.HostFailed(host, **describe_fault(error))
