"""run, plan, history and show, on hosts in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestr.cli.invocation import Invocation
from orchestr.events import Event
from orchestr.results import RunResult
from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import CANARY, Orchestr

SITE = "inventories/site.yml"


def test_plan_run_plan(orchestr: Orchestr) -> None:
    """plan finds changes (3), run makes them (0), run again changes nothing, plan then has nothing to do (0)."""
    first = orchestr("plan", SITE)
    assert first.code == 3
    assert "+ hello" in first.out
    assert f"→ orchestr run {SITE}" in first.out
    done = orchestr("run", SITE)
    assert done.code == 0
    assert "6 changes made on 3 hosts" in done.out
    again = orchestr("run", SITE)
    assert again.code == 0
    assert "all 3 hosts are as the inventory says" in again.out
    assert orchestr("plan", SITE).code == 0


def test_run_check_is_plan_under_its_own_name(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """run --check exits with 3 and writes nothing, and the result says that it was run."""
    outcome = orchestr("run", SITE, "--check", "--json")
    assert (outcome.code, json.loads(outcome.out)["verb"]) == (3, "run")
    assert [host.writes for host in hosts.values()] == [0, 0, 0]


def test_run_says_a_line_per_change_and_diff_says_all(orchestr: Orchestr) -> None:
    """Without --diff a change is one line; with it the content is shown."""
    orchestr("run", SITE)
    change = ("-e", "app_word=bye", "-l", "web1")
    assert "+ bye" not in orchestr("run", SITE, *change, "-C").out
    assert "+ bye" in orchestr("run", SITE, *change, "-C", "--diff").out


def test_unchanged_hosts_are_said_to_be_unchanged(orchestr: Orchestr) -> None:
    """A host with no change is listed as unchanged beside one that changed."""
    orchestr("run", SITE, "-l", "web1")
    rows = [line.split() for line in orchestr("run", SITE, "-l", "web").out.splitlines() if line.startswith("host ")]
    assert [row[1:3] for row in rows] == [["web1", "unchanged"], ["web2", "changed"]]


def test_json_is_one_object(orchestr: Orchestr) -> None:
    """--json prints exactly the documented object on stdout, and nothing on stderr."""
    outcome = orchestr("run", SITE, "--json")
    found = json.loads(outcome.out)
    assert outcome.out.count("\n") == 1
    assert outcome.err == ""
    assert set(found) == {"version", "run", "verb", "exit", "hosts", "elapsed_s"}
    assert set(found["hosts"]) == {"web1", "web2", "db1"}
    web1 = found["hosts"]["web1"]
    assert (web1["changed"], web1["unreachable"], web1["errors"]) == (2, False, [])
    assert web1["changes"][1]["task"] == "app/file:/opt/app/word"


def test_limit_tags_and_forks(orchestr: Orchestr) -> None:
    """--limit takes Ansible's patterns; what --skip-tags names is left out."""
    found = json.loads(orchestr("run", SITE, "-l", "all:!db", "-f", "1", "--json").out)
    assert set(found["hosts"]) == {"web1", "web2"}


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("--tags", "ap"), "--tags ap: no task has this tag", "app"),
        (("--tags", "app,wordd"), "--tags wordd: no task has this tag", "known: always, app"),
        (("--skip-tags", "appp"), "--skip-tags appp: no task has this tag", "app"),
        (("--skip-tags", "app"), "--skip-tags app: no task is selected", "tags of the tasks: always, app"),
        (("--tags", "app", "--skip-tags", "app"), "--tags app --skip-tags app: no task is selected", "always, app"),
    ],
)
def test_a_tag_that_selects_nothing_is_an_error(
    orchestr: Orchestr, words: tuple[str, ...], says: str, hint: str
) -> None:
    """It is known when all hosts are planned: one message, the closest tag, exit 2."""
    outcome = orchestr("plan", SITE, *words)
    assert outcome.code == 2
    assert (outcome.err.count("error: "), says in outcome.err, hint in outcome.err) == (1, True, True), outcome.err
    assert "Nothing to change" not in outcome.out
    found = json.loads(orchestr("plan", SITE, "--json", *words).out)
    assert (found["exit"], says in found["error"]["message"]) == (2, True)


