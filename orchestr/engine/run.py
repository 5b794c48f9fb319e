"""Carry out a playbook: validate all, connect, then play by play and batch by batch, within the failure budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.agent.secret import mask
from orchestr.blobs import BlobStore
from orchestr.engine.collector import Collector
from orchestr.engine.fleet import DEFAULT_FORKS, Fleet
from orchestr.engine.journal import new_run_id, state_directory
from orchestr.errors import EXIT_FAILED, EXIT_INTERRUPTED, HostError, InputError, OrchestrError
from orchestr.inventory.patterns import split_pattern
from orchestr.inventory.position import EXTRA_VARIABLES, input_error
from orchestr.live_secrets import hidden
from orchestr.planning.plan import PlanContext, assign, plan_host
from orchestr.planning.role import secrets_in
from orchestr.planning.tags import check_tags
from orchestr.results import HostResult, RunResult

if TYPE_CHECKING:
    from orchestr.engine.session import Connector
    from orchestr.inventory import ConnectionSettings, Inventory
    from orchestr.planning.playbook import Play, Playbook

SHORTEST_SECRET = 6  # characters from which a secret is looked for in names and words


@dataclass(frozen=True)
class Step:
    """One play (by its number) for some hosts, batch by batch, with one of the roles' lifecycle functions.

    A ``forecast`` step observes only, and what it finds counts as no result: it goes to ``Run.forecast``. ``hosts_if``
    is asked for each host just before its turn. ``of`` is the run whose hosts these are, where it is another one's.
    """

    number: int
    batches: list[list[str]]
    lifecycle: str = "deploy"
    title: str = ""
    forecast: bool = False
    hosts_if: Callable[[str], bool] | None = None
    of: Run | None = None


@dataclass(frozen=True)
class RunOptions:
    """How a playbook is carried out.

    ``check`` only observes. ``limit`` is a host pattern. ``lifecycle`` is the roles' function that is played.
    ``schedule`` replaces the plays' own order and ``serial`` (an upgrade puts new hosts first); ``new_hosts`` are
    those that were not part of the cluster before. ``previous`` and ``chosen_playbook`` are put on record, to go back.
    """

    verb: str = "run"
    check: bool = False
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    forks: int = DEFAULT_FORKS
    lifecycle: str = "deploy"
    run_id: str = ""
    schedule: Callable[[Run], list[Step]] | None = None
    new_hosts: frozenset[str] = frozenset()
    any_errors_fatal: bool = False
    previous: Path | None = None
    chosen_playbook: Path | None = None


class Run:
    """One run of one playbook. Making it validates all input (raises InputError) and connects to nothing."""

    def __init__(
        self, inventory: Inventory, playbook: Playbook, options: RunOptions, emit: events.Consumer, connector: Connector
    ) -> None:
        self.inventory, self.playbook, self.options = inventory, playbook, options
        self.id = options.run_id or new_run_id()
        self.result = RunResult(self.id, options.verb)
        self._connector = connector
        self._consumer = emit
        self._emit_lock = threading.Lock()
        self._is_over = False
        self._given_up: set[str] = set()
        self._secrets: dict[str, list[str]] = {}
        self._settings: dict[str, ConnectionSettings] = {}
        self._blobs = BlobStore(state_directory())
        self.context = PlanContext(inventory, playbook, self._blobs, new_hosts=options.new_hosts)
        self.forecast: dict[str, list[dict[str, Any]]] = {}
        self.departing: Run | None = None  # of hosts that an upgrade lets go, where they have something to hand over
        self._has_departing_failed = False
        self.play_hosts = {number: self._hosts_of(play) for number, play in enumerate(playbook.plays)}
        self._plays_of = _plays_of(self.play_hosts)
        self.hosts = [name for name in inventory.hosts if name in self._plays_of]
        if not self.hosts:
            raise InputError(
                "no play of the playbook has a host here"
                + (f" within --limit {options.limit}" if options.limit else ""),
                file=playbook.path,
                next_step="orchestr inventory INVENTORY --graph shows the groups",
            )
        assign(self.context, {number: self._all_hosts_of(play) for number, play in enumerate(playbook.plays)})
        check_tags(self.context, options.tags, options.skip_tags)
        for host in self.hosts:
            self.result.hosts[host] = HostResult()
            self._fetch_secrets(host)

    def _fetch_secrets(self, host: str) -> None:
        """Fetch what the host's secrets stand for: a wrong vault password is bad input, not a failed host."""
        settings = self.connection(host)
        params = [assignment.params for assignment in self.context.of_host(host)]
        texts = [secret.reveal() for secret in secrets_in([settings.password, settings.become_password, *params])]
        lines = [line for text in texts for line in (text, *text.splitlines())]
        self._secrets[host] = sorted({line for line in lines if len(line) >= SHORTEST_SECRET}, key=len, reverse=True)

    def has_secrets(self, host: str) -> bool:
        """Tell whether there is anything to hide of a host."""
        return bool(self._secrets.get(host))

    def veil(self, host: str, text: str) -> str:
        """Hide the host's secrets in a text for people: a role may have opened one where it should not.

        Those that travel are hidden by the agent already; here are also names, and what was made of them in plain.
        """
        found = [secret for secret in self._secrets.get(host, ()) if secret in text] if text else []
        return mask(text, found) if found else text

    def connection(self, host: str) -> ConnectionSettings:
        """Return how a host is reached; its plays' ``become`` counts where the inventory says nothing of it.

        Raises InputError when they disagree: one agent serves all plays of a host.
        """
        if host not in self._settings:
            self._settings[host] = self._connection(host)
        return self._settings[host]

    def _any_connection(self, host: str) -> ConnectionSettings:
        """Return how a host is reached, one that an upgrade lets go as well."""
        departing = self.departing
        if departing is not None and host in departing.hosts:
            return departing.connection(host)
        return self.connection(host)

    def _connection(self, host: str) -> ConnectionSettings:
        settings = self.inventory.connection(host)
        if "ansible_become" in self.inventory.host(host).variables:
            return settings
        plays = [self.playbook.plays[number] for number in self._plays_of.get(host, ())]
        for play in plays:
            if play.become is False and any(other.become for other in plays):
                message = f"{host}: one play says become: true, this one false; one agent serves all plays of a host"
                raise input_error(play.position, message, next_step="set ansible_become in the inventory instead")
        become = any(play.become for play in plays)
        return settings if settings.become == become else replace(settings, become=become)

    def _hosts_of(self, play: Play) -> list[str]:
        names = self._all_hosts_of(play)
        if self.options.limit is None:
            return names
        within = {host.name for host in self.inventory.select("all", self.options.limit)}
        return [name for name in names if name in within]

    def _all_hosts_of(self, play: Play) -> list[str]:
        """Return the play's hosts; a group this inventory does not have is no host, unless it looks misspelt."""
        written = split_pattern(play.hosts)
        terms = [term for term in written if not self._is_absent(term, play)]
        # What is left of "web:!db" where there is no web must not become everything but db.
        is_nobody = _adds_none(terms) and not _adds_none(written)
        names = [] if is_nobody else [host.name for host in self.inventory.select(terms, position=play.hosts_position)]
        if play.order in ("sorted", "reverse_sorted"):
            names.sort()
        return names[::-1] if play.order.startswith("reverse") else names

    def _is_absent(self, term: str, play: Play) -> bool:
        """Tell whether a plain name is no host and no group here. Raises InputError when one is called nearly so."""
        if not term.replace("_", "").replace("-", "").isalnum():
            return False
        try:
            self.inventory.select(term, position=play.hosts_position)
        except InputError as error:
            if error.suggestion and error.suggestion not in self._named_in_plays():
                raise
            return True
        return False

    def _named_in_plays(self) -> set[str]:
        """Return the names in all plays' patterns: of two that the playbook tells apart, none is a misspelling."""
        return {term for play in self.playbook.plays for term in split_pattern(play.hosts)}

    # -- events ---------------------------------------------------------------------------------------------------
    def emit(self, event: events.Event) -> None:
        """Count an event in and pass it on; one at a time, and after the last only what an upgrade has to say."""
        with self._emit_lock:
            if self._is_over and not isinstance(event, events.Note):
                return
            self._is_over = self._is_over or isinstance(event, events.RunFinished)
            self.result.take(event)
            self._consumer(event)

    # -- the run --------------------------------------------------------------------------------------------------
    def started(self) -> events.RunStarted:
        """Return the event a run begins with; its paths hold from any directory."""
        options = self.options
        return events.RunStarted(
            run=self.id,
            verb=options.verb,
            inventory=str(self.inventory.path.absolute()),
            playbook=str(self.playbook.path.absolute()),
            hosts=tuple(self.hosts),
            check=options.check,
            previous=_absolute(options.previous),
            chosen_playbook=_absolute(options.chosen_playbook),
            extra_variables=self._extra_variables(),
        )

    def _extra_variables(self) -> tuple[str, ...]:
        """Return the names of the variables of -e, which every host has; their values may be secrets."""
        origin = self.inventory.host(self.hosts[0]).origin
        return tuple(sorted(name for name, place in origin.items() if place == EXTRA_VARIABLES))

    def execute(self) -> RunResult:
        """Do it all; the summary event comes last, also after a failure of everything or an interrupt."""
        began = time.monotonic()
        options = self.options
        self.emit(self.started())
        try:
            with Fleet(
                self.inventory,
                self._connector,
                self.emit,
                run=self.id,
                lock=not options.check,
                forks=options.forks,
                blobs=self._blobs,
                settings=self._any_connection,
            ) as fleet:
                self._play_all(fleet)
            self.result.conclude(options.check)
            if self._has_departing_failed and self.departing is not None:
                self.result.exit_code = self.result.exit_code or self.departing.result.conclude(options.check)
        except KeyboardInterrupt:
            self.emit(events.RunStopped("interrupted; the agents end by themselves and keep no lock"))
            self.result.exit_code = EXIT_INTERRUPTED
        except BaseException as error:
            self.emit(events.RunStopped(hidden(f"broken off: {type(error).__name__}: {error}")))
            self.result.exit_code = EXIT_FAILED
            self._finish(began)
            raise
        finally:
            self._blobs.close()
        self._finish(began)
        return self.result

    def _finish(self, began: float) -> None:
        self.result.elapsed_s = time.monotonic() - began
        summary = {name: host.to_json() for name, host in self.result.hosts.items()}
        self.emit(events.RunFinished(self.id, self.result.exit_code, round(self.result.elapsed_s, 3), summary))

    def _play_all(self, fleet: Fleet) -> None:
        self.context.facts.update(fleet.open(self.hosts))
        if self.departing is not None and not self._open_departing(fleet, self.departing):
            why = "a host that goes can't be reached, and may have what the others need; nothing was changed"
            self.emit(events.RunStopped(why))
            return
        if self.result.locked and not self.options.check:
            self.emit(events.RunStopped("a host is held by another run; nothing was changed"))
            return
        if self.options.any_errors_fatal and any(host.has_failed for host in self.result.hosts.values()):
            self.emit(events.RunStopped("not every host can be reached; nothing was changed"))
            return
        for step in (self.options.schedule or Run.steps)(self):
            if not step.batches:
                continue
            if step.of is not None:
                self._has_departing_failed = not step.of._step(fleet, step)
            if self._has_departing_failed or (step.of is None and not self._step(fleet, step)):
                return

    def _open_departing(self, fleet: Fleet, departing: Run) -> bool:
        """Connect to the hosts that an upgrade lets go; tell whether all are there to hand over what they have."""
        departing.context.facts.update(fleet.open(departing.hosts, departing.emit))
        self._has_departing_failed = any(host.has_failed for host in departing.result.hosts.values())
        return not self._has_departing_failed

    def steps(self) -> list[Step]:
        """Return the plays in their own order and batches."""
        return [
            Step(number, play.batches(self.play_hosts[number]), self.options.lifecycle)
            for number, play in enumerate(self.playbook.plays)
        ]

    def has_forecast(self, host: str, number: int | None = None) -> bool:
        """Tell whether a forecast found something to change on a host (in one play)."""
        return any(number is None or change["play"] == number for change in self.forecast.get(host, ()))

    def _step(self, fleet: Fleet, step: Step) -> bool:
        """Carry out one play's part; tell whether the next may begin."""
        play = self.playbook.plays[step.number]
        title = step.title or play.name
        # As in Ansible, who failed in an earlier play is no part of this one, nor of its budget.
        batches = [[host for host in batch if host not in self._given_up] for batch in step.batches]
        batches = [batch for batch in batches if batch]
        hosts = [host for batch in batches for host in batch]
        self.emit(events.PlayStarted(title, tuple(hosts)))
        for count, batch in enumerate(batches, 1):
            self.emit(events.BatchStarted(title, count, len(batches), tuple(batch)))
            alive = [host for host in batch if not self.result.hosts[host].has_failed]
            wanted = [host for host in alive if step.hosts_if is None or step.hosts_if(host)]
            fleet.each(wanted, lambda host: self._run_host(fleet, step, host))
            failed = [host for host in batch if self.result.hosts[host].has_failed]
            reason = self._over_budget(play, batch, failed)
            if reason:
                self.emit(events.RunStopped(reason))
                return False
        lost = tuple(host for host in hosts if self.result.hosts[host].has_failed)
        self._given_up.update(lost)
        self.emit(events.PlayFinished(title, lost))
        return True

    def _over_budget(self, play: Play, batch: list[str], failed: list[str]) -> str:
        """Return why the run must stop after this batch, "" when it may go on. Unreachable counts as failed."""
        if not failed or self.options.check:
            return ""
        names = ", ".join(failed)
        if play.any_errors_fatal or self.options.any_errors_fatal:
            return f"{names} failed, and any_errors_fatal is set for the play {play.name!r}"
        if len(failed) == len(batch):
            return f"all hosts of this part of the play {play.name!r} failed: {names}"
        share = 100 * len(failed) / len(batch)
        if share > play.max_fail_percentage:
            return f"{share:.0f} % failed ({names}), more than max_fail_percentage {play.max_fail_percentage:g}"
        return ""

    def _run_host(self, fleet: Fleet, step: Step, host: str) -> None:
        """Plan and run one host's part of a play; whatever goes wrong becomes an event of that host."""
        session = fleet.session(host)
        if session is None:
            return
        try:
            options = self.options
            tasks = plan_host(
                self.context,
                step.number,
                host,
                lifecycle=step.lifecycle,
                tags=options.tags,
                skip_tags=options.skip_tags,
            )
            self._tell_notes()
            if not tasks:
                return
            collector = Collector(self, host, {task.id: task for task in tasks}, step)
            session.run_tasks(tasks, check=options.check or step.forecast, on_message=collector)
        except HostError as error:
            if fleet.has_ended:  # the run was interrupted: it is we who left
                return
            fleet.drop(host)
            if error.exit_code == EXIT_FAILED:
                self.emit(events.HostFailed(host, error.message, error.next_step, error.stderr))
            else:
                code = error.exit_code
                self.emit(events.HostUnreachable(host, error.message, error.next_step, error.stderr, code))
        except OrchestrError as error:
            message = str(error).partition("\n  → ")[0]
            self.emit(events.HostFailed(host, hidden(message), hidden(error.next_step)))
        except Exception as error:
            import traceback

            text = hidden("".join(traceback.format_exception(error)))[-2000:]
            todo = "this is a fault in the role or in orchestr; please report it with these lines"
            self.emit(events.HostFailed(host, hidden(f"{type(error).__name__}: {error}"), todo, text))

    def _tell_notes(self) -> None:
        for host, message in self.context.take_notes():
            self.emit(events.Note(self.veil(host, message), host, "warning"))


def _plays_of(play_hosts: Mapping[int, Iterable[str]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number, names in play_hosts.items():
        for name in dict.fromkeys(names):
            found[name] = (*found.get(name, ()), number)
    return found


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path is not None else ""


def _adds_none(terms: list[str]) -> bool:
    """Tell whether a pattern only narrows (``&``, ``!``), which Ansible reads as narrowing all hosts."""
    return all(term[:1] in "&!" for term in terms)
