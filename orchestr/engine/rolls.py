"""Rolls: hosts whose restart their users notice change one after another, the emptiest first, the busiest last.

A call that is cut goes on at another host; if the busiest host comes last, most calls are cut once at most.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.engine.steps import Step

if TYPE_CHECKING:
    from orchestr.engine.phases import PlayPhase
    from orchestr.engine.run import Run

BUSY = "busy"
MOST = 1e15  # nothing is busier


def is_roll(run: Run, item: PlayPhase) -> bool:
    """Return True if hosts are deployed in turns, in no order that the user wants, and say how busy they are."""
    play = run.playbook.plays[item.number]
    if not item.is_deploy or not play.serial or play.order != "inventory" or len(item.hosts(run)) < 2:
        return False
    return says_how_busy(run, item)


def says_how_busy(run: Run, item: PlayPhase) -> bool:
    """Return True if a role of a play says how busy a host is: by its own ``busy``, or by its description."""
    keys = [(item.number, host) for host in item.hosts(run)]
    roles = {use.role.name: use.role for key in keys for use in run.context.assignments.get(key, ())}
    described = [host.application(name) for name in roles for host in run.context.with_role(name)[:1]]
    has_own = any(hasattr(role.module, BUSY) for role in roles.values())
    return has_own or any(application is not None and application.busy for application in described)


def rolling_steps(run: Run, item: PlayPhase) -> Iterator[Step]:
    """Yield the steps of a roll: a look at what would change, then hosts that stay as they are, then the others.

    The look takes the place of the turns of hosts for which nothing changes: these are done at once.
    """
    hosts, play = item.hosts(run), run.playbook.plays[item.number]
    yield item.step(run, [hosts], f"would change: {play.name}", forecast=True)
    changing = [host for host in hosts if run.has_forecast(host, item.number)]
    steady = [host for host in hosts if host not in changing]
    ordered = yield from emptiest_first(run, item, changing)
    yield item.step(run, [*([steady] if steady else []), *play.batches(ordered)])


def emptiest_first(run: Run, item: PlayPhase, hosts: list[str]) -> Generator[Step, None, list[str]]:
    """Ask hosts how busy they are, and return them with the emptiest first; a host that cannot say counts as empty."""
    if len(hosts) < 2:
        return hosts
    name = run.playbook.plays[item.number].name
    yield Step(item.number, [hosts], BUSY, f"how busy: {name}", role=item.role, is_quiet=True)
    answers = {host: _answer(run, host) for host in hosts}
    ordered = sorted(hosts, key=lambda host: _load(answers[host]))
    if any(answers.values()):
        order = ", ".join(f"{host} ({answers[host].get('text', 'not running')})" for host in ordered)
        run.emit(events.Note(f"{name}: the emptiest host first: {order}"))
    return ordered


def _load(answer: dict[str, Any]) -> float:
    """Return how busy a host says it is, 0 for anything that is no number: a host may say what it wants."""
    load = answer.get(BUSY)
    if isinstance(load, bool) or not isinstance(load, (int, float)):
        return 0.0
    return float(load) if 0 <= load < MOST else 0.0  # false for what is no number


def _answer(run: Run, host: str) -> dict[str, Any]:
    outcomes = run.context.outcomes.get(host, {}).values()
    return next((outcome for outcome in outcomes if BUSY in outcome), {})
