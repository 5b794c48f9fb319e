"""Output of a command on many hosts, line by line as it comes, each line with its host's name before it."""

from __future__ import annotations

from orchestr.events import Event, HostUnreachable, RunStarted, TaskFinished, TaskOutput
from orchestr.reports.output import Output
from orchestr.reports.visible import visible
from orchestr.reports.width import cells, padded

LONGEST_LINE = 8 * 1024 * 1024  # characters of a line that wait for its end


class HostLines:
    """A consumer that writes ``NAME | text``; a line that is not complete yet waits for its end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._begun: dict[str, list[str]] = {}  # pieces, joined once: a line may be megabytes long
        self._waiting: dict[str, int] = {}  # characters of these pieces
        self._width = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._width = max(cells(host) for host in event.hosts)
        elif isinstance(event, TaskOutput):
            first, *others = event.text.split("\n")
            self._begun.setdefault(event.host, []).append(first)
            for begun in others:
                self._write(event.host, "".join(self._begun[event.host]))
                self._begun[event.host] = [begun]
            waiting = len(first) + self._waiting.get(event.host, 0) if not others else len(others[-1])
            self._waiting[event.host] = waiting
            if waiting > LONGEST_LINE:
                self._waiting[event.host] = 0
                self._write(event.host, "".join(self._begun.pop(event.host)))
        elif isinstance(event, (TaskFinished, HostUnreachable)):
            rest = "".join(self._begun.pop(event.host, ()))
            if rest:
                self._write(event.host, rest)

    def _write(self, host: str, line: str) -> None:
        self._output.write(visible(f"{padded(host, self._width)} | {line}".rstrip()))
