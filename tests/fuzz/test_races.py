"""A user who exchanges files and directories for links at any time, while root applies a resource, gains nothing.

A process of the user's own does nothing but exchange each path of the resource for a link to root's, in one system call
(renameat2(2)), so that there is always something. It is stopped while the host is made and looked at. By default each
resource is applied a few times; ``make fuzz`` has it applied many more.
"""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.fuzz.effort import FACTOR
from tests.property.adversary import (
    HOME,
    KINDS,
    MALLORY,
    Host,
    assert_nothing_gained,
    base,
    needs_root,
    places,
    run,
    trials,
)
from tests.waiting import wait_until

pytestmark = needs_root

__all__ = ["base"]
TIMES = 3 * max(min(FACTOR, 100), 1)  # that each resource is applied
RACER = """
import ctypes, mmap, os, sys
counter, uid, paths = sys.argv[1], int(sys.argv[2]), [os.fsencode(path) for path in sys.argv[3:]]
with open(counter, "r+b") as file:
    count = mmap.mmap(file.fileno(), 8)
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
exchange, number = ctypes.CDLL(None).renameat2, 0
pairs = [(path, path + b".aside") for path in paths]
while True:
    for path, aside in pairs:
        exchange(-100, path, -100, aside, 2)
    number += 1
    count[:] = number.to_bytes(8, "little")
"""


class Racer:
    """The user's process; it is at work within ``racing``."""

    def __init__(self, host: Host) -> None:
        self._paths = [host.jail + place for place in places(host)]
        counter = host.base + ".counter"
        with open(counter, "wb") as file:
            file.write(bytes(8))
        with open(counter, "r+b") as file:
            self._count = mmap.mmap(file.fileno(), 8)
        words = [sys.executable, "-S", "-I", "-c", RACER, counter, str(MALLORY), *self._paths]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.rounds() or self._process.poll() is not None)
        assert self._process.poll() is None
        self._stop()
        os.unlink(counter)

    def rounds(self) -> int:
        return int.from_bytes(self._count[:], "little")

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    @contextmanager
    def racing(self) -> Iterator[None]:
        before = self.rounds()
        self._process.send_signal(signal.SIGCONT)
        try:
            while self.rounds() == before:
                os.sched_yield()
            yield
        finally:
            self._stop()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def lay_links(host: Host) -> None:
    """Put a link to root's beside each path of the user's, to be exchanged with it; where nothing is, a directory."""
    for place in places(host):
        if not os.path.lexists(host.jail + place):
            os.makedirs(host.jail + place)
        with suppress(FileExistsError):
            os.symlink(host.roots + place, host.jail + place + ".aside")
    for folder, names, files in os.walk(host.jail + HOME):
        for name in ("", *names, *files):
            os.chown(os.path.join(folder, name), MALLORY, MALLORY, follow_symlinks=False)


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[f"{kind}-{name}" for kind, name in KINDS])
def test_a_user_who_is_fast_gains_nothing(kind: str, name: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's files keep content, mode and owner, and nothing of them is readable for the user."""
    chosen = trials(kind, name, base, monkeypatch)
    if not chosen:
        pytest.skip("it takes no path")
    for host, resource, _ in chosen:
        host.make()
        lay_links(host)
        before = host.rights()
        racer = Racer(host)
        try:
            for _ in range(TIMES):
                host.make()
                lay_links(host)
                with racer.racing():
                    _, outcome = run(host, resource, lambda step: None, monkeypatch)
                assert_nothing_gained(host, before, (resource, outcome))
        finally:
            racer.end()
