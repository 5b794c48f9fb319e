"""Reports: what people and programs read of a run's events."""

from __future__ import annotations

import doctest
import importlib
import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from orchestr import events
from orchestr.reports.choose import report_on
from orchestr.reports.closing import Again, closing
from orchestr.reports.console import Board, ConsoleReport, console_on
from orchestr.reports.host_output import HostLines
from orchestr.reports.jsonl import JsonLines
from orchestr.reports.lines import Wording
from orchestr.reports.output import Output
from orchestr.reports.plain import PlainReport
from orchestr.reports.replay import from_json, recorded_result
from orchestr.reports.width import cells
from orchestr.results import HostResult, RunResult
from tests.waiting import wait_until

AGAIN = Again("inventories/prod.yml", "-l web")
STARTED = events.RunStarted("r1", "run", "inventories/prod.yml", "playbooks/site.yml", ("网关一", "b"), False)
CHANGED = events.TaskFinished(
    "网关一", "t", "file", "/etc/x", "changed", "- mode: 0644\n+ mode: 0600", title="file /etc/x"
)
FAILED = events.TaskFinished(
    "b",
    "t",
    "service",
    "caddy",
    "failed",
    error={"message": "it ended with 1\nat once", "stderr": "no\nway\n", "next_step": "journalctl -u caddy"},
    title="service caddy",
)


def _finished(exit_code: int = 1, **hosts: HostResult) -> events.RunFinished:
    found = hosts or {"网关一": HostResult(ok=3, changed=1), "b": HostResult(failed=1, errors=[{}])}
    return events.RunFinished("r1", exit_code, 2.5, {name: host.to_json() for name, host in found.items()})


def _plain(*happened: events.Event, verbosity: int = 0, diffs: bool = False) -> list[str]:
    stream = io.StringIO()
    report = PlainReport(Output(stream), Wording(verbosity, diffs), AGAIN)
    for event in happened:
        report(event)
    return stream.getvalue().splitlines()


def _console(*happened: events.Event, no_color: bool = True) -> str:
    stream = io.StringIO()
    console = console_on(stream, force_terminal=True, no_color=no_color, width=100)
    report = ConsoleReport(console, Wording(), AGAIN)
    for event in happened:
        report(event)
    return stream.getvalue()


@pytest.mark.parametrize(
    "name", ["reports.width", "reports.lines", "verification.failure", "planning.reference", "reports.closing"]
)
def test_examples_in_docstrings_hold(name: str) -> None:
    """The examples in the docstrings are true."""
    found = doctest.testmod(importlib.import_module(f"orchestr.{name}"))
    assert found.failed == 0


def test_a_failure_shows_all_there_is_to_know() -> None:
    """Host and task, then the message's other lines, the stderr tail behind bars, and the next step."""
    assert _plain(STARTED, FAILED) == [
        "failed       b       service caddy",
        "             it ended with 1",
        "             at once",
        "             | no",
        "             | way",
        "             → journalctl -u caddy",
    ]


def test_chinese_names_keep_the_columns() -> None:
    """Columns begin at the same cell whether names are Chinese or not, in lines and in both summaries."""
    plain = _plain(STARTED, CHANGED, FAILED, _finished())
    lines = [plain[0], plain[1]]
    assert {cells(line[: line.index(word)]) for line, word in zip(lines, ("file", "service"), strict=True)} == {21}
    rows = [line for line in plain if line.startswith("host  ")]
    assert len({cells(row[: row.index("ok=")]) for row in rows}) == 1
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", _console(STARTED, _finished())).splitlines()
    first, second = (told[number] for number in (-4, -3))
    assert cells(first[: first.index("changed")]) == cells(second[: second.index("failed")]) == cells("网关一") + 2


def test_a_change_is_one_line_or_a_whole_diff() -> None:
    """One line with its difference in brackets, or the diff below it."""
    assert _plain(STARTED, CHANGED) == ["changed      网关一  file /etc/x (mode: 0644 → 0600)"]
    assert _plain(STARTED, CHANGED, diffs=True)[1:] == ["             - mode: 0644", "             + mode: 0600"]


def test_what_is_well_is_not_told() -> None:
    """ok and skipped tasks, connections and output appear only at -v."""
    well = (
        events.HostConnected("b", 0.2),
        events.TaskFinished("b", "t", "file", "/x", "ok"),
        events.TaskFinished("b", "t", "file", "/y", "skipped", reason="its condition does not hold"),
        events.TaskOutput("b", "t", "pulling\nlayer\n"),
    )
    assert _plain(*well) == []
    assert [line.split()[0] for line in _plain(*well, verbosity=1)] == ["connected", "ok", "skipped", "b", "b"]


