"""SSH through fabric and paramiko, plus the parts they lack: checked host keys, jumps in order, bounded waits.

Importing this module imports fabric and paramiko (about 90 ms); ``connect`` does so only when a host needs SSH.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fabric  # type: ignore[import-untyped]
import paramiko

from orchestr.errors import UnreachableError
from orchestr.transport.known_hosts import KnownHosts, OfferedKey, fingerprint
from orchestr.transport.openssh_config import Target, target_of
from orchestr.transport.paramiko_internals import Ahead, SshTransport, is_open
from orchestr.transport.ssh_channel import SshChannel, exec_request
from orchestr.transport.ssh_dial import dial
from orchestr.transport.ssh_errors import handshake_error, lost, not_started
from orchestr.transport.ssh_limits import Deadline, address_slot, handshake_slot, retried
from orchestr.transport.ssh_login import Credentials, Login
from orchestr.transport.ssh_proxy import ProxyProcess
from orchestr.transport.ssh_route import route

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings

CHANNEL_TIMEOUT_S = 30.0
THREAD_END_S = 2.0


class SshConnection:
    """One login on one host, with the hops that lead to it; made by ``open_connection``."""

    def __init__(self, session: fabric.Connection, target: Target, resources: contextlib.ExitStack) -> None:
        self._session = session
        self._resources = resources
        self._channels: set[SshChannel] = set()
        self.target = target

    def start(self, command: Sequence[str]) -> SshChannel:
        """Start a command given as an argument list (quoted by construction). Raises UnreachableError."""
        try:
            request = exec_request(shlex.join(command))
            with self._session.transport.sending_ahead(request) as ahead:
                channel = self._create_session(ahead)
            channel.set_combine_stderr(True)
            if ahead.channel is None:
                self._session.transport.send_request(channel.remote_chanid, request)
        except paramiko.ChannelException as error:
            raise not_started(self.target, error) from error
        except (EOFError, OSError, paramiko.SSHException) as error:
            raise lost(self.target, error) from error
        started = SshChannel(channel, self.target, self._channels.discard)
        self._channels.add(started)
        return started

    def _create_session(self, ahead: Ahead) -> paramiko.Channel:
        """Open a session; keep one whose command has ended already, which paramiko has forgotten by then."""
        try:
            channel: paramiko.Channel = self._session.create_session()
        except paramiko.SSHException:
            if ahead.channel is None or not is_open(ahead.channel):
                raise
            channel = ahead.channel
        return channel

    def tunnel(self, target: Target, deadline: Deadline) -> paramiko.Channel:
        """Return a channel to another machine's sshd, as ``ssh -W`` opens it. Raises UnreachableError."""
        try:
            transport: paramiko.Transport = self._session.transport
            destination = (target.hostname, target.port)
            return transport.open_channel("direct-tcpip", destination, ("", 0), timeout=deadline.left())
        except (EOFError, OSError, paramiko.SSHException) as error:
            raise UnreachableError(
                f"{self.target} does not connect on to {target.hostname} port {target.port}: {error}",
                host=target.name,
                next_step=f"try it by hand: ssh -W {target.hostname}:{target.port} {self.target.name}",
            ) from error

    def close(self) -> None:
        """Close all channels and the connection. Never raises; may be called twice."""
        for channel in tuple(self._channels):
            channel.abandon()
        self._resources.close()


def open_connection(settings: ConnectionSettings, timeout_s: float) -> SshConnection:
    """Log in to a host of the inventory. Raises HostKeyError, UnreachableError."""
    deadline = Deadline(timeout_s)
    target = target_of(settings)
    hops = route(target, settings.ssh_common_args)
    credentials = Credentials(settings.key_file, settings.password)
    return retried(lambda: _open_through(hops, credentials, deadline), deadline)


def _open_through(hops: Sequence[Target], credentials: Credentials, deadline: Deadline) -> SshConnection:
    """Log in to each hop through the previous one; the inventory's credentials are for the last."""
    return _step(hops[-1], credentials, reach(hops[:-1], deadline), deadline)


def reach(hops: Sequence[Target], deadline: Deadline) -> SshConnection | None:
    """Log in to one hop after the other with the settings of ssh_config; return the last, None without hops."""
    reached: SshConnection | None = None
    for hop in hops:
        reached = _step(hop, Credentials(), reached, deadline)
    return reached


