"""The errors between here and sshd, each with a next step."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from paramiko.ssh_exception import IncompatiblePeer

from orchestr.errors import UnreachableError

if TYPE_CHECKING:
    from orchestr.transport.openssh_config import Target
    from orchestr.transport.ssh_limits import Deadline


class TransientError(UnreachableError):
    """A start worth another try: refused, reset or dropped before the login (sshd's MaxStartups does that)."""


class LoginError(UnreachableError):
    """The server answered and refused the login."""


FAMILY_NAMES = {"inet": " IPv4", "inet6": " IPv6"}
DROPPED = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, EOFError)


def _probe(target: Target) -> str:
    return f"ssh -v -p {target.port} {target.user}@{target.hostname} true"


def dial_error(target: Target, error: OSError, timeout_s: float) -> UnreachableError:
    """Return the error of a TCP connection that failed."""
    address = f"{target.hostname} port {target.port}"
    check = f"check ansible_host and ansible_port, and that sshd runs: {_probe(target)}"
    if isinstance(error, socket.gaierror):
        kind = TransientError if error.errno == socket.EAI_AGAIN else UnreachableError
        step = f"set ansible_host to an address, or fix the name: getent hosts {target.hostname}"
        family = FAMILY_NAMES.get(target.address_family, "")
        if family:
            step = f"remove AddressFamily {target.address_family} from ssh_config, or set ansible_host"
        return kind(
            f"cannot find an{family} address for {target.hostname}: {error.strerror}",
            host=target.name,
            next_step=step,
        )
    if isinstance(error, TimeoutError):
        step = f"check the address, the route and the firewall on the way: nc -vz {target.hostname} {target.port}"
        return UnreachableError(f"{address} did not answer within {timeout_s:g} s", host=target.name, next_step=step)
    if isinstance(error, ConnectionRefusedError):
        return TransientError(
            f"{address} refused the connection: nothing listens there", host=target.name, next_step=check
        )
    if isinstance(error, DROPPED):
        return TransientError(f"{address} dropped the connection", host=target.name, next_step=check)
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        step = f"check the network and the routing table: ip route get {target.hostname}"
        return UnreachableError(f"no route to {address}", host=target.name, next_step=step)
    return UnreachableError(f"cannot connect to {address}: {error}", host=target.name, next_step=check)


def handshake_error(target: Target, error: Exception, deadline: Deadline, proxy_output: str = "") -> UnreachableError:
    """Return the error of an SSH session that did not start; ``proxy_output``: the errors of the proxy command."""
    if isinstance(error, UnreachableError):
        return error
    text = str(error) or type(error).__name__
    probe = _probe(target)
    kind: type[UnreachableError] = UnreachableError
    if isinstance(error, IncompatiblePeer):
        message = f"{target} and orchestr have no algorithm in common: {text}"
        step = f"see the algorithms it offers ({probe}), then update its sshd or paramiko here"
    elif deadline.is_over():
        message = f"{target} accepted the connection but no SSH session started within {deadline.timeout_s:g} s"
        step = f"the machine may be overloaded, or the port may serve something else: {probe}"
    elif any(sign in text for sign in ("Indecipherable", "Invalid SSH banner", "Incompatible version")):
        kind, message = TransientError, f"{target} does not speak SSH: {text}"
        step = "check ansible_port: something other than sshd may listen there"
    elif "banner" in text or "No existing session" in text or isinstance(error, DROPPED):
        kind, message = TransientError, f"{target} closed the connection before the login"
        step = f"sshd may be starting, or limiting logins (MaxStartups, PerSourcePenalties, fail2ban): {probe}"
    else:
        message, step = f"no SSH session with {target}: {text}", probe
    if proxy_output:
        message += f" (the proxy command printed: {proxy_output})"
    return kind(message, host=target.name, next_step=step)


def lost(target: Target, error: BaseException | None = None) -> UnreachableError:
    """Return the error of a connection that was lost."""
    why = f": {error}" if error is not None and str(error) else ""
    step = "run it again: completed tasks are kept. If it repeats, look at the machine: dmesg, journalctl -u ssh"
    return UnreachableError(f"the connection to {target} was lost{why}", host=target.name, next_step=step)


def not_started(target: Target, error: BaseException | str = "") -> UnreachableError:
    """Return the error of a login that may not run commands; the connection itself is fine."""
    why = f": {error}" if str(error) else ""
    step = (
        f"look for MaxSessions, ForceCommand or a restricted shell there: ssh -p {target.port} {target.hostname} true"
    )
    return UnreachableError(f"{target} started no command{why}", host=target.name, next_step=step)


def stalled(target: Target, timeout_s: float) -> UnreachableError:
    """Return the error of a peer that stopped accepting data."""
    step = "the machine or the network hangs; look at it, then run again"
    return UnreachableError(f"{target} accepted no data for {timeout_s:g} s", host=target.name, next_step=step)
