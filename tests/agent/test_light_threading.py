"""Threads and events of a host: the same as the real ones in what the agent uses of them."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import pytest

from orchestr.agent import light_threading


@pytest.fixture(params=[light_threading, threading], ids=["light", "real"])
def threads(request: pytest.FixtureRequest) -> Any:
    """What stands in, and the real one: both pass all of this."""
    found: ModuleType = request.param
    return found


def test_all_that_wait_are_woken(threads: Any) -> None:
    """Any number of threads wait for one event, and go on when it is set; who comes later does not wait."""
    event, woken = threads.Event(), threading.Semaphore(0)

    def wait() -> None:
        assert event.wait(30)
        woken.release()

    for _ in range(5):
        threads.Thread(target=wait, daemon=True).start()
    assert not woken.acquire(timeout=0.05)
    event.set()
    assert all(woken.acquire(timeout=30) for _ in range(5))
    assert event.is_set() and event.wait() and event.wait(0)


def test_a_wait_ends_in_time(threads: Any) -> None:
    """Without the event it says False, also for no time at all or less; the event is as good as new after that."""
    event = threads.Event()
    assert [event.wait(seconds) for seconds in (0.01, 0, -1)] == [False] * 3
    event.set()
    assert event.wait(0.01)
    event.clear()
    assert not event.is_set() and not event.wait(0.01)


def test_an_event_is_set_again(threads: Any) -> None:
    """Set, cleared and set again, each time it wakes who waits."""
    event, seen = threads.Event(), threading.Semaphore(0)

    def wait_thrice() -> None:
        for _ in range(3):
            event.wait()
            event.clear()
            seen.release()

    threads.Thread(target=wait_thrice, daemon=True).start()
    for _ in range(3):
        event.set()
        assert seen.acquire(timeout=30)


def test_none_is_missed_when_time_runs_out(threads: Any) -> None:
    """An event set while waits end by themselves is seen by the next of them at the latest."""
    event, seen = threads.Event(), threading.Semaphore(0)

    def poll() -> None:
        while not event.wait(0.0001):
            pass
        seen.release()

    for _ in range(4):
        threads.Thread(target=poll, daemon=True).start()
    event.set()
    assert all(seen.acquire(timeout=30) for _ in range(4))


def test_a_thread_knows_which_it_is(threads: Any) -> None:
    """Each has a number of its own, and gets what it is given."""
    found: list[tuple[str, int]] = []
    done = threading.Event()

    def note(name: str) -> None:
        found.append((name, threads.get_ident()))
        done.set()

    threads.Thread(target=note, args=("one",), daemon=True).start()
    assert done.wait(30)
    assert found[0][0] == "one" and found[0][1] != threads.get_ident()


def test_a_thread_that_is_waited_for_is_refused() -> None:
    """Nothing here would wait for it."""
    with pytest.raises(ValueError, match="real threading"):
        light_threading.Thread(target=print)
