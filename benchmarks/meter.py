"""One measured command: its seconds, the CPU and memory of all it started, what the nodes spent meanwhile."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import lab

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_EVERY_S = 0.05
SETTLE_S = 0.2  # sshd ends its sessions a moment after the client left


@dataclass(frozen=True)
class Measured:
    """What a command cost. ``max_rss_mb`` is its largest process, ``peak_mb`` all of them together (when sampled)."""

    wall_s: float
    cpu_s: float
    max_rss_mb: float
    remote: lab.Spent
    output: str
    peak_mb: float | None = None


def adopt_orphans() -> None:
    """Become the parent of whatever a measured command leaves behind (ssh's kept connections), to count and end it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(command: Sequence[str], env: Mapping[str, str] | None = None, *, is_sampled: bool = False) -> Measured:
    """Run a command to its end. Raises lab.Failed with its output when it fails.

    With ``is_sampled`` its memory is looked at twenty times a second; that disturbs the clock: such a run is not timed.
    """
    own = set(_children(os.getpid()))
    before = lab.spent()
    with tempfile.TemporaryFile("w+") as printed:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=lab.ROOT, env={**_environment(), **(env or {})}, stdin=subprocess.DEVNULL, stdout=printed,
            stderr=subprocess.STDOUT,
        )
        sampler = _Sampler(process.pid) if is_sampled else None
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_mb = sampler.stop() if sampler else None
        left_cpu_s = _end_leftovers(own)
        printed.seek(0)
        output = printed.read()
    if process.returncode != 0:
        raise lab.Failed(f"{' '.join(command)[:400]}: exit {process.returncode}\n{output}")
    time.sleep(SETTLE_S)
    cpu_s = usage.ru_utime + usage.ru_stime + left_cpu_s
    return Measured(wall_s, cpu_s, usage.ru_maxrss / 1024, lab.spent().since(before), output, peak_mb)


def _environment() -> dict[str, str]:
    """Return our environment, but let python keep its compiled modules, as it does for users and the peers."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _end_leftovers(own: set[int]) -> float:
    """End the processes a command left behind; return the CPU seconds they had used."""
    cpu_s = 0.0
    for process in set(_children(os.getpid())) - own:
        os.kill(process, signal.SIGTERM)
        _, _, usage = os.wait4(process, 0)
        cpu_s += usage.ru_utime + usage.ru_stime
    return cpu_s


def _children(process: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(word) for word in path.read_text().split()]
        except OSError:
            continue  # a thread that ended
    return found


class _Sampler:
    """The largest sum of the proportional set sizes of a process and all below it, so that shared pages count once."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._peak_kb = 0
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return the peak in MB."""
        self._is_done.set()
        self._thread.join()
        return self._peak_kb / 1024

    def _look(self) -> None:
        while not self._is_done.wait(SAMPLE_EVERY_S):
            self._peak_kb = max(self._peak_kb, _tree_kb(self._process))


def _tree_kb(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return own + sum(_tree_kb(child) for child in _children(process))