def test_unknown_is_told_with_its_reason() -> None:
    """A task that can be told only later is shown without being asked for, and why."""
    event = events.TaskFinished("b", "t", "service", "x", "unknown", reason="after package x")
    assert _plain(event) == ["unknown      b     service x (after package x)"]


RESULTS: list[tuple[str, bool, int, dict[str, HostResult], str, str]] = [
    ("run", False, 0, {"a": HostResult(ok=4)}, "the host is as the inventory says", ""),
    (
        "run",
        False,
        0,
        {"a": HostResult(changed=2), "b": HostResult(ok=2)},
        "2 changes made on 1 host. 1 host unch",
        "verify",
    ),
    ("plan", True, 3, {"a": HostResult(changed=1)}, "1 change would be made on 1 host.", "run"),
    ("plan", True, 3, {"a": HostResult(changed=1, unknown=2)}, "2 more tasks can be told only after these", "run"),
    ("run", False, 1, {"a": HostResult(failed=1), "b": HostResult()}, "1 of 2 hosts failed (a); nothing was", "run"),
    ("run", False, 1, {"a": HostResult(failed=1, may_have_changed=True)}, "(a); a may have changed.", "run"),
    (
        "run",
        False,
        1,
        {"a": HostResult(changed=2, failed=1, may_have_changed=True), "b": HostResult(ok=2)},
        "2 changes made on 1 host, and a may have changed further.",
        "run",
    ),
    ("plan", True, 1, {"a": HostResult(failed=1)}, "; it is not known what would be changed on a.", "plan"),
    ("plan", True, 4, {"a": HostResult(unreachable=True), "b": HostResult(ok=3)}, "would be changed on a.", "plan"),
    ("run", False, 130, {"a": HostResult(is_at_work=True)}, "Interrupted; a may have changed.", "run"),
    ("run", False, 130, {"a": HostResult()}, "Interrupted; nothing was changed.", "run"),
    ("run", False, 4, {"a": HostResult(unreachable=True)}, "1 of 1 host could not be reached (a)", "run"),
    ("run", False, 130, {"a": HostResult(changed=3)}, "Interrupted after 3 changes made on 1 host", "run"),
    ("run", False, 1, {"a": HostResult()}, "Broken off by a fault; nothing was changed.", ""),
    ("plan", True, 1, {"a": HostResult()}, "by a fault; it is not known what would be changed.", ""),
    ("verify", True, 0, {"a": HostResult(ok=7)}, "All 7 checks on 1 host passed.", ""),
    ("verify", True, 0, {"a": HostResult()}, "No role of these hosts has a check", ""),
    ("verify", True, 1, {"a": HostResult(ok=6, failed=1)}, "1 check failed and 6 passed; look at a.", "run"),
    ("ping", True, 0, {"a": HostResult(ok=1)}, "The host answers.", ""),
]


@pytest.mark.parametrize(("verb", "check", "code", "hosts", "says", "next_verb"), RESULTS)
def test_closing(verb: str, check: bool, code: int, hosts: dict[str, HostResult], says: str, next_verb: str) -> None:
    """One sentence says what happened; the next command repeats inventory and limit."""
    sentence, next_step = closing(RunResult("r", verb, hosts, code), check, AGAIN)
    assert says in sentence
    assert next_step.endswith(f"orchestr {next_verb} inventories/prod.yml -l web") if next_verb else next_step == ""


def test_after_an_upgrade_other_verbs_are_about_its_target() -> None:
    """upgrade is repeated with --to; verify and run then take the new inventory."""
    again = Again("a.yml", target="b.yml")
    assert again.command("upgrade") == "orchestr upgrade a.yml --to b.yml"
    assert again.command("run") == "orchestr run b.yml"


def test_console_ends_with_table_sentence_and_next_step() -> None:
    """On a terminal the same words, then a table with a row per host, the sentence and what to type."""
    text = _console(STARTED, CHANGED, FAILED, _finished())
    assert "changed      网关一  file /etc/x (mode: 0644 → 0600)" in text
    assert "→ journalctl -u caddy" in text
    assert "1 of 2 hosts failed (b); 1 change made on 1 host." in text
    assert "orchestr run inventories/prod.yml -l web" in text


