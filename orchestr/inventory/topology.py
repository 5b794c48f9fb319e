"""Hosts and groups of an inventory, their variables and the position of each; nothing is rendered here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.marked import value_position
from orchestr.inventory.position import Position
from orchestr.inventory.ranges import is_ip


@dataclass(frozen=True)
class InventoryHost:
    """A machine. ``variables`` are merged as Ansible merges them and not rendered yet; secrets are `Secret`.

    ``groups`` are all groups it is in, parents included and ``all`` left out, sorted (Ansible's ``group_names``).
    ``origin`` has the position of each variable; ``file`` is the first inventory file with the host. ``texts`` has the
    written text of the variables that are numbers, booleans or dates.
    """

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any] = field(repr=False)
    origin: Mapping[str, Position] = field(repr=False)
    file: Path = field(repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def short_name(self) -> str:
        """The name up to the first dot; an IP address whole."""
        return self.name if is_ip(self.name) else self.name.split(".")[0]


@dataclass(frozen=True)
class Group:
    """A group: direct ``children`` and ``hosts`` in the order they were written, and its own ``variables``."""

    name: str
    children: tuple[str, ...]
    hosts: tuple[str, ...]
    variables: Mapping[str, Any] = field(repr=False)
    priority: int = 1


@dataclass(frozen=True)
class Topology:
    """All hosts and groups, in the order they were written, ``all`` and ``ungrouped`` included.

    ``path`` is the inventory (a file, or a directory of them), ``root`` the project's directory.
    """

    path: Path
    root: Path
    hosts: Mapping[str, InventoryHost] = field(repr=False)
    groups: Mapping[str, Group] = field(repr=False)

    def host(self, name: str) -> InventoryHost:
        """Return the host ``name``; raises InputError naming the closest one."""
        if name not in self.hosts:
            raise InputError(
                f"no host {name!r} in the inventory",
                file=self.path,
                suggestion=closest(name, self.hosts),
                next_step=f"orchestr inventory {self.path} lists the hosts",
            )
        return self.hosts[name]

    def members(self, group: str) -> list[InventoryHost]:
        """Return all hosts of a group, its children's included; raises InputError naming the closest group."""
        if group not in self.groups:
            raise InputError(
                f"no group {group!r} in the inventory",
                file=self.path,
                suggestion=closest(group, self.groups),
                next_step=f"orchestr inventory {self.path} --graph shows the groups",
            )
        waiting, hosts = [group], dict.fromkeys(self.groups[group].hosts)
        seen = {group}
        for name in waiting:
            hosts.update(dict.fromkeys(self.groups[name].hosts))
            fresh = [child for child in self.groups[name].children if child not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return [self.hosts[name] for name in hosts]

    def variables(self, host: str) -> dict[str, Any]:
        """Return a copy of a host's variables, unrendered; ``scope`` renders them."""
        return dict(self.host(host).variables)

    def position(self, host: str, *path: str | int) -> Position | None:
        """Return the position of a host's variable; further keys and indexes go into its value.

        Where the path leaves the written value, the position of the nearest enclosing value is returned.
        """
        if not path:
            return None
        position = self.host(host).origin.get(str(path[0]))
        value: Any = self.host(host).variables.get(str(path[0]))
        for key in path[1:]:
            inner = value_position(value, key)
            if inner is None:
                break
            position, value = inner, value[key]
        return position
