"""The TCP connection to sshd."""

from __future__ import annotations

import socket

from orchestr.transport.openssh_config import Target
from orchestr.transport.ssh_errors import dial_error
from orchestr.transport.ssh_limits import Deadline

DEAD_PEER_OPTIONS = {  # seconds, seconds, probes, milliseconds: a dead peer is noticed after 30 s
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}


class PromptSocket(socket.socket):
    """A TCP socket without the waits that small messages suffer.

    Until a command runs, sshd holds each small packet back (Nagle) for our acknowledgement, which the kernel delays
    by 40 ms: twice per login. So each receive acknowledges at once (TCP_QUICKACK is no lasting state, see tcp(7)).
    """

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def prepare(self) -> None:
        """Set options of a new connection: send at once, and let the kernel give a dead peer up by itself."""
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in DEAD_PEER_OPTIONS.items():
            if hasattr(socket, name):
                self.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def dial(target: Target, deadline: Deadline) -> socket.socket:
    """Return a TCP connection to sshd, trying each of the name's addresses. Raises UnreachableError."""
    try:
        found = socket.getaddrinfo(target.hostname, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # Python's name for an empty or overlong label
        raise dial_error(target, socket.gaierror(socket.EAI_NONAME, str(error)), deadline.timeout_s) from error
    except OSError as error:
        raise dial_error(target, error, deadline.timeout_s) from error
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = PromptSocket(family, kind, protocol)
        connection.settimeout(deadline.left())
        try:
            connection.connect(address)
            connection.prepare()
            return connection
        except OSError as error:
            connection.close()
            last = error
    raise dial_error(target, last, deadline.timeout_s) from last
