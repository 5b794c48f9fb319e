"""The report for a terminal: present tasks in place, changes and failures for good, a table at the end."""

from __future__ import annotations

import time
from typing import Any, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestr import events
from orchestr.reports.closing import Again, closing, counts, finished, state_of
from orchestr.reports.lines import Wording
from orchestr.reports.output import LastingStream
from orchestr.reports.visible import visible
from orchestr.results import VERDICTS, RunResult

STYLES = {
    "changed": "yellow",
    "differs": "yellow",
    "failed": "bold red",
    "unreachable": "bold red",
    "locked": "bold red",
    "unknown": "magenta",
    "warning": "magenta",
    "ok": "green",
    "unchanged": "green",
    "connected": "dim",
    "skipped": "dim",
    "note": "cyan",
    "added": "green",
    "removed": "red",
    "context": "dim",
    "output": "dim",
    "message": "",
    "next": "cyan",
    "heading": "bold",
    "faint": "dim",
    "engine": "dim",
}
MOST_ROWS = 12  # hosts shown at work at the same time; the others are counted


def console_on(stream: TextIO, *, no_color: bool = False, **options: Any) -> Console:
    """Return the console for a terminal; it survives the terminal, and takes texts as they are."""
    lasting = cast(TextIO, LastingStream(stream))
    return Console(file=lasting, no_color=no_color, highlight=False, markup=False, emoji=False, **options)


class ConsoleReport:
    """A consumer of one run's events. ``close`` gives the terminal back; RunFinished does so too."""

    def __init__(self, console: Console, wording: Wording, again: Again) -> None:
        self._console, self._wording, self._again = console, wording, again
        self._started: events.RunStarted | None = None
        self._board = Board()
        self._live = self._new_live()

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            self._begin(event)
        self._board.take(event)
        for line in self._wording.lines(event):
            self._print(Text(line.text, STYLES.get(line.style, "")))
        if isinstance(event, events.RunFinished):
            self.close()
            self._finish(event)

    def _new_live(self) -> Live:
        return Live(console=self._console, get_renderable=self._board.show, refresh_per_second=8, transient=True)

    def _begin(self, event: events.RunStarted) -> None:
        """Start the live lines of a run; an upgrade is more than one."""
        self.close()
        self._started = event
        self._board = Board()
        self._live = self._new_live()
        self._live.start()

    def close(self) -> None:
        """Take the live lines away. May be called twice."""
        self._live.stop()

    def _print(self, renderable: RenderableType) -> None:
        self._console.print(renderable, soft_wrap=isinstance(renderable, Text))

    def _finish(self, event: events.RunFinished) -> None:
        result = finished(self._started, event)
        check = self._started is not None and self._started.check
        if result.hosts:
            self._print(_table(result, check))
        sentence, next_step = closing(result, check, self._again)
        style = "bold green" if event.exit_code == 0 else "bold yellow" if event.exit_code == 3 else "bold red"
        self._print(Text.assemble((sentence, style), (f" ({event.elapsed_s:.1f} s)", "dim")))
        if next_step:
            self._print(Text(f"→ {next_step}", STYLES["next"]))


class Board:
    """The live lines: one per host that is being worked on, with its current task and how long that has taken."""

    def __init__(self) -> None:
        self._order: tuple[str, ...] = ()
        self._now: dict[str, tuple[str, float]] = {}
        self._done: dict[str, int] = {}
        self._spinner = Spinner("dots")

    def take(self, event: events.Event) -> None:
        """Note the tasks of each host."""
        began = time.monotonic()
        if isinstance(event, events.RunStarted):
            self._order = event.hosts
            self._now = {host: ("connecting", began) for host in event.hosts}
        elif isinstance(event, events.HostConnected):
            self._now.pop(event.host, None)
        elif isinstance(event, events.TaskStarted):
            self._now[event.host] = (visible(event.name), began)
        elif isinstance(event, events.TaskFinished):
            self._done[event.host] = self._done.get(event.host, 0) + 1
            self._now.pop(event.host, None)
        elif isinstance(event, (events.HostUnreachable, events.HostFailed)):
            self._now.pop(event.host, None)

    def show(self) -> RenderableType:
        """Return the present state as the terminal shows it."""
        working = [(host, self._now[host]) for host in self._order if host in self._now]
        if not working:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        for host, (task, since) in working[:MOST_ROWS]:
            waited = time.monotonic() - since
            clock = f"{waited:.0f} s" if waited >= 2 else ""
            done = self._done.get(host, 0)
            counter = Text(f"{done} done" if done else "", "dim")
            grid.add_row(
                self._spinner, host, counter, Text(task, no_wrap=True, overflow="ellipsis"), Text(clock, "dim")
            )
        if len(working) > MOST_ROWS:
            return Group(grid, Text(f"  … and {len(working) - MOST_ROWS} more hosts", "dim"))
        return grid


def _table(result: RunResult, check: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("host")
    table.add_column("")
    for verdict in VERDICTS:
        table.add_column(verdict, justify="right")
    for name, host in result.hosts.items():
        state = state_of(host, result.verb, check)
        numbers = [Text(str(number), STYLES[verdict] if number else "dim") for verdict, number in counts(host).items()]
        table.add_row(name, Text(state, STYLES.get(state, "")), *numbers)
    return table
