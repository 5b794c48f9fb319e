"""Values that are made once, however many threads ask for them at the same time."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """One value for each key, made by the first thread that asks for it; the other threads wait for that one.

    A call of ``make`` that raises keeps nothing: the next thread that asks calls it again. ``make`` may itself ask for
    other keys.
    """

    __slots__ = ("_lock", "_values")

    def __init__(self) -> None:
        self._values: dict[Hashable, Value] = {}
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key; ``make`` is called if there is none yet."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            return self._values[key]

    def known(self, key: Hashable) -> Value | None:
        """Return the value of a key if it was made already; never waits."""
        return self._values.get(key)


def once(make: Callable[..., Value]) -> Callable[..., Value]:
    """Decorate a function whose result, for the same arguments, is made once in the life of the process."""
    values: Once[Value] = Once()

    @functools.wraps(make)
    def made(*arguments: Any) -> Value:
        return values.get(arguments, lambda: make(*arguments))

    return made