def test_a_tag_may_be_of_hosts_elsewhere_when_it_is_skipped(orchestr: Orchestr, project: Path) -> None:
    """--skip-tags may name a tag of the playbook that these hosts have no task of; --tags may not."""
    (project / "playbooks/site.yml").write_text(
        "- {name: a, hosts: web, roles: [app]}\n- {name: b, hosts: db, tags: [data], roles: [app]}\n"
    )
    assert orchestr("plan", SITE, "--limit", "web", "--skip-tags", "data").code == 3
    outcome = orchestr("plan", SITE, "--limit", "web", "--tags", "data")
    assert (outcome.code, "no task of these hosts has this tag" in outcome.err) == (2, True)


def test_a_tag_is_not_judged_while_a_host_is_unplanned(orchestr: Orchestr, hosts: dict[str, MemoryHost]) -> None:
    """A host that was not reached could have had the task."""
    del hosts["10.0.0.2"]
    assert orchestr("plan", SITE, "--tags", "elsewhere").code == 4


def test_unreachable_hosts(orchestr: Orchestr, hosts: dict[str, MemoryHost]) -> None:
    """A host that does not answer gives 4, the others are done, and the report says what to type next."""
    del hosts["10.0.0.2"]
    outcome = orchestr("run", SITE)
    assert outcome.code == 4
    assert "unreachable  web2" in outcome.out
    assert "4 changes made on 2 hosts" in outcome.out
    assert f"orchestr run {SITE}" in outcome.out.splitlines()[-1]


def test_total_failure_still_reports(orchestr: Orchestr, hosts: dict[str, MemoryHost]) -> None:
    """When no host answers, the table and the JSON object are still given."""
    hosts.clear()
    assert orchestr("run", SITE).out.count("unreachable  ok=0") == 3
    outcome = orchestr("run", SITE, "--json")
    found = json.loads(outcome.out)
    assert (outcome.code, found["exit"]) == (4, 4)
    assert [host["unreachable"] for host in found["hosts"].values()] == [True, True, True]