def test_console_shows_two_runs_one_after_another() -> None:
    """An upgrade is several runs: each gets its own table, and the terminal is given back after each."""
    text = _console(STARTED, _finished(0, a=HostResult(ok=1)), STARTED, _finished(0, a=HostResult(ok=1)))
    assert text.count("as the inventory says") == 2
    assert text.count("\x1b[?25h") == text.count("\x1b[?25l") == 2


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and --no-color take the colours away; without them a change is coloured."""
    assert "\x1b[33m" in _console(STARTED, CHANGED, _finished(), no_color=False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for color, variable in ((False, ""), (None, "1")):
        monkeypatch.setenv("NO_COLOR", variable)
        stream = Terminal()
        report = report_on(stream, verbosity=0, diffs=False, again=AGAIN, color=color)
        for event in (STARTED, CHANGED, _finished()):
            report(event)
        assert "\x1b[33m" not in stream.getvalue()
        assert "file /etc/x" in stream.getvalue()


def test_board_shows_who_does_what() -> None:
    """The live lines name each host at work with its task and how many are done; hosts at rest are not shown."""
    board = Board()
    for event in (
        STARTED,
        events.HostConnected("b", 0.1),
        events.TaskFinished("b", "t", "file", "/x", "ok"),
        events.TaskStarted("b", "t2", "package nginx"),
        events.HostUnreachable("网关一", "gone"),
    ):
        board.take(event)
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(board.show())
    assert "b 1 done package nginx" in captured.get()
    assert "网关一" not in captured.get()


def test_the_terminal_shows_the_task_at_hand() -> None:
    """While a task runs its name is on the terminal, though no line of it has been said for good."""
    stream = io.StringIO()
    report = ConsoleReport(console_on(stream, force_terminal=True, width=100), Wording(), AGAIN)
    report(STARTED)
    report(events.TaskStarted("b", "t", "package nginx"))
    wait_until(lambda: "package nginx" in stream.getvalue())
    report.close()
    assert "package nginx" in stream.getvalue()


def test_an_action_needs_no_diff() -> None:
    """That an action was not done and now is, its name says already."""
    event = events.TaskFinished(
        "b", "t", "command", "reload", "changed", "- done: no\n+ done: yes", title="command reload"
    )
    assert _plain(STARTED, event) == _plain(STARTED, event, diffs=True) == ["changed      b       command reload"]


def test_markup_in_texts_stays_as_it_is() -> None:
    """Square brackets in a diff or a path are text, not rich's markup."""
    event = events.TaskFinished("b", "t", "line", "[bold]x[/bold]", "changed", title="line [bold]x[/bold] :smile:")
    assert "line [bold]x[/bold] :smile:" in _console(STARTED, event, _finished())


def test_a_stream_that_breaks_does_not_stop_a_report() -> None:
    """A closed pipe under the report raises nothing into the run."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    report: Any
    for report in (
        PlainReport(Output(Broken()), Wording(), AGAIN),
        ConsoleReport(console_on(Broken(), force_terminal=True), Wording(), AGAIN),
    ):
        for event in (STARTED, CHANGED, _finished()):
            report(event)
        report.close()


def test_host_lines_wait_for_the_end_of_a_line() -> None:
    """Pieces of a line are put together; what is left without a newline comes at the end."""
    stream = io.StringIO()
    lines = HostLines(Output(stream))
    for event in (
        STARTED,
        events.TaskOutput("b", "t", "one\ntw"),
        events.TaskOutput("b", "t", "o\nthree"),
        events.TaskFinished("b", "t", "command", "x", "ok"),
    ):
        lines(event)
    assert stream.getvalue() == "b      | one\nb      | two\nb      | three\n"


def test_events_survive_being_written_and_read() -> None:
    """Every event becomes a JSON line and the same event again; unknown kinds are left out."""
    for event in (STARTED, CHANGED, FAILED, _finished()):
        stream = io.StringIO()
        JsonLines(Output(stream))(event)
        assert from_json(json.loads(stream.getvalue())) == event
    assert from_json({"event": "OfAnotherVersion"}) is None


def test_a_recorded_result_counts_like_the_run_did() -> None:
    """The result rebuilt from events has the run's name, verdicts and exit code."""
    result = recorded_result([STARTED, CHANGED, FAILED, _finished()])
    assert (result.run, result.verb, result.exit_code) == ("r1", "run", 1)
    assert (result.hosts["网关一"].changed, result.hosts["b"].failed) == (1, 1)
