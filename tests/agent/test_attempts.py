"""The one way to wait on a host for a condition."""

from __future__ import annotations

from orchestr.transport.memory import MemorySystem


def test_attempts_come_at_once_at_each_interval_and_at_the_end() -> None:
    """The first is not delayed, the last is no later than the time-out."""
    system = MemorySystem()
    began = system.monotonic()
    assert [(n, round(system.monotonic() - began, 3)) for n in system.attempts(1.0, 0.4)] == [
        (0, 0.0), (1, 0.4), (2, 0.8), (3, 1.0),
    ]  # fmt: skip


def test_a_tasks_own_time_ends_the_attempts() -> None:
    """Waiting never goes on after the task's deadline, however long it was to wait."""
    system = MemorySystem()
    system.deadline = system.monotonic() + 1.0
    for _ in system.attempts(float("inf"), 0.3):
        pass
    assert system.monotonic() == system.deadline


def test_nothing_to_wait_for_is_one_attempt() -> None:
    """A time-out of 0 still looks once."""
    assert list(MemorySystem().attempts(0, 1.0)) == [0]
