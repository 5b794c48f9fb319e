"""Ask a server for its host keys without logging in to it, for ``orchestr trust``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from orchestr.errors import UnreachableError
from orchestr.transport.known_hosts import KnownHosts, OfferedKey
from orchestr.transport.openssh_config import Target, target_of
from orchestr.transport.paramiko_internals import SshTransport
from orchestr.transport.ssh import end_session, offered, open_link, reach
from orchestr.transport.ssh_errors import handshake_error
from orchestr.transport.ssh_limits import Deadline, address_slot, retried
from orchestr.transport.ssh_route import route

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings

KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
RARE_KEY_TYPES = ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")  # asked for where they are recorded


def scan(settings: ConnectionSettings, timeout_s: float) -> list[OfferedKey]:
    """Return one key of each type the server has; hops on the way are logged in to and checked as ever."""
    deadline = Deadline(timeout_s)
    target = target_of(settings)
    hops = route(target, settings.ssh_common_args)
    recorded = KnownHosts(target).types
    types = (*KEY_TYPES, *(key_type for key_type in RARE_KEY_TYPES if key_type in recorded))
    keys = [retried(partial(_scan, hops, key_type, deadline), deadline) for key_type in types]
    offered_keys = [key for key in keys if key is not None]
    if not offered_keys:
        raise UnreachableError(
            f"{target} has no host key of a type known here ({', '.join(types)})",
            host=target.name,
            next_step=f"see what it offers: ssh -v -p {target.port} {target.user}@{target.hostname} true",
        )
    return offered_keys


def _scan(hops: Sequence[Target], key_type: str, deadline: Deadline) -> OfferedKey | None:
    """Return the server's key of one type, None when it has none."""
    target = hops[-1]
    with contextlib.ExitStack() as resources, address_slot(target.hostname, target.port):
        former = reach(hops[:-1], deadline)
        if former is not None:
            resources.callback(former.close)
        link = open_link(target, former, deadline)
        resources.callback(link.close)
        transport = SshTransport(link.sock)
        transport.accept_only_host_key(key_type)
        resources.callback(end_session, transport, link)
        try:
            transport.start_client(timeout=deadline.left())
            return offered(transport.get_remote_server_key())
        except IncompatiblePeer:
            return None
        except (EOFError, OSError, paramiko.SSHException) as error:
            raise handshake_error(target, error, deadline, link.last_words()) from error