def _step(target: Target, credentials: Credentials, former: SshConnection | None, deadline: Deadline) -> SshConnection:
    """Log in to one machine, directly or through the hop before it, which the new connection then owns."""
    deadline = deadline.within(target.connect_timeout_s)
    with contextlib.ExitStack() as resources:
        if former is not None:
            resources.callback(former.close)
        with address_slot(target.hostname, target.port) as waited_s:
            deadline = deadline.later(waited_s)
            link = open_link(target, former, deadline)
            resources.callback(link.close)
            with handshake_slot() as waited_s:
                deadline = deadline.later(waited_s)
                session = _login(target, credentials, link, deadline, resources)
        return SshConnection(session, target, resources.pop_all())


@dataclass(frozen=True)
class Link:
    """The byte stream to a machine's sshd, how to end it, and the errors that a proxy command printed."""

    sock: Any
    hang_up: Callable[[], None]
    close: Callable[[], None]
    last_words: Callable[[], str] = str


def open_link(target: Target, former: SshConnection | None, deadline: Deadline) -> Link:
    """Open a TCP connection, a tunnel through the former hop or a proxy command. Raises UnreachableError."""
    if former is not None:
        tunnel = former.tunnel(target, deadline)
        return Link(tunnel, tunnel.close, tunnel.close)
    if target.proxy_command:
        process = ProxyProcess(target, target.proxy_command)
        return Link(process.sock, functools.partial(_hang_up, process.sock), process.close, process.last_words)
    connection = dial(target, deadline)
    return Link(connection, functools.partial(_hang_up, connection), connection.close)


def _hang_up(connection: socket.socket) -> None:
    """End a socket's traffic, which wakes the thread that reads it, without freeing its number yet."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def end_session(transport: paramiko.Transport | None, link: Link) -> None:
    """Close a session after its thread has left the socket.

    A socket closed under a thread that is about to read it may give its number to the next connection, whose bytes
    that thread would then eat.
    """
    link.hang_up()
    if transport is not None:
        if transport.is_alive():
            transport.join(THREAD_END_S)
        transport.close()


def _login(
    target: Target, credentials: Credentials, link: Link, deadline: Deadline, resources: contextlib.ExitStack
) -> fabric.Connection:
    """Return fabric's connection after key exchange, check of the host key and login."""
    known = KnownHosts(target)
    session = fabric.Connection(
        target.hostname,
        user=target.user,
        port=target.port,
        config=fabric_config(),
        gateway=False,
        connect_kwargs={
            "sock": link.sock,
            "timeout": deadline.left(),  # not connect_timeout: fabric cuts that to whole seconds, and 0 is for ever
            "transport_factory": functools.partial(_transport, known.types),
            "banner_timeout": deadline.left(),
            "channel_timeout": CHANNEL_TIMEOUT_S,
            "auth_strategy": Login(target, credentials, deadline),
        },
    )
    session.client.set_missing_host_key_policy(RecordedKeyPolicy(known))
    resources.callback(lambda: end_session(session.client.get_transport(), link))
    try:
        session.open()
    except (EOFError, OSError, paramiko.SSHException, UnreachableError) as error:
        raise handshake_error(target, error, deadline, link.last_words()) from error
    return session


def fabric_config() -> fabric.Config:
    """Return a configuration that reads no file: ssh_config is ``ssh -G``'s to read, not fabric's.

    One for each connection: fabric empties and refills it while other threads would read it.
    """
    return fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True)


def _transport(host_key_types: Sequence[str], sock: Any, disabled_algorithms: Any = None) -> SshTransport:
    transport = SshTransport(sock, disabled_algorithms)
    transport.prefer_host_keys(host_key_types)
    return transport


class RecordedKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Accept the recorded key only. fabric's default accepts any key, and paramiko reads no markers."""

    def __init__(self, known: KnownHosts) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Return when ``key`` is the recorded one. Raises HostKeyError."""
        self._known.check(offered(key))


def offered(key: paramiko.PKey) -> OfferedKey:
    """Return a server's key as known_hosts writes it."""
    text = key.get_base64()
    return OfferedKey(key.get_name(), text, fingerprint(text))
