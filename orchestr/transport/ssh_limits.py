"""The limits of connecting: time, simultaneous starts, and attempts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from orchestr.transport.ssh_errors import TransientError

HANDSHAKES_AT_ONCE = 10
HANDSHAKES_PER_ADDRESS = 8  # sshd starts dropping at its tenth unauthenticated connection (MaxStartups 10:30:100)
ADDRESS_PATIENCE_S = 3.0
HANDSHAKE_PATIENCE_S = 1.0
ATTEMPTS = 3

Result = TypeVar("Result")


class Deadline:
    """A point in time that all steps of one connection share."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def left(self) -> float:
        """Return the seconds left, at least a little: a timeout of 0 means something else to sockets."""
        return max(0.01, self._end - time.monotonic())

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def later(self, waited_s: float) -> Deadline:
        """Return a deadline that much later: waiting in our own queue is not the machine's fault."""
        later = Deadline(self.timeout_s)
        later._end = self._end + waited_s
        return later

    def within(self, timeout_s: float | None) -> Deadline:
        """Return a deadline that is the earlier of this one and ``timeout_s`` from now."""
        return self if timeout_s is None or timeout_s >= self.left() else Deadline(timeout_s)


class Slots:
    """A limit of simultaneous starts that gives way: silent machines must not keep live ones waiting.

    A waiting thread goes on without a slot when none was released for ``patience_s``. While others are released, it
    is only the queue that is long, and sshd would drop one more start at a time.
    """

    def __init__(self, count: int, patience_s: float) -> None:
        self._free = count
        self._patience_s = patience_s
        self._moved = threading.Condition()
        self._last_move = 0.0

    def acquire(self) -> bool:
        """Wait for a slot; return False after the patience."""
        began = time.monotonic()
        with self._moved:
            while self._free == 0:
                left = max(began, self._last_move) + self._patience_s - time.monotonic()
                if left <= 0:
                    return False
                self._moved.wait(left)
            self._free -= 1
            return True

    def release(self) -> None:
        """Release a slot."""
        with self._moved:
            self._free += 1
            self._last_move = time.monotonic()
            self._moved.notify()

    @contextmanager
    def held(self) -> Iterator[float]:
        """Hold a slot, or go on without one; yield the seconds waited."""
        began = time.monotonic()
        is_held = self.acquire()
        try:
            yield time.monotonic() - began
        finally:
            if is_held:
                self.release()


_everywhere = Slots(HANDSHAKES_AT_ONCE, HANDSHAKE_PATIENCE_S)
_addresses: dict[tuple[str, int], Slots] = {}
_addresses_lock = threading.Lock()


def address_slot(hostname: str, port: int) -> AbstractContextManager[float]:
    """Hold one of the few simultaneous starts that one sshd takes without dropping any."""
    with _addresses_lock:
        slots = _addresses.setdefault((hostname, port), Slots(HANDSHAKES_PER_ADDRESS, ADDRESS_PATIENCE_S))
    return slots.held()


def handshake_slot() -> AbstractContextManager[float]:
    """Hold one of this process's simultaneous handshakes: they cost processor time, more at once is slower."""
    return _everywhere.held()


def retried(attempt: Callable[[], Result], deadline: Deadline) -> Result:
    """Return the result of ``attempt``; after a TransientError try again, jittered, within the deadline.

    tenacity is imported when a second attempt is needed: most runs need none, and it costs 10 ms.
    """
    try:
        return attempt()
    except TransientError as error:
        return _retried(attempt, error, deadline)


def _retried(attempt: Callable[[], Result], failure: TransientError, deadline: Deadline) -> Result:
    from tenacity import (
        Retrying,
        retry_if_exception_type,
        stop_after_attempt,
        stop_after_delay,
        wait_random_exponential,
    )

    starts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(deadline.left()),
        wait=wait_random_exponential(multiplier=0.25, max=2.0),
        reraise=True,
    )
    failures = [failure]

    def next_attempt() -> Result:
        if failures:
            raise failures.pop()  # the attempt that was made already counts as the first
        return attempt()

    return starts(next_attempt)
