"""``orchestr exec``: one command on many hosts."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes

if TYPE_CHECKING:
    from orchestr.events import Event
    from orchestr.reports.choose import Report


@click.command("exec", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": True})
@takes("inventory", "hosts", "variables", "events", "output")
@click.argument("pattern")
@click.argument("argv", nargs=-1, required=True, metavar="-- COMMAND [ARGUMENT]...")
def command(call: Invocation, pattern: str, argv: tuple[str, ...]) -> int:
    """Run a command on the hosts of PATTERN.

    No shell takes part; to use one: -- sh -c TEXT. Each line of output begins with the host's name.
    Exits with 1 if the command failed on any host.
    """
    inventory = call.load()
    from orchestr.adhoc import execute

    work = functools.partial(execute, inventory, pattern, argv, limit=call.limit, forks=call.forks)
    return call.perform(work, report=_report(call))


def _report(call: Invocation) -> Report:
    """Hosts' lines go to stdout as they come; errors go to stderr."""
    problems = call.problems_only()
    return problems if call.as_json or call.events == "-" else _Both(problems)


class _Both:
    def __init__(self, problems: Report) -> None:
        from orchestr.reports.host_output import HostLines
        from orchestr.reports.output import Output

        self._problems, self._lines = problems, HostLines(Output(sys.stdout))

    def __call__(self, event: Event) -> None:
        self._lines(event)
        self._problems(event)

    def close(self) -> None:
        self._problems.close()
