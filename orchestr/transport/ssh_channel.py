"""One command over SSH as a `Channel`: a two-way stream of bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import paramiko

from orchestr.agent.wire import PACKET
from orchestr.errors import UnreachableError
from orchestr.transport import paramiko_internals
from orchestr.transport.openssh_config import Target
from orchestr.transport.ssh_errors import lost, not_started, stalled

STALL_S = 30.0


class SshChannel:
    """A session channel with a command started on it; stdout and stderr come merged."""

    def __init__(self, channel: paramiko.Channel, target: Target, forget: Callable[[SshChannel], None]) -> None:
        self._channel = channel
        self._target = target
        self._forget = forget
        self._is_closed = False
        self._arrival = paramiko_internals.arrival_event(channel)
        channel.settimeout(STALL_S)

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        """Return at most ``size`` bytes as soon as any are there, ``b""`` at the end of the stream.

        Raises TimeoutError when nothing came within ``timeout_s``, UnreachableError when the connection broke.
        """
        if not self._arrival.wait(timeout_s):
            raise TimeoutError(f"{self._target} sent nothing for {timeout_s:g} s")
        try:
            data = self._channel.recv(size)
        except (EOFError, OSError, paramiko.SSHException) as error:
            raise lost(self._target, error) from error
        if not data and not self._has_ended():
            raise self._cut_off()
        return data

    def _cut_off(self) -> UnreachableError:
        return not_started(self._target) if self._channel.get_transport().is_active() else lost(self._target)

    def _has_ended(self) -> bool:
        """Return True if the command ended; False after a lost connection, of which no end was told."""
        return self._is_closed or paramiko_internals.has_ended(self._channel)

    def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises UnreachableError when the connection broke or stalls for too long."""
        rest = memoryview(data)
        while rest:
            sent = self._send(bytes(rest[:PACKET]))
            rest = rest[sent:]

    def _send(self, data: bytes) -> int:
        if self.exit_status(0) is not None:  # ended, though sshd may not have closed the channel yet
            raise self._write_error()
        try:
            sent = self._channel.send(data)
        except TimeoutError as error:
            raise stalled(self._target, STALL_S) from error
        except (EOFError, OSError, paramiko.SSHException) as error:
            raise self._write_error(error) from error
        if sent == 0:
            raise self._write_error()
        return sent

    def _write_error(self, error: BaseException | None = None) -> UnreachableError:
        if self._has_ended():
            step = "look at its output before that"
            message = f"the command on {self._target} ended and takes no more input"
            return UnreachableError(message, host=self._target.name, next_step=step)
        return lost(self._target, error)

    def close(self) -> None:
        """End the command's input and forget it. Never raises; may be called twice and from another thread."""
        self._is_closed = True
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):  # the connection may be gone already
            self._channel.close()
        self._forget(self)

    def abandon(self) -> None:
        """Forget the command because its whole connection is about to close; sends nothing, so it cannot block."""
        self._is_closed = True

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        """Return the exit status of an ended command, None while it is not known (or a signal ended it)."""
        return paramiko_internals.exit_status(self._channel, timeout_s)


def exec_request(command: str) -> bytes:
    """Return the request to start ``command``, which is sent without waiting for the answer: a round trip less.

    paramiko's own ``exec_command`` waits, and without a limit. A refusal closes the channel, which read() reports.
    """
    message = paramiko.Message()
    message.add_string("exec")
    message.add_boolean(True)
    message.add_string(command)
    return message.asbytes()
