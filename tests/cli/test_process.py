"""What can only be seen from outside the process: streams, signals, faults, and what is imported."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import CANARY, Orchestr
from tests.waiting import HANG_S, wait_until

SITE = "inventories/site.yml"
LOCAL = "all:\n  vars: {ansible_connection: local}\n  hosts: {here: {}}\n"
PACKAGES = (
    *("fabric", "paramiko", "cryptography", "pydantic", "jinja2", "rich", "tenacity", "pytest", "testinfra"),
    "websockets",
)


_started: list[subprocess.Popen[str]] = []


@pytest.fixture
def local(project: Path) -> Iterator[Path]:
    """A project whose one host is this machine; its role runs one long command. Nothing outlives the test."""
    (project / SITE).write_text(LOCAL)
    (project / "roles/app/__init__.py").write_text(
        "from orchestr.resources.commands import Command\n"
        "def deploy(host, params):\n    yield Command(('sleep', '3600'))\n"
    )
    yield project
    while _started:
        process = _started.pop()
        if process.poll() is None:  # after a failure: it would hold this machine's lock
            process.kill()
            process.wait()


def _start(project: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "orchestr", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    _started.append(process)
    return process


def test_programs_that_tests_start_heed_signals() -> None:
    """Also where pytest is a job in the background, or runs under nohup."""
    shown = subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    ignored = int(shown.split()[1], 16)
    assert [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if ignored >> (number - 1) & 1] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_end_a_run_with_its_report(local: Path, number: signal.Signals) -> None:
    """Ctrl-C, a kill and a closed terminal in the middle of a task exit with 130, and the JSON object is whole."""
    events = local / "events"
    running = _start(local, "run", SITE, "--json", "--events", str(events))
    wait_until(lambda: events.exists() and "TaskStarted" in events.read_text(), "the task did not start")
    running.send_signal(number)
    out, _ = running.communicate(timeout=HANG_S)
    assert running.returncode == 130
    assert json.loads(out)["exit"] == 130


def test_a_reader_that_leaves_is_no_error(local: Path, process: Orchestr) -> None:
    """``orchestr doc | head`` ends silently when head has seen enough."""
    running = _start(local, "doc")
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(HANG_S) == 0


def test_a_run_goes_on_without_its_reader(local: Path) -> None:
    """When the reader of a run's lines is gone, the run still ends and is on record."""
    (local / "roles/app/__init__.py").write_text(
        "from orchestr.resources.commands import Command\n"
        "def deploy(host, params):\n    yield Command(('true',))\n    yield Command(('echo', 'end'))\n"
    )
    running = _start(local, "run", SITE, "-v")
    assert running.stdout is not None
    running.stdout.close()
    running.communicate(timeout=HANG_S)
    (record,) = (local / "state/runs").glob("*/run.json")
    assert json.loads(record.read_text())["hosts"]["here"]["changed"] == 2


def test_a_fault_is_one_line_and_a_private_report(project: Path, process: Orchestr) -> None:
    """A fault in orchestr shows no traceback: it is in a 0600 file, with every secret hidden, and the exit is 1."""
    (project / "sitecustomize.py").write_text(
        "import orchestr.inventory.load as load\n"
        "from orchestr.secret import Secret\n"
        f"kept = Secret('{CANARY}')\n"
        f"def broken(*args, **options):\n    raise ZeroDivisionError('with {CANARY} in it')\n"
        "load.load_inventory = broken\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{project}:{Path(__file__).parents[2]}"}
    command = [sys.executable, "-m", "orchestr", "run", SITE, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANG_S)
    (report,) = (project / "state/faults").glob("*.txt")
    assert done.returncode == 1
    assert json.loads(done.stdout)["exit"] == 1
    assert done.stderr == f"error: this is a fault in orchestr: ZeroDivisionError; the full report is in {report}\n"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "ZeroDivisionError: with ‹secret› in it" in report.read_text()


def test_streams_are_pure(project: Path, process: Orchestr) -> None:
    """The object of --json is alone on stdout, an error's message alone on stderr, whatever the locale."""
    (project / SITE).write_text(LOCAL)
    (project / "roles/app/__init__.py").write_text("def deploy(host, params):\n    yield from ()\n")
    done = process("run", SITE, "--json")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    wrong = process("run", "inventories/网.yml")
    assert (wrong.code, wrong.out) == (2, "")
    assert "inventories/网.yml: no such inventory file" in wrong.err


@pytest.mark.parametrize("words", [["run", SITE, "--json"], ["inventory", SITE, "--json"], ["run", "none", "--json"]])
def test_a_full_disk_under_stdout_is_said(project: Path, words: list[str]) -> None:
    """What cannot be written to stdout is one line on stderr and exit 1, not a traceback and not a success."""
    (project / SITE).write_text(LOCAL)
    (project / "roles/app/__init__.py").write_text("def deploy(host, params):\n    yield from ()\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "orchestr", *words], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert done.returncode == 1
    assert done.stderr.endswith("error: the result could not be written to stdout: No space left on device\n")
    assert "Traceback" not in done.stderr
    assert ("no such inventory file" in done.stderr) is ("none" in words)


def test_a_full_disk_under_the_events_is_a_warning(project: Path, process: Orchestr) -> None:
    """The run and its object are what they would be; that the file of events is not whole is said."""
    (project / SITE).write_text(LOCAL)
    (project / "roles/app/__init__.py").write_text("def deploy(host, params):\n    yield from ()\n")
    done = process("run", SITE, "--json", "--events", "/dev/full")
    assert (done.code, json.loads(done.out)["exit"]) == (0, 0)
    assert done.err.startswith("warning: --events: /dev/full is not whole")


def test_version_and_help(process: Orchestr) -> None:
    """-V gives the version, -h the verbs with the exit codes, no verb at all the help and 2."""
    from orchestr import __version__

    assert process("-V").out == f"orchestr {__version__}\n"
    assert "Exit codes" in process("-h").out
    assert process().code == 2


@pytest.mark.parametrize(
    ("words", "needless"),
    [
        (["--help"], (*PACKAGES, "yaml", "subprocess", "orchestr.inventory", "orchestr.engine")),
        (["run", "--help"], (*PACKAGES, "yaml", "subprocess", "orchestr.inventory", "orchestr.engine")),
        (["history"], (*PACKAGES, "yaml", "orchestr.inventory", "orchestr.engine.run")),
        (["inventory", SITE], (*PACKAGES, "orchestr.engine", "orchestr.planning.role")),
        (["plan", SITE], tuple(name for name in PACKAGES if name != "pydantic")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_verb_imports_only_what_it_needs(project: Path, words: list[str], needless: tuple[str, ...]) -> None:
    """Packages a verb has no use for are not imported: what is not loaded costs no time."""
    (project / SITE).write_text(LOCAL)
    (project / "roles/app/__init__.py").write_text("def deploy(host, params):\n    yield from ()\n")
    program = (
        "import sys\nfrom orchestr.cli.main import main\n"
        f"main({words!r})\nprint(*[name for name in {needless!r} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANG_S)
    assert done.stderr.strip() == ""
