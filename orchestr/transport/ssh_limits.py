"""How long a connection may take, how many may start at once, and how often a start is tried."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from orchestr.transport.ssh_errors import TransientError

HANDSHAKES_AT_ONCE = 10
HANDSHAKES_PER_ADDRESS = 8  # sshd starts dropping at its tenth unauthenticated connection (MaxStartups 10:30:100)
ADDRESS_PATIENCE_S = 3.0
HANDSHAKE_PATIENCE_S = 1.0
ATTEMPTS = 3

Result = TypeVar("Result")


class Deadline:
    """A moment that all steps of one connection share."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def left(self) -> float:
        """Return the seconds left, at least a little: a timeout of 0 means something else to sockets."""
        return max(0.01, self._end - time.monotonic())

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def within(self, timeout_s: float | None) -> Deadline:
        """Return a deadline that is the earlier of this one and ``timeout_s`` from now."""
        return self if timeout_s is None or timeout_s >= self.left() else Deadline(timeout_s)


_everywhere = threading.BoundedSemaphore(HANDSHAKES_AT_ONCE)
_addresses: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_addresses_lock = threading.Lock()


def _slots_of(hostname: str, port: int) -> threading.BoundedSemaphore:
    with _addresses_lock:
        return _addresses.setdefault((hostname, port), threading.BoundedSemaphore(HANDSHAKES_PER_ADDRESS))


@contextmanager
def address_slot(hostname: str, port: int) -> Iterator[None]:
    """Hold one of the few simultaneous starts that one sshd takes without dropping any."""
    with _slot(_slots_of(hostname, port), ADDRESS_PATIENCE_S):
        yield


@contextmanager
def handshake_slot() -> Iterator[None]:
    """Hold one of this process's simultaneous handshakes: they cost processor time, more at once is slower."""
    with _slot(_everywhere, HANDSHAKE_PATIENCE_S):
        yield


@contextmanager
def _slot(semaphore: threading.BoundedSemaphore, patience_s: float) -> Iterator[None]:
    """Hold a slot, or go on without when none comes free: silent machines must not keep live ones waiting."""
    is_held = semaphore.acquire(timeout=patience_s)
    try:
        yield
    finally:
        if is_held:
            semaphore.release()


def retried(attempt: Callable[[], Result], deadline: Deadline) -> Result:
    """Return what ``attempt`` returns; after a TransientError it is tried again, jittered, within the deadline.

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
