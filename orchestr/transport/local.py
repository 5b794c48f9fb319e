"""This machine as a host: commands are subprocesses, with the same contract as over SSH."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence

from orchestr.errors import UnreachableError

STALL_S = 30.0
GRACE_S = 2.0


class LocalConnection:
    """The controller's own machine."""

    def __init__(self) -> None:
        self._channels: set[LocalChannel] = set()

    def start(self, command: Sequence[str]) -> LocalChannel:
        """Start a command given as an argument list. Raises UnreachableError when no process can be started.

        ``sh`` stands between, as sshd's login shell does: a missing command is exit status 127, not an exception.
        """
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$@"', "sh", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            step = "free memory or processes on this machine, then run again"
            raise UnreachableError(f"cannot start a process here: {error}", host="localhost", next_step=step) from error
        channel = LocalChannel(process, self._channels.discard)
        self._channels.add(channel)
        return channel

    def close(self) -> None:
        """End all commands. Never raises; may be called twice."""
        for channel in tuple(self._channels):
            channel.close()


class LocalChannel:
    """One running process: its stdin to write, its stdout and stderr (merged) to read."""

    def __init__(self, process: subprocess.Popen[bytes], forget: Callable[[LocalChannel], None]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._forget = forget
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._is_closed = False
        self._reading, self._writing, self._closing = threading.Lock(), threading.Lock(), threading.Lock()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._stdin.fileno(), False)

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        """Return at most ``size`` bytes as soon as any are there, ``b""`` at the end of the stream.

        Raises TimeoutError when nothing came within ``timeout_s``.
        """
        with self._reading:
            if self._is_closed:
                return b""
            if not self._wait(self._stdout.fileno(), select.POLLIN, timeout_s):
                raise TimeoutError(f"the command printed nothing for {timeout_s:g} s")
            return b"" if self._is_closed else os.read(self._stdout.fileno(), size)

    def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises UnreachableError when the command ended or takes nothing for too long."""
        rest = memoryview(data)
        with self._writing:
            while rest:
                rest = rest[self._write_some(rest) :]

    def _write_some(self, data: memoryview) -> int:
        if self._is_closed:
            raise _gone("was closed")
        if not self._wait(self._stdin.fileno(), select.POLLOUT, STALL_S):
            raise _gone(f"took no input for {STALL_S:g} s")
        try:
            return os.write(self._stdin.fileno(), data)
        except BlockingIOError:
            return 0  # room for less than a whole page; poll again
        except BrokenPipeError as error:
            raise _gone("ended and takes no more input") from error

    def _wait(self, descriptor: int, event: int, timeout_s: float | None) -> bool:
        """Wait for the descriptor or for close(); False when the time ran out."""
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._woken, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))

    def close(self) -> None:
        """End the command: its input ends, and after GRACE_S its process group is killed. Never raises."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        os.write(self._wake, b"x")
        with self._reading, self._writing:
            for end in (self._stdin, self._stdout):
                end.close()
            os.close(self._wake)
            os.close(self._woken)
        self._end()
        self._forget(self)

    def _end(self) -> None:
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        """Return the exit status of an ended command, None while it is not known (or a signal ended it)."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return status if status >= 0 else None


def _gone(event: str) -> UnreachableError:
    return UnreachableError(f"the command {event}", host="localhost", next_step="look at its output before that")
