"""Text from hosts at the output edge: shown, never obeyed, and never taken for a line of ours."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from orchestr import events
from orchestr.engine.journal import Journal, events_of, runs
from orchestr.reports import host_output
from orchestr.reports.closing import Again
from orchestr.reports.console import ConsoleReport, console_on
from orchestr.reports.host_output import HostLines
from orchestr.reports.jsonl import JsonLines
from orchestr.reports.lines import Wording
from orchestr.reports.output import Output
from orchestr.reports.plain import PlainReport
from orchestr.reports.replay import recorded_events, recorded_result

EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp\u2066\rok\nfailed       good  x\u2028y\x85z"
HARMFUL = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\r", "\u2028", "\x85")
STARTED = events.RunStarted("r", "run", "i", "p", ("evil", "good"), False)
ALL_TEXTS = [
    events.TaskFinished("evil", "t", "file", EVIL, "unknown", reason=EVIL, title=EVIL),
    events.TaskFinished(
        "evil", "t", "file", "n", "failed", diff=EVIL, error={"message": EVIL, "stderr": EVIL, "next_step": EVIL}
    ),
    events.TaskFinished("evil", "t", "file", "n", "changed", diff=f"- a: {EVIL}\n+ a: b"),
    events.HostUnreachable("evil", EVIL, EVIL, EVIL),
    events.HostFailed("evil", EVIL, EVIL, EVIL),
    events.TaskOutput("evil", "t", EVIL),
    events.Note(EVIL, "evil"),
    events.RunStopped(EVIL),
]


@pytest.mark.parametrize("event", ALL_TEXTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("verbosity", [0, 3])
def test_reports_neutralise_what_hosts_say(event: events.Event, verbosity: int) -> None:
    """No control sequence, no bidi mark, and no line that begins like one of another host."""
    streams = [io.StringIO(), io.StringIO()]
    wording = (Wording(verbosity, diffs=bool(verbosity)) for _ in streams)
    console = console_on(streams[1], no_color=True, force_terminal=False, width=400)
    reports = [PlainReport(Output(streams[0]), next(wording), None), ConsoleReport(console, next(wording), Again())]
    for report, stream in zip(reports, streams, strict=True):
        report(STARTED)
        report(event)
        report.close()
        text = stream.getvalue()
        assert not [mark for mark in HARMFUL if mark in text]
        assert not [line for line in text.splitlines() if line.startswith("failed       good")]


def test_output_of_commands_is_neutralised(monkeypatch: pytest.MonkeyPatch) -> None:
    """exec: a carriage return cannot overwrite the host's name, and a line without end does not fill the memory."""
    monkeypatch.setattr(host_output, "LONGEST_LINE", 100)
    stream = io.StringIO()
    lines = HostLines(Output(stream))
    lines(STARTED)
    lines(events.TaskOutput("evil", "t", "a\rgood | all is well\x1b[2J\tx\r\n"))
    assert stream.getvalue() == "evil | a\\rgood | all is well\\x1b[2J\tx\n"
    for _ in range(11):
        lines(events.TaskOutput("evil", "t", "x" * 10))
    assert stream.getvalue().endswith("\nevil | " + "x" * 110 + "\n")


def test_json_lines_have_no_other_line_ends() -> None:
    """A reader that splits lines as Unicode does still gets one event per line, with the text unchanged."""
    stream = io.StringIO()
    JsonLines(Output(stream))(events.HostFailed("evil", EVIL + "网关"))
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == EVIL + "网关"
    assert not [mark for mark in HARMFUL if mark in line]
    assert "网关" in line


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path))
    return Journal("20260101-000000-000ab")


def test_the_record_keeps_every_host_s_failure(journal: Journal) -> None:
    """A line separator of Unicode in a host's text does not cut its record in two."""
    journal(STARTED)
    journal(events.HostFailed("evil", "I fail\u2028and nobody reads it later\x85"))
    journal(events.RunFinished("r", 1, 0.1, {}))
    journal.close()
    (failed,) = [event for event in events_of("last") if event["event"] == "HostFailed"]
    assert failed["message"].startswith("I fail\u2028and nobody")


DAMAGED = [
    "[" * 100_000,
    "[]",
    "\xff",
    '{"event": "RunStarted", "run": 5, "verb": "run", "inventory": "i", "playbook": "p", "hosts": [], "check": false}',
    '{"event": "TaskFinished", "host": "a", "task": "t", "resource": "r", "name": "n", "verdict": "hosts"}',
    '{"event": "TaskFinished", "host": "a", "task": "t", "resource": "r", "name": "n", "verdict": "ok", "error": 1}',
    '{"event": "RunFinished", "run": "r", "exit_code": "x", "elapsed_s": 1, "hosts": {}}',
    '{"event": "RunFinished", "run": "r", "exit_code": 1, "elapsed_s": 1, "hosts": {"a": {"ok": "many"}}}',
    '{"event": "HostFailed", "host": ["a"], "message": "x"}',
]


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_events_are_passed_over(journal: Journal, line: str) -> None:
    """One damaged line costs that line, not the whole record."""
    journal(STARTED)
    with (journal.directory / "events.jsonl").open("a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    journal(events.RunFinished("r", 0, 0.1, {}))
    journal.close()
    happened = list(recorded_events("last"))
    assert [type(event).__name__ for event in happened] == ["RunStarted", "RunFinished"]
    assert recorded_result(happened).exit_code == 0


@pytest.mark.parametrize(
    "damage", [{"started": "x"}, {"started": 1e300}, {"hosts": 5}, {"hosts": {"a": 1}}, {"exit_code": []}]
)
def test_a_damaged_record_does_not_hide_the_others(journal: Journal, damage: dict[str, object]) -> None:
    """history passes over a record whose fields are not of their types."""
    journal(STARTED)
    journal(events.RunFinished("r", 0, 0.1, {}))
    journal.close()
    other = journal.directory.parent / "20260102-000000-000ab"
    other.mkdir()
    record = json.loads((journal.directory / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**record, **damage}))
    assert len(runs()) == 1
