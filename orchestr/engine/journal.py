"""One directory per run, its owner's only: what was run (``run.json``), what happened (``events.jsonl``)."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestr.errors import InputError
from orchestr.events import Event, RunFinished, RunStarted, TaskOutput, TaskStarted

_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once, not per event


def state_directory() -> Path:
    """Return where runs are recorded: ``$ORCHESTR_STATE``, else ``$XDG_STATE_HOME/orchestr``, else ~/.local/state."""
    given = os.environ.get("ORCHESTR_STATE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "orchestr"


def new_run_id() -> str:
    """Return a run's name: its start in UTC to the millisecond, so that names sort by time, and a random end."""
    now = time.time()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now * 1000) % 1000:03}{secrets.token_hex(1)}"


class Journal:
    """A consumer of events that writes them down as they come; a line is whole or absent.

    A run does not stop half way because this machine's disk is full: ``on_problem`` is told, and nothing more recorded.
    Raises InputError when there is nowhere to record to.
    """

    def __init__(self, run: str, on_problem: Callable[[str], None] | None = None) -> None:
        self.directory = state_directory() / "runs" / run
        self._on_problem = on_problem
        self._lock = threading.Lock()
        try:
            self.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.directory / "events.jsonl", flags, 0o600)
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
        line = _encode({"time": round(time.time(), 3), **event.to_json()}) + "\n"
        with self._lock:
            if self._descriptor < 0:
                return
            _write_all(self._descriptor, line.encode("utf-8", "backslashreplace"))
        if isinstance(event, (RunStarted, RunFinished)):
            self._summary(event)

    def _summary(self, event: RunStarted | RunFinished) -> None:
        path = self.directory / "run.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"started": round(time.time(), 3)}
        known.update(event.to_json())
        temporary = self.directory / f".{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(known, stream)
        temporary.rename(path)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def runs() -> list[dict[str, Any]]:
    """Return the recorded runs, oldest first: the fields of RunStarted and, when it ended, RunFinished."""
    found = []
    for path in sorted((state_directory() / "runs").glob("*/run.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and isinstance(record.get("run"), str):
            found.append(record)
    return found


def events_of(run: str) -> Iterator[dict[str, Any]]:
    """Yield what happened in a run (the beginning of its name will do; ``last`` is the newest). Raises InputError."""
    directory = find_run(run)
    for line in (directory / "events.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # the line a killed controller was writing


def find_run(run: str) -> Path:
    """Return the directory of a run. Raises InputError when there is none, or more than one begins like that."""
    names = sorted(path.name for path in (state_directory() / "runs").glob("*/"))
    matching = names[-1:] if run == "last" else [name for name in names if name.startswith(run)]
    if len(matching) != 1:
        what = f"no run {run!r} is recorded" if not matching else f"{run!r} begins {len(matching)} runs"
        raise InputError(what, next_step="orchestr history lists the runs")
    return state_directory() / "runs" / matching[0]
