"""Verbs without a playbook: ping hosts, read their facts, run a command. They take no lock and write no journal.

orchestr.ping(inventory)                              # every host: connected, agent started, facts read
orchestr.facts(inventory, "livekit").hosts["lk1"].facts["memory_bytes"]
orchestr.execute(inventory, "all:!lk3", ["uname", "-r"]).hosts["lk1"].stdout
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from orchestr import events
from orchestr.agent.resource import Task
from orchestr.engine.faults import describe_fault
from orchestr.engine.fleet import DEFAULT_FORKS, Fleet, unreachable
from orchestr.engine.frame import Emitter, carry_out
from orchestr.engine.journal import new_run_id
from orchestr.errors import HostError, InputError
from orchestr.events import Consumer, RunStarted
from orchestr.redaction import redact
from orchestr.results import HostResult, RunResult

if TYPE_CHECKING:
    from orchestr.engine.session import Connector
    from orchestr.inventory import Inventory


@dataclass
class HostFacts(HostResult):
    """A host's result with its facts (`orchestr.agent.facts`); they are empty for an unreachable host."""

    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "facts": dict(self.facts)}


@dataclass
class HostOutput(HostResult):
    """A host's result with the output of a command; ``exit`` is None when it did not run on the host."""

    exit: int | None = None
    stdout: str = ""
    stderr: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "exit": self.exit, "stdout": self.stdout, "stderr": self.stderr}


@dataclass
class FactsResult(RunResult):
    """The facts of every host that answered."""

    host_type: ClassVar[type[HostResult]] = HostFacts
    hosts: dict[str, HostFacts] = field(default_factory=dict)  # type: ignore[assignment]


@dataclass
class ExecuteResult(RunResult):
    """The results of a command on every host."""

    host_type: ClassVar[type[HostResult]] = HostOutput
    hosts: dict[str, HostOutput] = field(default_factory=dict)  # type: ignore[assignment]


def ping(
    inventory: Inventory,
    pattern: str = "all",
    *,
    limit: str | None = None,
    forks: int = DEFAULT_FORKS,
    on_event: Consumer | None = None,
    connector: Connector | None = None,
) -> FactsResult:
    """Connect to the hosts of a pattern and start the agent there; the result has the hosts that answered."""
    result = FactsResult(new_run_id(), "ping")
    _Round(inventory, result, on_event, connector, forks).run(pattern, limit)
    return result


def facts(
    inventory: Inventory,
    pattern: str = "all",
    *,
    limit: str | None = None,
    forks: int = DEFAULT_FORKS,
    on_event: Consumer | None = None,
    connector: Connector | None = None,
) -> FactsResult:
    """Return the facts of the hosts of a pattern: operating system, sizes in bytes, addresses."""
    result = FactsResult(new_run_id(), "facts")
    _Round(inventory, result, on_event, connector, forks).run(pattern, limit)
    return result


def execute(
    inventory: Inventory,
    pattern: str,
    argv: Sequence[str],
    *,
    limit: str | None = None,
    forks: int = DEFAULT_FORKS,
    timeout_s: float | None = None,
    on_event: Consumer | None = None,
    connector: Connector | None = None,
) -> ExecuteResult:
    """Run one command (a list of words, no shell) on the hosts of a pattern; an exit status other than 0 is a failure.

    Its output arrives as TaskOutput events while it runs, and complete in the result. Raises InputError.
    """
    from orchestr.resources.commands import Command

    if not argv or not argv[0] or any("\0" in word for word in argv):
        raise InputError("the command is missing", next_step="write a program, then its arguments")
    task = Task(Command(tuple(argv), check_exit=False), timeout_s=timeout_s, id="exec")
    result = ExecuteResult(new_run_id(), "exec")
    round_ = _Round(inventory, result, on_event, connector, forks)
    round_.run(pattern, limit, lambda fleet, host: _execute(round_, fleet, host, task))
    return result


