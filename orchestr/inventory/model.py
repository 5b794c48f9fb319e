"""The inventory: its hosts and groups, selected by patterns, their variables rendered, their connections read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestr.inventory import patterns
from orchestr.inventory.connection import connection_settings
from orchestr.inventory.generated import GeneratedSecrets
from orchestr.inventory.position import Position
from orchestr.inventory.settings import ConnectionSettings
from orchestr.inventory.topology import Group, InventoryHost, Topology
from orchestr.templating.values import Scope
from orchestr.vault.key import VaultKey


@dataclass(frozen=True)
class Inventory(Topology):
    """The content of one inventory (a file, or a directory of them).

    ``select("all")`` gives the hosts in the order Ansible takes them, group by group. ``warnings`` are for the user
    to see. ``generated`` are its ``!generated`` secrets.
    """

    warnings: tuple[str, ...] = field(default=(), repr=False)
    generated: GeneratedSecrets = field(default_factory=lambda: VaultKey().generated, repr=False, compare=False)
    _connections: dict[str, ConnectionSettings] = field(default_factory=dict, init=False, repr=False, compare=False)

    def select(
        self,
        pattern: str | Sequence[str],
        limit: str | Sequence[str] | None = None,
        *,
        position: Position | None = None,
    ) -> list[InventoryHost]:
        """Return the hosts an Ansible host pattern names, in its order, narrowed by ``limit`` (``--limit``).

        Raises InputError, at ``position`` when given, for a name that is neither a host nor a group.
        """
        return patterns.select(self, pattern, limit, position)

    def scope(self, host: str, *overlays: Mapping[str, Any]) -> Scope:
        """Return the names a template sees on ``host``: its variables, the overlays over them, and the magic ones.

        Overlays are a play's and a role's own variables; the later wins, and extra variables win over all of them.
        """
        return Scope(self, self.host(host), *overlays)

    def connection(self, host: str) -> ConnectionSettings:
        """Return the connection settings of ``host``, read once; raises InputError at a bad variable."""
        if host not in self._connections:
            self._connections[host] = connection_settings(self.scope(host), host)
        return self._connections[host]


__all__ = ["Group", "Inventory", "InventoryHost"]
