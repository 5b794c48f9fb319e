"""The names every template has: ``inventory_hostname``, ``groups``, ``hostvars``, …"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from orchestr.inventory.topology import InventoryHost, Topology
from orchestr.templating.taint import view

_OF_THE_HOST: dict[str, Callable[[InventoryHost], Any]] = {
    "inventory_hostname": lambda host: host.name,
    "inventory_hostname_short": lambda host: host.short_name,
    "inventory_file": lambda host: str(host.file.absolute()),
    "inventory_dir": lambda host: str(host.file.absolute().parent),
    "group_names": lambda host: list(host.groups),
    "ansible_playbook_python": lambda host: sys.executable,  # the controller's, for ansible_connection: local
}
MAGIC = (*_OF_THE_HOST, "groups", "hostvars")


class Names(Protocol):
    """The names a template sees, and the value of each; a `Scope` is one."""

    def __contains__(self, name: object) -> bool: ...

    def value(self, name: str) -> Any:
        """Return the rendered value of ``name``; raises InputError."""

    def written_names(self) -> list[str]:
        """Return the names of the written variables, each once."""

    def known_names(self) -> list[str]:
        """Return every name a template may use."""


class Magic:
    """The magic values of all hosts of one inventory; the scopes made through ``hostvars`` share it."""

    def __init__(self, inventory: Topology, names_of: Callable[[InventoryHost, Magic], Names]) -> None:
        """``names_of`` gives the names that templates of a host see, this object's magic names among them."""
        self.inventory = inventory
        self._groups = GroupMembers(inventory)
        self._host_variables = HostVariables(inventory.hosts, lambda host: names_of(host, self))

    def value(self, name: str, host: InventoryHost) -> Any:
        """Return the magic value ``name`` as ``host`` sees it."""
        if name == "groups":
            return self._groups
        return self._host_variables if name == "hostvars" else _OF_THE_HOST[name](host)


class GroupMembers(Mapping[str, list[str]]):
    """``groups``: the names of each group's hosts, its children's included."""

    def __init__(self, inventory: Topology) -> None:
        self._inventory = inventory

    def __getitem__(self, group: str) -> list[str]:
        if group not in self._inventory.groups:
            raise KeyError(group)
        return [host.name for host in self._inventory.members(group)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inventory.groups)

    def __len__(self) -> int:
        return len(self._inventory.groups)


class RenderedVariables(Mapping[str, Any]):
    """A host's variables, each rendered when it is read; iterating over the names renders nothing."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return view(self._names.value(name))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.written_names())

    def __len__(self) -> int:
        return len(self._names.written_names())


class HostVariables(Mapping[str, RenderedVariables]):
    """``hostvars``: every host's variables, by host name."""

    def __init__(self, hosts: Mapping[str, InventoryHost], names_of: Callable[[InventoryHost], Names]) -> None:
        self._hosts = hosts
        self._names_of = names_of
        self._rendered: dict[str, RenderedVariables] = {}

    def __getitem__(self, name: str) -> RenderedVariables:
        if name not in self._rendered:
            self._rendered[name] = RenderedVariables(self._names_of(self._hosts[name]))
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)
