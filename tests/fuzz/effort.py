"""How hard the fuzzers try, and the limits that they hold a reader to.

By default each test tries a few examples, the same in every run. ``make fuzz`` sets ``ORCHESTR_FUZZ``, a factor: as
many times more examples, other ones in every run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FACTOR = int(os.environ.get("ORCHESTR_FUZZ", "0"))
#: Processor seconds that no reader needs for inputs of a few kilobytes, on the slowest machine: only a hang gets there.
HANG_S = 30.0
#: Bytes that a reader may hold at once for such an input.
MOST_BYTES = 64 * 1024 * 1024


def fuzz(*strategies: st.SearchStrategy[Any], examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test that gets a value of each strategy; ``examples`` is how many it tries by default."""
    limits = settings(
        max_examples=examples * max(FACTOR, 1),
        derandomize=not FACTOR,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return limits(given(*strategies)(test))

    return decorate


def read_within_limits(read: Callable[[], Any], *errors: type[Exception]) -> Any:
    """Return the reader's value, None for one of its documented errors. Any other error, a hang or a flood fails."""
    with _time_limit(), _memory_limit():
        try:
            return read()
        except errors:
            return None


class _Hang(BaseException):
    """Not an Exception: a reader that catches those must not catch this."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise _Hang

    former = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)  # the process's own time: others on the machine do not count
    try:
        yield
    except _Hang as hang:
        raise AssertionError(f"not read within {HANG_S:g} s of processor time") from hang
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < MOST_BYTES, f"{peak_bytes} bytes held at once"


def altered(seeds: list[str], words: list[str]) -> st.SearchStrategy[str]:
    """Return texts made from ``seeds`` by a few cuts, repetitions and insertions of ``words`` or any characters."""
    inserted = st.sampled_from(words) | st.text(max_size=4) | st.sampled_from(ODD_CHARACTERS)
    edit = st.tuples(st.integers(0, 10_000), st.integers(0, 12), inserted, st.integers(1, 3))
    return st.builds(_alter, st.sampled_from(seeds), st.lists(edit, max_size=6))


#: Characters on which readers disagree: line ends, blanks, control characters, invisible ones, a lone surrogate.
ODD_CHARACTERS = ["\0", "\r", "\n", "\t", "\x0b", "\x1b", "\x85", "\u2028", "\u00a0", "\u202e", "\ufeff", "\ud800"]


def _alter(seed: str, edits: list[tuple[int, int, str, int]]) -> str:
    for place, cut, word, times in edits:
        start = place % (len(seed) + 1)
        seed = seed[:start] + word * times + seed[start + cut :]
    return seed


def to_bytes(text: str) -> bytes:
    """Return the text as the bytes of a file, lone surrogates included: a file may hold any bytes."""
    return text.encode("utf-8", "surrogatepass")


def write(path: Path, text: str) -> Path:
    path.write_bytes(to_bytes(text))
    return path
