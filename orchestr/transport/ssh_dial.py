"""The TCP connection to sshd."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from orchestr.transport.openssh_config import Target
from orchestr.transport.ssh_errors import dial_error
from orchestr.transport.ssh_limits import Deadline

ATTEMPT_DELAY_S = 0.25  # between the starts of two attempts, as RFC 8305 recommends
FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
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
    """Return a TCP connection to sshd by the first of the name's addresses that answers. Raises UnreachableError.

    The addresses of both families are tried in turn, each a moment after the one before it (RFC 8305): an address
    that drops packets costs that moment and not the whole time. AddressFamily and BindAddress of ssh_config hold.
    """
    try:
        addresses = _interleave(_look_up(target.hostname, target.port, target.address_family))
        sources = _look_up(target.bind_address, 0, target.address_family) if target.bind_address else []
    except UnicodeError as error:  # Python's name for an empty or overlong label
        raise dial_error(target, socket.gaierror(socket.EAI_NONAME, str(error)), deadline.timeout_s) from error
    except OSError as error:
        raise dial_error(target, error, deadline.timeout_s) from error
    race = _Race(addresses, {source[0]: source[4] for source in reversed(sources)}, deadline)
    try:
        winner = race.run()
    except OSError as error:
        raise dial_error(target, error, deadline.timeout_s) from error
    winner.settimeout(deadline.left())
    winner.prepare()
    return winner


def _look_up(name: str, port: int, address_family: str) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(name, port, FAMILIES.get(address_family, socket.AF_UNSPEC), socket.SOCK_STREAM)


def _interleave(addresses: Sequence[AddressInfo]) -> list[AddressInfo]:
    """Return the addresses with the families in turn, the resolver's first choice first."""
    first = [info for info in addresses if info[0] == addresses[0][0]]
    others = [info for info in addresses if info[0] != addresses[0][0]]
    pairs = itertools.zip_longest(first, others)
    return [info for pair in pairs for info in pair if info is not None]


class _Race:
    """Attempts to connect to several addresses, of which the first to succeed wins."""

    def __init__(self, addresses: Sequence[AddressInfo], sources: Mapping[int, Any], deadline: Deadline) -> None:
        self._waiting = list(addresses)
        self._sources = sources
        self._deadline = deadline
        self._poll = select.poll()
        self._attempts: dict[int, PromptSocket] = {}
        self._errors: list[OSError] = []

    def run(self) -> PromptSocket:
        """Return the connected socket. Raises OSError: of all that went wrong, the one that says most."""
        try:
            while self._waiting or self._attempts:
                if self._deadline.is_over():
                    self._errors.append(TimeoutError())
                    break
                winner = self._start_next() or self._await_one()
                if winner is not None:
                    return winner
        finally:
            for attempt in self._attempts.values():
                attempt.close()
        raise min(self._errors, key=_says_little)

    def _start_next(self) -> PromptSocket | None:
        """Begin the next attempt, if any is left; return its socket when it is connected at once."""
        if not self._waiting:
            return None
        family, kind, protocol, _, address = self._waiting.pop(0)
        attempt = PromptSocket(family, kind, protocol)
        attempt.setblocking(False)
        try:
            if self._sources:
                if family not in self._sources:
                    raise OSError(errno.EADDRNOTAVAIL, "BindAddress is of the other address family")
                attempt.bind(self._sources[family])
            attempt.connect(address)
        except BlockingIOError:
            self._attempts[attempt.fileno()] = attempt
            self._poll.register(attempt, select.POLLOUT)
            return None
        except OSError as error:
            attempt.close()
            self._errors.append(error)
            return None
        return attempt

    def _await_one(self) -> PromptSocket | None:
        """Wait until an attempt ends or the next may begin; return the socket of one that succeeded."""
        wait_s = min(self._deadline.left(), ATTEMPT_DELAY_S) if self._waiting else self._deadline.left()
        for descriptor, _ in self._poll.poll(wait_s * 1000) if self._attempts else ():
            attempt = self._attempts.pop(descriptor)
            self._poll.unregister(descriptor)
            code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return attempt
            attempt.close()
            self._errors.append(OSError(code, os.strerror(code)))
        return None


def _says_little(error: OSError) -> int:
    """Return 0 for an error that a machine answered with, more for one that tells of the network or of us."""
    if isinstance(error, ConnectionError):
        return 0
    return 2 if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) else 1