def test_a_failing_task(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """A failure shows host, task and message, exits with 1 and names the command to go on with."""
    hosts["10.0.0.1"].add_file("/opt/app", "in the way")
    outcome = orchestr("run", SITE)
    assert outcome.code == 1
    assert "failed       web1  directory /opt/app" in outcome.out
    assert "1 of 3 hosts failed (web1)" in outcome.out


def test_a_locked_host(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """A host that another run holds gives 5 and says who holds it; nothing is changed."""
    hosts["10.0.0.3"].holder = {"who": "ada@desk", "run": "r1", "since": "now"}
    outcome = orchestr("run", SITE)
    assert outcome.code == 5
    assert "locked       db1   another run holds this host: ada@desk" in outcome.out
    assert "Nothing was done" in outcome.out
    assert hosts["10.0.0.1"].writes == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_still_reports(orchestr: Orchestr, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    """An interrupt in the middle of a run exits with 130 and still gives the report."""
    from orchestr.engine.fleet import Fleet

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Fleet, "each", interrupted)
    outcome = orchestr("run", SITE, *(["--json"] if as_json else []))
    assert outcome.code == 130
    if as_json:
        assert json.loads(outcome.out)["exit"] == 130
    else:
        assert "Interrupted" in outcome.out


def test_no_secret_at_any_verbosity(orchestr: Orchestr, project: Path) -> None:
    """A secret is in no output at -vvv, in no event and in no file of the journal."""
    events = project / "events.jsonl"
    words = (SITE, "-e", f"app_token={CANARY}", "-vvv", "--diff", "--events", str(events))
    for verb in ("plan", "run"):
        outcome = orchestr(verb, *[word for word in words if verb == "run" or word != "--diff"])
        assert "/opt/app/token" in outcome.out
        assert CANARY not in outcome.out + outcome.err
    assert CANARY not in events.read_text()
    written = [path for path in (project / "state").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if CANARY in path.read_text()]


def test_verbosity(orchestr: Orchestr) -> None:
    """-v adds tasks that are ok, -vv how long they took, -vvv the events themselves."""
    orchestr("run", SITE)
    quiet, tasks, timings, everything = (orchestr("run", SITE, *flag).out for flag in ((), ["-v"], ["-vv"], ["-vvv"]))
    assert "/opt/app/word" not in quiet
    assert "ok           web1  file /opt/app/word\n" in tasks
    assert "ok           web1  file /opt/app/word [0.0" in timings
    assert '"event": "TaskFinished"' in everything


def test_events_are_json_lines(orchestr: Orchestr) -> None:
    """--events - gives one JSON object per line, the first RunStarted, the last RunFinished."""
    names = [json.loads(line)["event"] for line in orchestr("run", SITE, "--events", "-").out.splitlines()]
    assert (names[0], names[-1]) == ("RunStarted", "RunFinished")
    assert names.count("TaskFinished") == 6
    assert orchestr("run", SITE, "--events", "-", "--json").code == 2


def test_history_and_show(orchestr: Orchestr) -> None:
    """A run can be listed and shown again by the beginning of its name, as text and as the same JSON."""
    done = json.loads(orchestr("run", SITE, "--json").out)
    listed = json.loads(orchestr("history", "--json").out)["runs"]
    assert [(each["run"], each["exit"], each["changed"]) for each in listed] == [(done["run"], 0, 6)]
    assert done["run"] in orchestr("history").out
    shown = orchestr("show", done["run"][:-2], "--json")
    assert json.loads(shown.out) == done
    assert "+ hello" in orchestr("show", "last").out
    assert orchestr("show", "nothing").code == 2


def test_show_repeats_the_options_that_narrowed_a_run(orchestr: Orchestr) -> None:
    """It claims no more than the run looked at, and the next command is for the same part."""
    orchestr("run", SITE)
    orchestr("run", SITE, "-l", "web1", "--tags", "app")
    assert "Nothing to change: in what the tags select, the host is as" in orchestr("show", "last").out
    orchestr("plan", SITE, "-e", "app_word=new", "-l", "web1", "-t", "app")
    assert f"orchestr run {SITE} -l web1 -t app -e …" in orchestr("show", "last").out


def test_show_of_a_killed_run(orchestr: Orchestr, project: Path) -> None:
    """A run without an end is shown as far as it came, as one that did not end."""
    orchestr("run", SITE)
    (journal,) = (project / "state" / "runs").glob("*/events.jsonl")
    lines = journal.read_text().splitlines()[:-1]
    journal.write_text("\n".join([*lines, '{"event": "TaskFin']))
    assert "did not end" in orchestr("show", "last").out
    assert json.loads(orchestr("show", "last", "--json").out)["exit"] == 130


def test_the_terminal_is_given_back_after_a_fault() -> None:
    """A report is closed also when the work under it raises."""
    closed = []

    class Report:
        def __call__(self, event: Event) -> None: ...

        def close(self) -> None:
            closed.append(True)

    def work(on_event: object) -> RunResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Invocation().perform(work, report=Report())
    assert closed == [True]


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", None], ids=["empty", "half", "list", "nothing", "missing"])
def test_a_damaged_record_is_passed_over(orchestr: Orchestr, project: Path, damage: str | None) -> None:
    """A run.json that is not whole hides no other run, and is said to be damaged when it is asked for."""
    first = json.loads(orchestr("run", SITE, "--json").out)["run"]
    second = json.loads(orchestr("run", SITE, "--json").out)["run"]
    record = project / "state/runs" / second / "run.json"
    record.unlink() if damage is None else record.write_text(damage)
    assert [each["run"] for each in json.loads(orchestr("history", "--json").out)["runs"]] == [first]
    assert json.loads(orchestr("show", "last", "--json").out)["run"] == first
    refused = orchestr("rollback", second)
    assert refused.code == 2
    assert "the record of this run is damaged" in refused.err
    assert "→ orchestr history" in refused.err


def test_events_that_are_gone(orchestr: Orchestr, project: Path) -> None:
    """A record without its events is bad input, not a fault."""
    orchestr("run", SITE)
    (journal,) = (project / "state/runs").glob("*/events.jsonl")
    journal.unlink()
    shown = orchestr("show", "last")
    assert shown.code == 2
    assert "events.jsonl: the record of this run is damaged" in shown.err


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize("words", [("history",), ("show", "last"), ("rollback", "last")])
def test_a_state_directory_that_is_none(
    orchestr: Orchestr, project: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: tuple[str, ...]
) -> None:
    """ORCHESTR_STATE that is a file does not read as "no run yet"."""
    (project / "file").write_text("x")
    monkeypatch.setenv("ORCHESTR_STATE", str(project / place))
    outcome = orchestr(*words)
    assert outcome.code == 2
    assert "can't be read: Not a directory" in outcome.err
    assert "set ORCHESTR_STATE" in outcome.err
