"""The names every template has without anyone writing them: ``inventory_hostname``, ``groups``, ``hostvars``, …"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestr.inventory.model import Inventory, InventoryHost
from orchestr.templating.secret_views import seen

if TYPE_CHECKING:
    from orchestr.templating.values import Scope

_OF_THE_HOST: dict[str, Callable[[InventoryHost], Any]] = {
    "inventory_hostname": lambda host: host.name,
    "inventory_hostname_short": lambda host: host.short_name,
    "inventory_file": lambda host: str(host.file.absolute()),
    "inventory_dir": lambda host: str(host.file.absolute().parent),
    "group_names": lambda host: list(host.groups),
}
MAGIC = (*_OF_THE_HOST, "groups", "hostvars")


class Magic:
    """The magic values of all hosts of one inventory; the scopes made through ``hostvars`` share it."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._groups = GroupMembers(inventory)
        self._host_variables = HostVariables(self)

    def value(self, name: str, host: InventoryHost) -> Any:
        """Return the magic value ``name`` as ``host`` sees it."""
        if name == "groups":
            return self._groups
        return self._host_variables if name == "hostvars" else _OF_THE_HOST[name](host)


class GroupMembers(Mapping[str, list[str]]):
    """``groups``: the names of each group's hosts, its children's included."""

    def __init__(self, inventory: Inventory) -> None:
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
    """A host's variables, each rendered when it is looked at; going through the names renders nothing."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        if name not in self._scope:
            raise KeyError(name)
        return seen(self._scope.value(name))

    def __contains__(self, name: object) -> bool:
        return name in self._scope

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.written_names())

    def __len__(self) -> int:
        return len(self._scope.written_names())


class HostVariables(Mapping[str, RenderedVariables]):
    """``hostvars``: every host's variables, by host name."""

    def __init__(self, magic: Magic) -> None:
        self._magic = magic
        self._hosts = magic.inventory.hosts
        self._rendered: dict[str, RenderedVariables] = {}

    def __getitem__(self, name: str) -> RenderedVariables:
        from orchestr.templating.values import Scope

        if name not in self._rendered:
            scope = Scope(self._magic.inventory, self._hosts[name], magic=self._magic)
            self._rendered[name] = RenderedVariables(scope)
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)
