"""A host's connection settings in the inventory; None leaves the choice to the user's ssh configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestr.secret import Secret

ConnectionKind = Literal["ssh", "local", "memory"]


@dataclass(frozen=True)
class ConnectionSettings:
    """The ``ansible_…`` variables of one host that say how to log in and become root, rendered and typed.

    ``key_file`` has ``~`` expanded and is relative to the working directory when it is relative.
    ``python`` is None when the interpreter is to be found on the host.
    """

    address: str
    port: int | None = None
    user: str | None = None
    key_file: str | None = None
    password: Secret | None = None
    become: bool = False
    become_user: str = "root"
    become_password: Secret | None = None
    connection: ConnectionKind = "ssh"
    python: str | None = None
    ssh_common_args: tuple[str, ...] = ()
    ssh_extra_args: tuple[str, ...] = ()
