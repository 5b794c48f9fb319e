"""Which report a stream gets: rich on a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
from typing import Protocol, TextIO

from orchestr.events import Event
from orchestr.reports.closing import Again
from orchestr.reports.lines import Wording
from orchestr.reports.output import Output


class Report(Protocol):
    """A consumer of events that may hold the terminal until it is closed."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


def report_on(stream: TextIO, *, verbosity: int, diffs: bool, again: Again, color: bool | None = None) -> Report:
    """Return the report for ``stream``. ``color=False`` and NO_COLOR (any value) keep the live lines, uncoloured."""
    wording = Wording(verbosity, diffs)
    if not is_terminal(stream):
        from orchestr.reports.plain import PlainReport

        return PlainReport(Output(stream), wording, again)
    from orchestr.reports.console import ConsoleReport, console_on

    plain = color is False or bool(os.environ.get("NO_COLOR"))
    return ConsoleReport(console_on(stream, no_color=plain), wording, again)


def is_terminal(stream: TextIO) -> bool:
    """Return True if a person is watching: on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
