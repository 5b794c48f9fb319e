"""The inventory: Ansible's YAML format, read strictly, with variables, host patterns and secrets.

    inventory = load_inventory("inventories/prod.yml")
    for host in inventory.select("livekit:!lk3"):
        print(host.name, inventory.connection(host.name).address)

Loading reads files and nothing else; templates and secrets are looked into when someone asks for their value.
"""

from orchestr.inventory.closest import closest
from orchestr.inventory.document import read_document
from orchestr.inventory.export import graph, to_ansible_dict
from orchestr.inventory.load import load_inventory
from orchestr.inventory.marked import MarkedDict, MarkedList, UnsafeText, key_position, value_position
from orchestr.inventory.model import Group, Inventory, InventoryHost
from orchestr.inventory.position import Position
from orchestr.inventory.settings import ConnectionSettings
from orchestr.inventory.sources import VaultKey
from orchestr.templating.values import Scope, resolve

__all__ = [
    "ConnectionSettings",
    "Group",
    "Inventory",
    "InventoryHost",
    "MarkedDict",
    "MarkedList",
    "Position",
    "Scope",
    "UnsafeText",
    "VaultKey",
    "closest",
    "graph",
    "key_position",
    "load_inventory",
    "read_document",
    "resolve",
    "to_ansible_dict",
    "value_position",
]
