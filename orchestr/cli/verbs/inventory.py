"""``orchestr inventory``: hosts, groups and variables, as ``ansible-inventory`` shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes
from orchestr.errors import InputError

if TYPE_CHECKING:
    from orchestr.inventory import Inventory


@click.command("inventory")
@takes("inventory", "variables", "output")
@click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts (not with --graph or --json).")
@click.option("--graph", is_flag=True, help="Show the tree of groups and hosts.")
@click.option("--host", metavar="NAME", help="Show one host's variables as JSON.")
def command(call: Invocation, graph: bool, host: str | None) -> int:
    """List hosts, groups and variables.

    --json prints the format of ansible-inventory --list, --host NAME the variables of one host.
    """
    if graph and (host or call.as_json):
        raise InputError("--graph goes with neither --host nor --json", next_step="leave one of them out")
    inventory = call.load()
    if host is not None or call.as_json:
        from orchestr.inventory.export import check_numbers

        check_numbers(inventory)
    if host is not None:
        print(json.dumps(_variables(inventory, host), indent=4, ensure_ascii=False))
    elif graph:
        from orchestr.inventory.export import graph as tree

        print(tree(inventory))
    elif call.as_json:
        from orchestr.inventory.export import to_ansible_dict

        call.print_json(to_ansible_dict(inventory))
    else:
        _list(inventory, call.limit)
    return 0


def _variables(inventory: Inventory, host: str) -> Any:
    from orchestr.inventory.export import to_ansible_dict

    inventory.host(host)
    return to_ansible_dict(inventory)["_meta"]["hostvars"].get(host, {})


def _list(inventory: Inventory, limit: str | None) -> None:
    from orchestr.reports.width import cells, padded

    rows = [("host", "address", "groups")]
    for host in inventory.select("all", limit):
        settings = inventory.connection(host.name)
        address = settings.address + (f":{settings.port}" if settings.port else "")
        rows.append((host.name, address, ", ".join(host.groups)))
    widths = [max(cells(row[column]) for row in rows) for column in range(2)]
    for name, address, groups in rows:
        print(f"{padded(name, widths[0])}  {padded(address, widths[1])}  {groups}".rstrip())
