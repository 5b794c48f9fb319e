"""Plays as steps: a role with phases takes one step for each, with a barrier after it; early ones before all plays.

Most roles have no phases: their play is one step, in the batches of its ``serial``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from orchestr.cluster.swarm_hosts import MANAGERS, WORKERS
from orchestr.engine.rolls import is_roll, rolling_steps
from orchestr.engine.steps import Step
from orchestr.errors import InputError
from orchestr.planning.phases import Phase
from orchestr.planning.plan import Host

if TYPE_CHECKING:
    from orchestr.engine.run import Run
    from orchestr.planning.plan import Assignment, PlanContext

DEPLOY = Phase("deploy")


@dataclass(frozen=True)
class PlayPhase:
    """One phase of a play (by its number); ``role`` is the only one that takes part, "" for all roles of the play."""

    number: int
    phase: Phase = DEPLOY
    role: str = ""

    @property
    def is_deploy(self) -> bool:
        """True for a play's deploy, in which hosts have their turn by ``serial``."""
        return self.phase.function == DEPLOY.function

    def hosts(self, run: Run) -> list[str]:
        """Return the hosts of the run that take part, those of the play first."""
        names = run.play_hosts[self.number]
        if self.phase.group:
            return [name for name in names if self.phase.group in run.inventory.host(name).groups]
        if self.phase.reaches_swarm:
            return list(dict.fromkeys((*names, *(name for name in run.hosts if _is_node(run, name)))))
        return list(names)

    def batches(self, run: Run) -> list[list[str]]:
        """Return the hosts that take part, as batches: a deploy in those of the play's ``serial``."""
        hosts = self.hosts(run)
        if self.phase.is_serial:
            return [[host] for host in hosts]
        if self.is_deploy:
            return run.playbook.plays[self.number].batches(hosts)
        return [hosts] if hosts else []

    def step(self, run: Run, batches: list[list[str]], title: str = "", *, forecast: bool = False) -> Step:
        """Return the step for these hosts; ``title`` is the play's name, unless another is given."""
        title = title or run.playbook.plays[self.number].name
        if not self.is_deploy:
            title = f"{title}: {self.phase.function}"
        return Step(
            self.number,
            batches,
            self.phase.function,
            title,
            forecast=forecast,
            role=self.role,
            is_fatal=self.phase.is_fatal,
            is_quiet=not self.is_deploy and not self.phase.is_serial,
        )


def phases(run: Run, *, is_strict: bool = False) -> list[PlayPhase]:
    """Return the phases of all plays in their order, the early ones first: each kind of all plays before the next.

    A description that fails has no phases: its deploy will fail on each host. ``is_strict`` raises its InputError, for
    hosts that are not deployed.
    """
    plays = [list(_of_play(run.context, number, is_strict)) for number in range(len(run.playbook.plays))]
    early = zip_longest(*([item for item in play if item.phase.is_early] for play in plays))
    late = (item for play in plays for item in play if not item.phase.is_early)
    return [item for item in (*chain(*early), *late) if item is not None]


def steps(run: Run) -> Iterator[Step]:
    """Yield the steps of a run: the plays in their own order and batches, rolls with the emptiest host first."""
    for item in phases(run):
        if not run.options.check and is_roll(run, item):
            yield from rolling_steps(run, item)
        else:
            yield item.step(run, item.batches(run))


def _of_play(context: PlanContext, number: int, is_strict: bool) -> Iterator[PlayPhase]:
    """Yield the phases of a play, role by role where one has phases; else the play's deploy alone."""
    play = context.playbook.plays[number]
    roles: dict[str, tuple[Assignment, str]] = {}
    for (play_number, host), assignments in context.assignments.items():
        for assignment in assignments if play_number == number else ():
            if not assignment.role.within:
                roles.setdefault(assignment.role.name, (assignment, host))
    known = {name: _phases_of(context, *roles[name], is_strict) for name in roles}
    if not play.phases and not any(known.values()):
        yield PlayPhase(number)
        return
    for name, its_phases in known.items():
        for phase in (Phase(function) for function in play.phases) if play.phases else its_phases or (DEPLOY,):
            yield PlayPhase(number, phase, name)


def _phases_of(context: PlanContext, assignment: Assignment, host: str, is_strict: bool) -> tuple[Phase, ...]:
    role = assignment.role
    if role.describe is None or role.phases:
        return role.phases
    from orchestr.applications.phases import phases_of  # with all that an application is made of

    try:
        return phases_of(Host(context, context.inventory.host(host), role), assignment.params)
    except InputError:
        if is_strict:
            raise
        return ()


def _is_node(run: Run, name: str) -> bool:
    groups = run.inventory.host(name).groups
    return MANAGERS in groups or WORKERS in groups
