"""``orchestr show``: one recorded run again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes

if TYPE_CHECKING:
    from orchestr.events import Event


@click.command("show")
@click.argument("run", metavar="RUN")
@takes("diff", "output")
def command(call: Invocation, run: str) -> int:
    """Show a recorded run again.

    RUN is its name, the beginning of it, or 'last'. See history.
    """
    from orchestr.reports.replay import recorded_events, recorded_result

    events = list(recorded_events(run))
    if call.as_json:
        call.print_json(recorded_result(events).to_json())
        return 0
    _replay(call, events)
    return 0


def _replay(call: Invocation, events: list[Event]) -> None:
    from orchestr.events import RunFinished
    from orchestr.reports.choose import report_on
    from orchestr.reports.closing import Again

    inventory = next((each.inventory for each in events if hasattr(each, "inventory")), "INVENTORY")
    color = False if call.no_color else None
    verbosity, again = max(1, call.verbose), Again(inventory)
    report = report_on(sys.stdout, verbosity=verbosity, diffs=True, again=again, color=color)
    try:
        for event in events:
            report(event)
    finally:
        report.close()
    if not any(isinstance(event, RunFinished) for event in events):
        print("This run did not end: it is still going on, or its controller was killed.")
