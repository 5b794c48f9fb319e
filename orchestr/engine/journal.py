"""One directory per run, its owner's only: the run (``run.json``) and its events (``events.jsonl``)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestr import atomic_file
from orchestr.errors import InputError
from orchestr.events import Event, RunFinished, RunStarted, TaskFinished, TaskOutput, TaskStarted
from orchestr.paths import state_directory

RECORD, EVENTS = "run.json", "events.jsonl"
OK_S, OK_LINES = 0.5, 256  # how long, and how many, results that changed nothing may wait to be written
_ESSENTIAL = ("run", "verb", "inventory")  # without these a record says nothing
_OTHERS = "orchestr history lists the undamaged records"
_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once, not per event


def new_run_id() -> str:
    """Return a run's name: its start in UTC to the millisecond, so that names sort by time, and a random end."""
    now = time.time()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now * 1000) % 1000:03}{secrets.token_hex(1)}"


class Journal:
    """A consumer of events that writes them down as they come; a line is whole or absent.

    Tasks that were ok wait for the next event that says more, at most OK_S and OK_LINES: of a killed run some lack.
    A run does not stop half way because this machine's disk is full: ``on_problem`` is told, and nothing more recorded.
    Raises InputError when there is nowhere to record to.
    """

    def __init__(self, run: str, on_problem: Callable[[str], None] | None = None) -> None:
        self.directory = state_directory() / "runs" / run
        self._on_problem = on_problem
        self._known: dict[str, Any] = {}
        self._is_check = False
        self._waiting: list[str] = []
        self._written_s = 0.0
        self._lock = threading.Lock()
        try:
            self.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.directory / EVENTS, flags, 0o600)
        except OSError as error:
            step = "set ORCHESTR_STATE to a directory that can be written to"
            raise InputError(f"runs can't be recorded: {error.strerror}", file=self.directory, next_step=step) from None

    def __call__(self, event: Event) -> None:
        if isinstance(event, (TaskOutput, TaskStarted)):
            return
        try:
            self._record(event)
        except OSError as error:
            self.close()
            if self._on_problem is not None:
                self._on_problem(f"this run is not recorded any further: {error.strerror} ({self.directory})")

    def _record(self, event: Event) -> None:
        now_s = time.time()
        line = _encode({"time": round(now_s, 3), **event.to_json()}) + "\n"
        with self._lock:
            if self._descriptor < 0:
                return
            self._waiting.append(line)
            can_wait = isinstance(event, TaskFinished) and event.verdict == "ok" and len(self._waiting) < OK_LINES
            if not can_wait or now_s - self._written_s > OK_S:
                self._written_s = now_s
                self._write()
        if isinstance(event, (RunStarted, RunFinished)):
            self._summary(event)

    def _summary(self, event: RunStarted | RunFinished) -> None:
        """Write the record of the whole run; an upgrade's later parts (departing hosts, verify) add to it."""
        if isinstance(event, RunFinished):
            self._known.update(_end_record(self._known, event, self._is_check))
        elif self._known:
            self._is_check = event.verb != self._known["verb"]
            return
        else:
            self._known = {"started": round(time.time(), 3), **event.to_json()}
        atomic_file.write(self.directory / RECORD, json.dumps(self._known).encode())

    def _write(self) -> None:
        lines, self._waiting = "".join(self._waiting), []
        _write_all(self._descriptor, lines.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):  # reported already, or without a report
                    self._write()
                os.close(self._descriptor)
                self._descriptor = -1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _end_record(known: dict[str, Any], event: RunFinished, is_check: bool) -> dict[str, Any]:
    """Return the record of a run after the end of a part: of an upgrade's closing verify only its exit code."""
    hosts = known["hosts"] if isinstance(known.get("hosts"), dict) else {}
    elapsed_s = known.get("elapsed_s", 0.0)
    return {
        "event": "RunFinished",
        "exit_code": known.get("exit_code") or event.exit_code,
        "hosts": hosts if is_check else {**hosts, **event.hosts},
        "elapsed_s": elapsed_s if is_check else round(elapsed_s + event.elapsed_s, 3),
    }


def runs() -> list[dict[str, Any]]:
    """Return the recorded runs, oldest first: the fields of RunStarted and, when it ended, RunFinished.

    Damaged records are passed over. Raises InputError when the records cannot be read.
    """
    return [record for name in _names() if (record := _record_in(_directory() / name)) is not None]


def record_of(run: str) -> dict[str, Any]:
    """Return one of `runs`, named as `find_run` takes it. Raises InputError."""
    directory = find_run(run)
    record = _record_in(directory)
    if record is None:
        raise InputError("the record of this run is damaged", file=directory / RECORD, next_step=_OTHERS)
    return record


def events_of(run: str) -> Iterator[dict[str, Any]]:
    """Yield the events of a run (the beginning of its name will do; ``last`` is the newest). Raises InputError."""
    path = find_run(run) / EVENTS
    try:
        data = path.read_bytes()
    except OSError as problem:
        what = f"the record of this run is damaged: {problem.strerror}"
        raise InputError(what, file=path, next_step=_OTHERS) from None
    for line in data.split(b"\n"):  # not at the other line ends of Unicode: texts of hosts may hold them
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the line a killed controller was writing, or one that was damaged since
        if isinstance(event, dict):
            yield event


def find_run(run: str) -> Path:
    """Return the directory of a run; ``last`` is the newest that has a whole record.

    Raises InputError when there is none, or more than one begins like that.
    """
    names = _names()
    if run == "last":
        whole = (name for name in reversed(names) if _record_in(_directory() / name) is not None)
        matching = list(itertools.islice(whole, 1))
    else:
        matching = [name for name in names if name.startswith(run)]
    if len(matching) != 1:
        what = f"no run {run!r} is recorded" if not matching else f"{run!r} begins {len(matching)} runs"
        raise InputError("no run is recorded" if run == "last" else what, next_step="orchestr history lists the runs")
    return _directory() / matching[0]


def _directory() -> Path:
    return state_directory() / "runs"


def _names() -> list[str]:
    """Return the names of all runs, oldest first. Raises InputError when they can't be looked at."""
    try:
        with os.scandir(_directory()) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as problem:
        step = "set ORCHESTR_STATE to a directory of your own"
        what = f"the runs on record can't be read: {problem.strerror}"
        raise InputError(what, file=state_directory(), next_step=step) from None


def _record_in(directory: Path) -> dict[str, Any] | None:
    """Return the record of a run's directory, None when it is damaged."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _is_whole(record) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e11  # also of seconds since 1970; no NaN


def _is_whole(record: dict[str, Any]) -> bool:
    """Return True if a record has the fields of a run, each of the right type."""
    hosts = record.get("hosts", ())
    results = hosts.values() if isinstance(hosts, dict) else ()
    return (
        all(isinstance(record.get(key), str) for key in _ESSENTIAL)
        and all(_is_number(record.get(key, 0)) for key in ("started", "elapsed_s", "exit_code"))
        and isinstance(hosts, (dict, list, tuple))
        and all(isinstance(result, dict) and isinstance(result.get("changed", 0), int) for result in results)
    )
