"""Everything that reaches into paramiko's undocumented parts; no other module may.

setup.cfg bounds paramiko's version. tests/unit/transport/test_paramiko_internals.py names each part that a new version
changes. Overridden are the opening of a channel, the request of a login and the reading of a disconnect message.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import paramiko
from paramiko.agent import AgentKey, AgentSSH
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST

WINDOW_BYTES = 8 * 1024 * 1024
PACKET_BYTES = 32 * 1024
# Fastest first, measured against OpenSSH 9.2 on loopback (MiB/s up, down): aes256-gcm 139, 223; aes128-gcm 133, 139;
# aes128-ctr with an encrypt-then-mac 116, 142, with paramiko's own first choice 101, 108. Nothing weak at all.
CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
COUNTS_FROM_ZERO = "SSH-2.0-OpenSSH_"
NO_EXIT_STATUS = -1

# A library prints nothing by itself: paramiko logs tracebacks of errors that we turn into one clear message.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False


@dataclass
class Ahead:
    """A request to send right behind a channel's opening; ``channel`` is set when it was sent."""

    request: bytes
    channel: paramiko.Channel | None = None


class SshTransport(paramiko.Transport):
    """One SSH session as a client."""

    def __init__(self, sock: Any, disabled_algorithms: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(
            sock,
            default_window_size=WINDOW_BYTES,
            default_max_packet_size=PACKET_BYTES,
            disabled_algorithms=disabled_algorithms,
        )
        self.disconnect_reason = ""
        self._is_fresh = True
        self._ahead: Ahead | None = None
        options = self.get_security_options()
        options.ciphers = tuple(name for name in CIPHERS if name in options.ciphers)
        options.digests = tuple(name for name in MACS if name in options.digests)

    def prefer_host_keys(self, types: Sequence[str]) -> None:
        """Ask for these key types first, as OpenSSH does with the types recorded in known_hosts."""
        options = self.get_security_options()
        preferred = [name for key_type in types for name in _signatures(key_type) if name in options.key_types]
        options.key_types = (*preferred, *(name for name in options.key_types if name not in preferred))

    def accept_only_host_key(self, key_type: str) -> None:
        """Accept no other type of host key."""
        self.get_security_options().key_types = _signatures(key_type)

    def close(self) -> None:
        """End the session, and paramiko's handshake timer with it: a thread that would delay our exit by 15 s."""
        self.packetizer.complete_handshake()
        super().close()

    @contextlib.contextmanager
    def sending_ahead(self, request: bytes) -> Iterator[Ahead]:
        """Send ``request`` right behind the first channel's opening; the yielded object has the channel if it was sent.

        The request needs the number the server gives the channel. OpenSSH counts from 0, so on a fresh connection to
        it no answer is awaited: one round trip less. Other servers and later channels are awaited.
        """
        ahead = Ahead(request)
        if self._is_fresh and self.remote_version.startswith(COUNTS_FROM_ZERO):
            self._ahead = ahead
        try:
            yield ahead
        finally:
            self._ahead = None

    def send_request(self, channel: int, request: bytes) -> None:
        """Send a request for the channel that has this number on the server."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel)
        self._send_user_message(paramiko.Message(message.asbytes() + request))

    def _send_user_message(self, data: paramiko.Message) -> None:
        ahead = None
        if data.asbytes()[:1] == cMSG_CHANNEL_OPEN:
            self._is_fresh = False
            ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.channel = self._channels.values()[-1]  # type: ignore[attr-defined]  # the one being opened
        super()._send_user_message(data)  # type: ignore[misc]  # not in the stubs
        if ahead is not None:
            self.send_request(0, ahead.request)

    def auth_publickey(self, username: str, key: paramiko.PKey, event: threading.Event | None = None) -> list[str]:
        """Log in with a key, a round trip sooner than paramiko does. Raises AuthenticationException."""
        answered = threading.Event()
        handler = EagerAuthHandler(self)
        self.auth_handler = handler
        handler.auth_publickey(username, key, answered)
        return list(handler.wait_for_response(answered))

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        """Keep the server's last words ("Too many authentication failures"); paramiko only logs them."""
        m.get_int()
        self.disconnect_reason = m.get_text()


def _signatures(key_type: str) -> tuple[str, ...]:
    """Return the signature algorithms of a key type: an RSA key signs with SHA-2 (RFC 8332)."""
    return ("rsa-sha2-512", "rsa-sha2-256") if key_type == "ssh-rsa" else (key_type,)


class EagerAuthHandler(AuthHandler):
    """Requests the login service and the login in one go, instead of waiting for the service to be granted.

    Servers read one message after the other, and a service that is not granted ends the connection anyway
    (RFC 4253, section 10), so nothing is lost but the wait.
    """

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]  # not in the stubs
        granted = paramiko.Message()
        granted.add_string("ssh-userauth")
        granted.rewind()
        super()._parse_service_accept(granted)  # type: ignore[misc]

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        """Ignore the server's answer: the login was requested already."""


class AgentClient(AgentSSH):
    """A connection to an ssh-agent over a socket of our choice; paramiko's own looks at SSH_AUTH_SOCK only."""

    def connect(self, connection: socket.socket) -> tuple[AgentKey, ...]:
        """Return the agent's keys. Raises OSError, SSHException."""
        self._connect(connection)  # type: ignore[attr-defined]  # not in the stubs
        return self.get_keys()

    def close(self) -> None:
        """Close the socket."""
        self._close()  # type: ignore[attr-defined]  # not in the stubs


def arrival_event(channel: paramiko.Channel) -> threading.Event:
    """Return an event that is set while a channel has bytes to read, or has ended."""
    event = threading.Event()
    channel.in_buffer.set_event(event)
    return event


def has_ended(channel: paramiko.Channel) -> bool:
    """Return True if the server said that the command ended; False while it runs and after a lost connection."""
    return bool(channel.eof_received) or channel.exit_status != NO_EXIT_STATUS


def exit_status(channel: paramiko.Channel, timeout_s: float = 0.0) -> int | None:
    """Return the command's exit status, None when it is not known within the time."""
    if timeout_s > 0:
        channel.status_event.wait(timeout_s)
    status: int = channel.exit_status
    return None if status == NO_EXIT_STATUS else status


def is_open(channel: paramiko.Channel) -> bool:
    """Return True if the server has opened the channel."""
    return bool(channel.active)
