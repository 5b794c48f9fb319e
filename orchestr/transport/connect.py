"""The one door to hosts: choose the transport that the inventory asks for. Importing this module is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.transport.invoke_import import import_invoke

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings
    from orchestr.transport.base import Connection


def connect(settings: ConnectionSettings, *, timeout_s: float = 15.0) -> Connection:
    """Return a logged-in connection to one host within ``timeout_s``. Raises UnreachableError, HostKeyError.

    Each call opens a new socket: a guard that proves a host can still be reached depends on that.
    """
    if settings.connection == "local":
        from orchestr.transport.local import LocalConnection

        return LocalConnection()
    if settings.connection == "ssh":
        import_invoke()  # before fabric does it
        from orchestr.transport.ssh import open_connection

        return open_connection(settings, timeout_s)
    raise InputError(
        f"ansible_connection is {settings.connection!r}; orchestr connects by 'ssh' or 'local'",
        next_step="set ansible_connection: ssh",
    )
