"""The lines that a person reads of each event: the same words on a terminal and in a file.

    changed  lab1  file /opt/app/.env (MODE: 0644 → 0600)
    failed   lab2  service caddy
             systemctl start caddy ended with 1
             | Job for caddy.service failed.
             → journalctl -u caddy shows why

The first word is the verdict, the second the host, so that ``grep ^failed`` and ``grep lab2`` both work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestr import events
from orchestr.paths import nearby
from orchestr.reports.visible import json_line, visible
from orchestr.reports.width import cells, padded

VERDICT_WIDTH = len("unreachable")
#: The diff of every action; its name says it all.
_ACTION_DONE = "- done: no\n+ done: yes"
#: Shown without being asked for; the others (ok, skipped, connected …) at -v.
LOUD = ("changed", "failed", "unknown", "unreachable")


@dataclass(frozen=True)
class Line:
    """A line without its newline. ``style`` is its kind (changed, failed, added …); a terminal colours by it."""

    text: str
    style: str = ""


class Wording:
    """Turns events into lines. ``verbosity`` counts the -v; ``diffs`` shows whole diffs instead of one line."""

    def __init__(self, verbosity: int = 0, diffs: bool = False) -> None:
        self._verbosity = verbosity
        self._diffs = diffs
        self._host_width = 4

    def lines(self, event: events.Event) -> Iterator[Line]:
        """Yield the lines about an event: none for most, unless more detail is asked for."""
        if self._verbosity >= 3:
            yield Line(f"· {json_line(event.to_json())}", "engine")
        if isinstance(event, events.RunStarted):
            self._host_width = max([4, *(cells(host) for host in event.hosts)])
        speak = _SPEAKERS.get(type(event))
        if speak is not None:
            for line in speak(self, event):
                yield Line(visible(line.text), line.style)

    # -- one method per event -------------------------------------------------------------------------------------
    def _run_started(self, event: events.RunStarted) -> Iterator[Line]:
        if self._verbosity >= 1:
            what = (nearby(event.inventory), nearby(event.playbook), count(len(event.hosts), "host"))
            yield Line(f"{event.verb} {event.run}: {', '.join(part for part in what if part)}", "faint")

    def _connected(self, event: events.HostConnected) -> Iterator[Line]:
        if self._verbosity >= 1:
            reason = f": {event.slow}" if event.slow else ""
            yield self._verdict("connected", event.host, f"in {event.elapsed_s:.2f} s{reason}")

    def _unreachable(self, event: events.HostUnreachable) -> Iterator[Line]:
        word = {4: "unreachable", 5: "locked"}.get(event.exit_code, "failed")
        first, *more = event.message.splitlines() or [""]
        yield self._verdict(word, event.host, first)
        yield from self._details(more, event.stderr, event.next_step)

    def _play_started(self, event: events.PlayStarted) -> Iterator[Line]:
        if self._verbosity >= 1:
            yield Line(f"play {event.play}: {', '.join(event.hosts)}", "heading")

    def _batch_started(self, event: events.BatchStarted) -> Iterator[Line]:
        if event.total > 1 and self._verbosity >= 1:
            yield Line(f"batch {event.number} of {event.total}: {', '.join(event.hosts)}", "faint")

    def _task_output(self, event: events.TaskOutput) -> Iterator[Line]:
        if self._verbosity >= 1:
            for line in event.text.splitlines():
                yield self._verdict("", event.host, f"| {line}", "output")

    def _task_finished(self, event: events.TaskFinished) -> Iterator[Line]:
        if event.verdict not in LOUD and self._verbosity < 1:
            return
        text = event.title or f"{event.resource.replace('_', ' ')} {event.name}"
        diff = "" if event.diff == _ACTION_DONE else event.diff
        if event.verdict == "changed" and not self._diffs:
            text += brief(diff)
        if event.reason and event.verdict != "failed":
            text += f" ({event.reason})"
        if self._verbosity >= 2:
            text += f" [{event.elapsed_s:.2f} s]"
        yield self._verdict(event.verdict, event.host, text)
        if diff and (self._diffs or event.verdict == "failed"):
            yield from self._diff(diff)
        if event.verdict == "failed":
            message = event.error.get("message", "").splitlines()
            yield from self._details(message, event.error.get("stderr", ""), event.error.get("next_step", ""))

    def _host_failed(self, event: events.HostFailed) -> Iterator[Line]:
        first, *more = event.message.splitlines() or [""]
        yield self._verdict("failed", event.host, first)
        yield from self._details(more, event.stderr, event.next_step)

    def _stopped(self, event: events.RunStopped) -> Iterator[Line]:
        yield Line(f"stopped: {event.reason}", "failed")

    def _note(self, event: events.Note) -> Iterator[Line]:
        yield self._verdict("warning" if event.level == "warning" else "note", event.host, event.message)

    # -- parts ----------------------------------------------------------------------------------------------------
    def _verdict(self, word: str, host: str, text: str, style: str = "") -> Line:
        return Line(f"{padded(word, VERDICT_WIDTH)}  {padded(host, self._host_width)}  {text}".rstrip(), style or word)

    def _details(self, message: Iterable[str], stderr: str, next_step: str) -> Iterator[Line]:
        indent = " " * (VERDICT_WIDTH + 2)
        for line in message:
            yield Line(f"{indent}{line}", "message")
        for line in stderr.strip().splitlines():
            yield Line(f"{indent}| {line}", "output")
        for line in next_step.splitlines():
            yield Line(f"{indent}→ {line}", "next")

    def _diff(self, diff: str) -> Iterator[Line]:
        indent = " " * (VERDICT_WIDTH + 2)
        for line in diff.splitlines():
            style = {"+": "added", "-": "removed"}.get(line[:1], "context")
            yield Line(f"{indent}{line}", style)


_SPEAKERS: dict[type[events.Event], Callable[[Wording, Any], Iterator[Line]]] = {
    events.RunStarted: Wording._run_started,
    events.HostConnected: Wording._connected,
    events.HostUnreachable: Wording._unreachable,
    events.PlayStarted: Wording._play_started,
    events.BatchStarted: Wording._batch_started,
    events.TaskOutput: Wording._task_output,
    events.TaskFinished: Wording._task_finished,
    events.HostFailed: Wording._host_failed,
    events.RunStopped: Wording._stopped,
    events.Note: Wording._note,
}


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "host"), count(2, "host"), count(0, "change")
    ('1 host', '2 hosts', '0 changes')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def brief(diff: str) -> str:
    """Return a diff in a few words, for one line.

    >>> brief("- mode: 0644\\n+ mode: 0600")
    ' (mode: 0644 → 0600)'
    >>> brief("--- a\\n+++ b\\n@@ -1 +1,2 @@\\n-x\\n+y\\n+z")
    ' (+2 -1)'
    """
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    added = [line[1:].strip() for line in lines if line.startswith("+")]
    removed = [line[1:].strip() for line in lines if line.startswith("-")]
    if len(added) == len(removed) == 1:
        name, colon, after = added[0].partition(": ")
        old_name, _, before = removed[0].partition(": ")
        if colon and name == old_name and len(before) + len(after) <= 60:
            return f" ({name}: {before} → {after})"
    if removed == ["absent"]:
        return " (new)"
    if added == ["absent"]:
        return " (removed)"
    return f" (+{len(added)} -{len(removed)})" if lines else ""
