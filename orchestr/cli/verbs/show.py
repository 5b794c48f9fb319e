"""``orchestr show``: the report of a recorded run."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes
from orchestr.paths import nearby

if TYPE_CHECKING:
    from orchestr.events import Event
    from orchestr.reports.closing import Again


@click.command("show")
@click.argument("run", metavar="RUN")
@takes("diff", "output")
def command(call: Invocation, run: str) -> int:
    """Show a recorded run.

    RUN is the name of the run, the beginning of the name, or 'last'. See history.
    """
    from orchestr.reports.replay import recorded_events, recorded_result

    events = list(recorded_events(run))
    if call.as_json:
        call.print_json(recorded_result(events).to_json())
        return 0
    _replay(call, events)
    return 0


def _replay(call: Invocation, events: list[Event]) -> None:
    from orchestr.reports.choose import report_on
    from orchestr.reports.replay import has_ended

    color = False if call.no_color else None
    verbosity, again = max(1, call.verbose), _again(events)
    report = report_on(sys.stdout, verbosity=verbosity, diffs=True, again=again, color=color)
    try:
        for event in events:
            report(event)
    finally:
        report.close()
    if not has_ended(events):
        print("This run did not end: it is still going on, or its controller was killed.")


def _again(events: list[Event]) -> Again:
    """Return the part that the next command repeats: an upgrade's both inventories, the new one for other verbs."""
    from orchestr.events import RunStarted
    from orchestr.reports.closing import Again

    started = next((event for event in events if isinstance(event, RunStarted)), None)
    if started is None:
        return Again()
    inventory = shlex.quote(nearby(started.inventory))
    given = (
        ("-l", started.limit),
        ("-t", ",".join(started.tags)),
        ("--skip-tags", ",".join(started.skip_tags)),
        ("--playbook", nearby(started.chosen_playbook)),
    )
    options = [f"{name} {shlex.quote(value)}" for name, value in given if value]
    options += ["-e …"] * bool(started.extra_variables)
    if not started.previous:
        return Again(inventory, " ".join(options))
    begin = "RUN" if started.verb == "rollback" else shlex.quote(nearby(started.previous))
    return Again(begin, " ".join(options), inventory)
