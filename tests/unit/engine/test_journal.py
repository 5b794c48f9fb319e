"""What a run leaves on record, and when it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestr.engine import journal
from orchestr.engine.journal import Journal, events_of
from orchestr.events import PlayFinished, TaskFinished


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """The pieces that reached the disk, each by one write."""
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path))
    pieces: list[bytes] = []
    write_all = journal._write_all

    def noting(descriptor: int, data: bytes) -> None:
        pieces.append(data)
        write_all(descriptor, data)

    monkeypatch.setattr(journal, "_write_all", noting)
    return pieces


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the journal takes for the time, in its only item."""
    now_s = [1000.0]
    monkeypatch.setattr("orchestr.engine.journal.time.time", lambda: now_s[0])
    return now_s


def finished(task: str, verdict: str = "ok") -> TaskFinished:
    return TaskFinished("a", task, "file", f"/{task}", verdict)


def tasks_on_record(run: str) -> list[str]:
    return [event["task"] for event in events_of(run) if event["event"] == "TaskFinished"]


def test_a_change_is_on_record_at_once_and_in_its_place(written: list[bytes], clock: list[float]) -> None:
    """What changed a host is written before anything else happens; what found nothing to do goes with it."""
    record = Journal("r1")
    record(finished("0"))
    before = len(written)
    for number in range(1, 5):
        record(finished(str(number)))
    assert len(written) == before
    record(finished("5", "changed"))
    assert len(written) == before + 1
    assert tasks_on_record("r1") == list("012345")
    record.close()


@pytest.mark.parametrize("verdict", ["changed", "failed", "skipped", "unknown"])
def test_only_ok_waits(written: list[bytes], clock: list[float], verdict: str) -> None:
    """Any other verdict is written as it comes."""
    record = Journal("r1")
    for number in range(3):
        record(finished(str(number), verdict))
        assert tasks_on_record("r1") == [str(each) for each in range(number + 1)]
    record.close()


def test_nothing_is_missing_at_the_end(written: list[bytes], clock: list[float]) -> None:
    """An event that says more, or the end, brings all that waited."""
    record = Journal("r1")
    for number in range(3):
        record(finished(str(number)))
    record(PlayFinished("play", ()))
    assert tasks_on_record("r1") == list("012")
    record(finished("3"))
    record.close()
    assert tasks_on_record("r1") == list("0123")


def test_a_long_run_of_ok_is_written_meanwhile(written: list[bytes], clock: list[float]) -> None:
    """They wait for half a second, or for a few hundred of them, whichever is first."""
    record = Journal("r1")
    record(finished("0"))
    clock[0] += 0.2
    record(finished("1"))
    assert tasks_on_record("r1") == ["0"]
    clock[0] += 0.4
    record(finished("2"))
    assert tasks_on_record("r1") == ["0", "1", "2"]
    for number in range(3, 1000):
        record(finished(str(number)))
    assert len(tasks_on_record("r1")) > 500
    record.close()
