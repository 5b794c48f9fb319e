"""A ProxyCommand as a real socket; paramiko's own spins for ever when the command dies, and bypasses the shell."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile

from orchestr.transport.openssh_config import Target, expand, tokens_of


class ProxyProcess:
    """A running ProxyCommand; ``sock`` is its standard input and output."""

    def __init__(self, target: Target, command: str) -> None:
        tokens = tokens_of(target.name, target.hostname, str(target.port), target.user)
        self.command = expand(command, tokens)
        self.sock, child_end = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        # ssh_config(5) promises the user's shell and an exec; the text is the user's own ssh_config line.
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self.command}"],
            stdin=child_end.fileno(),
            stdout=child_end.fileno(),
            stderr=self._stderr,
            start_new_session=True,
        )
        child_end.close()

    def last_words(self) -> str:
        """Return the end of the command's errors."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), 2000, max(0, size - 2000)).decode(errors="replace").strip()

    def close(self) -> None:
        """End the command and all it started. Never raises; may be called twice."""
        self.sock.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._stderr.close()
