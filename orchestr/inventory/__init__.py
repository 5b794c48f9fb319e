"""The inventory: Ansible's YAML format, read strictly, with variables, host patterns and secrets.

    inventory = load_inventory("inventories/prod.yml")
    for host in inventory.select("livekit:!lk3"):
        print(host.name, inventory.connection(host.name).address)

Loading reads files only; templates are rendered and secrets fetched when their value is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestr.inventory.closest import closest as closest
    from orchestr.inventory.document import read_document as read_document
    from orchestr.inventory.export import graph as graph
    from orchestr.inventory.export import to_ansible_dict as to_ansible_dict
    from orchestr.inventory.load import load_inventory as load_inventory
    from orchestr.inventory.marked import MarkedDict as MarkedDict
    from orchestr.inventory.marked import MarkedList as MarkedList
    from orchestr.inventory.marked import UnsafeText as UnsafeText
    from orchestr.inventory.marked import key_position as key_position
    from orchestr.inventory.marked import value_position as value_position
    from orchestr.inventory.model import Inventory as Inventory
    from orchestr.inventory.position import Position as Position
    from orchestr.inventory.settings import ConnectionSettings as ConnectionSettings
    from orchestr.inventory.sources import VaultKey as VaultKey
    from orchestr.inventory.topology import Group as Group
    from orchestr.inventory.topology import InventoryHost as InventoryHost
    from orchestr.templating.values import Scope as Scope
    from orchestr.templating.values import resolve as resolve

# Names are imported when first used: a module that needs `closest` or `Position` alone does not load everything.
_HOMES = {
    "ConnectionSettings": "orchestr.inventory.settings",
    "Group": "orchestr.inventory.topology",
    "Inventory": "orchestr.inventory.model",
    "InventoryHost": "orchestr.inventory.topology",
    "MarkedDict": "orchestr.inventory.marked",
    "MarkedList": "orchestr.inventory.marked",
    "Position": "orchestr.inventory.position",
    "Scope": "orchestr.templating.values",
    "UnsafeText": "orchestr.inventory.marked",
    "VaultKey": "orchestr.inventory.sources",
    "closest": "orchestr.inventory.closest",
    "graph": "orchestr.inventory.export",
    "key_position": "orchestr.inventory.marked",
    "load_inventory": "orchestr.inventory.load",
    "read_document": "orchestr.inventory.document",
    "resolve": "orchestr.templating.values",
    "to_ansible_dict": "orchestr.inventory.export",
    "value_position": "orchestr.inventory.marked",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orchestr.inventory' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
