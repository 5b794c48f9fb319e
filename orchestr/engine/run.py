"""Carry out a playbook: validate all input, connect, then play by play and batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr import events
from orchestr.blobs import BlobStore
from orchestr.engine import phases
from orchestr.engine.fleet import Fleet
from orchestr.engine.frame import INTERRUPTED, Emitter, carry_out
from orchestr.engine.journal import new_run_id
from orchestr.engine.options import RunOptions as RunOptions
from orchestr.engine.redaction import HostSecrets
from orchestr.engine.selection import PlayHosts, check_limit
from orchestr.engine.steps import Player
from orchestr.engine.steps import Step as Step
from orchestr.errors import InputError
from orchestr.inventory.position import EXTRA_VARIABLES, input_error
from orchestr.paths import state_directory
from orchestr.planning.plan import PlanContext, assign
from orchestr.planning.rehearsal import Waiting, rehearse, rehearse_with_facts
from orchestr.planning.role import secrets_in
from orchestr.planning.role_lines import name_faults
from orchestr.planning.tags import check_tags
from orchestr.planning.unused import check_roles
from orchestr.results import RunResult

if TYPE_CHECKING:
    from orchestr.engine.session import Connector
    from orchestr.inventory import ConnectionSettings, Inventory
    from orchestr.planning.playbook import Playbook


class Run:
    """One run of one playbook. Making it validates all input (raises InputError) and connects to nothing.

    ``departing`` is the run of the hosts that an upgrade removes, when they have data to hand over.
    """

    def __init__(
        self,
        inventory: Inventory,
        playbook: Playbook,
        options: RunOptions,
        consumer: events.Consumer,
        connector: Connector,
        result_type: type[RunResult] = RunResult,
    ) -> None:
        self.inventory, self.playbook, self.options = inventory, playbook, options
        self.id = options.run_id or new_run_id()
        self.departing: Run | None = None
        self._waiting: Waiting = frozenset()
        self._connector = connector
        self._settings: dict[str, ConnectionSettings] = {}
        self._blobs = BlobStore(state_directory())
        self.context = PlanContext(inventory, playbook, self._blobs, new_hosts=options.new_hosts)
        self._selection = PlayHosts(inventory, playbook, options.limit)
        self.play_hosts = self._selection.limited
        self.hosts = self._selection.hosts()
        self.context.hosts = frozenset(self.hosts)
        if not self.hosts:
            raise InputError(
                "no play of the playbook has a host here"
                + (f" within --limit {options.limit}" if options.limit else ""),
                file=playbook.path,
                next_step="orchestr inventory INVENTORY --graph shows the groups",
            )
        if options.limit is not None:
            check_limit(inventory, options.limit, self.hosts, playbook)
        assign(self.context, self._selection.all)
        if options.verb != "verify":
            check_roles(self.context)
        self.emit = Emitter(result_type.of_hosts(self.id, options.verb, self.hosts), consumer)
        secrets = HostSecrets()
        for host in self.hosts:
            settings = self.connection(host)
            params = [assignment.params for assignment in self.context.of_host(host)]
            secrets.add(host, secrets_in([settings.password, settings.become_password, *params]))
        self.player = Player(self.context, options, self.emit, secrets)

    @property
    def result(self) -> RunResult:
        """The result as it stands."""
        return self.emit.result

    def connection(self, host: str) -> ConnectionSettings:
        """Return how a host is reached; its plays' ``become`` counts where the inventory does not set it.

        Raises InputError when the plays disagree: one agent serves all plays of a host.
        """
        departing = self.departing
        if departing is not None and host in departing.hosts:
            return departing.connection(host)
        if host not in self._settings:
            self._settings[host] = self._resolve_connection(host)
        return self._settings[host]

    def _resolve_connection(self, host: str) -> ConnectionSettings:
        settings = self.inventory.connection(host)
        if "ansible_become" in self.inventory.host(host).variables:
            return settings
        plays = [self.playbook.plays[number] for number in self._selection.plays_of(host)]
        for play in plays:
            if play.become is False and any(other.become for other in plays):
                message = f"{host}: one play says become: true, this one false; one agent serves all plays of a host"
                raise input_error(play.position, message, next_step="set ansible_become in the inventory instead")
        become = any(play.become for play in plays)
        return settings if settings.become == become else replace(settings, become=become)

    def has_forecast(self, host: str, number: int | None = None) -> bool:
        """Return True if a forecast found changes on a host (in one play)."""
        return any(number is None or change["play"] == number for change in self.player.forecast.get(host, ()))

    def steps(self) -> Iterable[Step]:
        """Return the plays in their own order and batches; a deploy in the phases of its roles, as it goes on."""
        if self.options.lifecycle == "deploy":
            return phases.steps(self)
        return [
            Step(number, play.batches(self.play_hosts[number]), self.options.lifecycle)
            for number, play in enumerate(self.playbook.plays)
        ]

    # -- the run --------------------------------------------------------------------------------------------------
    def execute(self, schedule: Callable[[Run], Iterable[Step]] | None = None) -> RunResult:
        """Connect and carry out the plays; ``schedule`` gives other steps than `steps`, once the facts are known.

        RunFinished is the last event, also after a failure of everything or an interrupt. Raises InputError, before any
        connection, for a value that a resource of a role refuses.
        """
        with name_faults():
            self._waiting = rehearse(self.context, self.play_hosts, self.options.lifecycle)
        return self.carry_out(
            lambda fleet: self._play_all(fleet, schedule or Run.steps),
            lock=not self.options.check,
            check=self.options.check,
            when_interrupted="interrupted; the agents end by themselves and keep no lock",
        )

    def carry_out(
        self,
        work: Callable[[Fleet], None],
        *,
        lock: bool = False,
        check: bool = False,
        when_interrupted: str = INTERRUPTED,
    ) -> RunResult:
        """Do ``work`` with the sessions of this run, in a frame; see `orchestr.engine.frame.carry_out`."""
        fleet = Fleet(
            self.inventory,
            self._connector,
            self.emit,
            run=self.id,
            lock=lock,
            forks=self.options.forks,
            blobs=self._blobs,
            settings=self.connection,
        )
        try:
            with name_faults():
                carry_out(
                    self._make_start_event(), self.emit, fleet, work, check=check, when_interrupted=when_interrupted
                )
        finally:
            self._blobs.close()
        return self.result

    def _make_start_event(self) -> events.RunStarted:
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
            limit=options.limit or "",
            tags=options.tags,
            skip_tags=options.skip_tags,
        )

    def _extra_variables(self) -> tuple[str, ...]:
        """Return the names of the variables of -e, which every host has; their values may be secrets."""
        origins = self.inventory.host(self.hosts[0]).origin
        return tuple(sorted(name for name, origin in origins.items() if origin == EXTRA_VARIABLES))

    def _play_all(self, fleet: Fleet, schedule: Callable[[Run], Iterable[Step]]) -> None:
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
        if self._waiting:
            rehearse_with_facts(self.context, self.play_hosts, self.options.lifecycle, self._waiting)
        for step in schedule(self):
            if step.batches and not self._play(fleet, step):
                return
        if not any(host.has_failed for host in self.result.hosts.values()):
            check_tags(self.context, self.options.tags, self.options.skip_tags, self.player.task_count)

    def _play(self, fleet: Fleet, step: Step) -> bool:
        """Carry out one step, of this run or of the departing hosts' run; return True if the next may begin."""
        if step.of is None:
            return self.player.play(fleet, step)
        if step.of.play(fleet, step):
            return True
        self._fail_with(step.of.emit.result)
        return False

    def _open_departing(self, fleet: Fleet, departing: Run) -> bool:
        """Connect to the hosts that an upgrade removes; return True if all are there to hand over their data."""
        departing.context.facts.update(fleet.open(departing.hosts, departing.emit))
        if any(host.has_failed for host in departing.result.hosts.values()):
            self._fail_with(departing.result)
            return False
        return True

    def _fail_with(self, other: RunResult) -> None:
        """Take the exit code of the departing hosts' run, unless this run has a reason of its own to fail."""
        self.result.exit_code = other.conclude(self.options.check)


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path is not None else ""
