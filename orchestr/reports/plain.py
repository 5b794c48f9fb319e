"""The report for files, pipes and logs: plain lines, the same each time, easy to search."""

from __future__ import annotations

from orchestr.events import Event, RunFinished, RunStarted
from orchestr.reports.closing import Again, closing, counts, finished, state_of
from orchestr.reports.lines import Wording
from orchestr.reports.output import Output
from orchestr.reports.width import cells, padded


class PlainReport:
    """A consumer of events. Without ``again`` it reports events and gives no summary at the end."""

    def __init__(self, output: Output, wording: Wording, again: Again | None) -> None:
        self._output, self._wording, self._again = output, wording, again
        self._started: RunStarted | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._started = event
        for line in self._wording.lines(event):
            self._output.write(line.text)
        if isinstance(event, RunFinished) and self._again is not None:
            self._finish(event, self._again)

    def _finish(self, event: RunFinished, again: Again) -> None:
        result = finished(self._started, event)
        check = self._started is not None and self._started.check
        width = max([4, *(cells(name) for name in result.hosts)])
        for name, host in result.hosts.items():
            numbers = " ".join(f"{verdict}={number}" for verdict, number in counts(host).items())
            state = padded(state_of(host, result.verb, check), 11)
            self._output.write(f"host  {padded(name, width)}  {state}  {numbers}")
        sentence, next_step = closing(result, check, again)
        self._output.write(f"{sentence} ({event.elapsed_s:.1f} s)")
        if next_step:
            self._output.write(f"→ {next_step}")

    def close(self) -> None:
        """Nothing is held open."""