class _Round:
    """One round over the hosts of a pattern: connect to all, then do the work on the hosts that answer."""

    def __init__(
        self,
        inventory: Inventory,
        result: RunResult,
        on_event: Consumer | None,
        connector: Connector | None,
        forks: int,
    ) -> None:
        self.inventory, self.result = inventory, result
        self.emit = Emitter(result, on_event)
        self._connector, self._forks = connector or _ssh(), forks

    def run(self, pattern: str, limit: str | None, work: Callable[[Fleet, str], None] | None = None) -> None:
        """Do ``work`` on every host that answers; without work, an answer counts as ``ok``. Raises InputError."""
        names = [host.name for host in self.inventory.select(pattern, limit)]
        if not names:
            raise InputError(
                f"no host matches {pattern!r}",
                file=self.inventory.path,
                next_step=f"orchestr inventory {self.inventory.path} --graph shows hosts and groups",
            )
        for name in names:
            self.inventory.connection(name)
            self.result.hosts[name] = self.result.host_type()
        run, path = self.result.run, str(self.inventory.path)
        started = RunStarted(run, self.result.verb, path, "", tuple(names), True)
        fleet = Fleet(self.inventory, self._connector, self.emit, run=run, forks=self._forks)
        carry_out(started, self.emit, fleet, lambda fleet: self._connect_and(fleet, names, work))

    def _connect_and(self, fleet: Fleet, names: list[str], work: Callable[[Fleet, str], None] | None) -> None:
        for name, facts_there in fleet.open(names).items():
            host = self.result.hosts[name]
            if isinstance(host, HostFacts):
                host.ok, host.facts = 1, facts_there
        if work is not None:
            fleet.each(names, lambda name: work(fleet, name))


def _ssh() -> Connector:
    from orchestr.transport.connect import connect

    return connect


def _execute(round_: _Round, fleet: Fleet, host: str, task: Task) -> None:
    session = fleet.session(host)
    if session is None:
        return
    try:
        session.run_tasks([task], check=False, on_message=lambda message: _take(round_, host, task, message))
    except HostError as error:
        fleet.drop(host)
        round_.emit(unreachable(host, error))
    except Exception as error:
        fleet.drop(host)
        round_.emit(events.HostFailed(host, **describe_fault(error)))


def _take(round_: _Round, host: str, task: Task, message: dict[str, Any]) -> None:
    label = task.resource.label
    if message["type"] == "started":
        round_.emit(events.TaskStarted(host, task.id, label))
    elif message["type"] == "output":
        round_.emit(events.TaskOutput(host, task.id, redact(message["text"])))
    elif message["type"] == "result":
        output = round_.result.hosts[host]
        assert isinstance(output, HostOutput)
        outcome = message.get("outcome", {})
        output.exit = outcome["exit"] if type(outcome.get("exit")) is int else None
        output.stdout, output.stderr = _text(outcome.get("stdout")), _text(outcome.get("stderr"))
        round_.emit(_make_finish_event(host, task, message, output))


def _text(value: object) -> str:
    return redact(value) if isinstance(value, str) else ""


def _make_finish_event(host: str, task: Task, message: dict[str, Any], output: HostOutput) -> events.TaskFinished:
    """Return the event of an ended command: ok if it ended with 0, else failed; it is never called a change."""
    error = {key: redact(text) for key, text in message.get("error", {}).items()}
    if output.exit is None:
        error = error or {"message": "the host did not say how the command ended", "stderr": "", "next_step": ""}
    elif output.exit != 0:
        error = {"message": f"it ended with {output.exit}", "stderr": output.stderr[-2000:], "next_step": ""}
    return events.TaskFinished(
        host=host,
        task=task.id,
        resource="command",
        name=task.resource.label,
        verdict="failed" if error else "ok",
        error=error,
        elapsed_s=float(message.get("elapsed_s", 0.0)),
        title=task.resource.label,
    )
