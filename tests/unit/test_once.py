"""A value is made once, however many threads ask for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestr.once import Once, once


def test_threads_that_ask_at_the_same_time_get_one_value() -> None:
    """The second thread waits for the first one's value instead of making another."""
    values: Once[object] = Once()
    is_making, may_end = threading.Event(), threading.Event()
    calls: list[str] = []

    def make() -> object:
        calls.append(threading.current_thread().name)
        is_making.set()
        assert may_end.wait(60)
        return object()

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(values.get, "key", make)
        assert is_making.wait(60)
        others = [pool.submit(values.get, "key", make) for _ in range(7)]
        assert values.known("key") is None  # asking for what is known never waits
        may_end.set()
        assert {future.result(60) for future in others} == {first.result(60)}
    assert len(calls) == 1


def test_a_failure_is_not_kept() -> None:
    """The next one that asks tries again, and other keys are untouched by it."""
    values: Once[int] = Once()
    with pytest.raises(ZeroDivisionError):
        values.get("key", lambda: 1 // 0)
    assert values.get("other", lambda: values.get("key", lambda: 1) + 1) == 2
    assert values.get("key", lambda: 3) == 1


def test_a_function_is_called_once_for_the_same_arguments() -> None:
    """Other arguments are another call."""
    calls: list[int] = []

    @once
    def double(number: int) -> int:
        """Return twice the number."""
        calls.append(number)
        return 2 * number

    assert [double(1), double(1), double(2)] == [2, 2, 4] and calls == [1, 2]
    assert double.__doc__ == "Return twice the number."
