"""``orchestr doc``: the parameters of roles, the attributes of resources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes
from orchestr.errors import InputError

if TYPE_CHECKING:
    from orchestr.planning.reference import Entry


@click.command("doc")
@takes("output")
@click.argument("name", required=False, metavar="[ROLE|RESOURCE]")
@click.option(
    "--project", default=".", metavar="DIRECTORY", help="Project whose roles/ to search before the shipped roles."
)
def command(call: Invocation, name: str | None, project: str) -> int:
    """Describe roles and resources.

    Shows a role's parameters or a resource's attributes. Without a name, lists all roles and resources.
    """
    from orchestr.planning.reference import resource_entries, role_entries

    entries = {"role": role_entries(Path(project).resolve()), "resource": resource_entries()}
    if name is not None:
        matches = [entry for kind in entries.values() for entry in kind if name in (entry.name, entry.alias)]
        if not matches:
            raise _unknown(name, [entry.name for kind in entries.values() for entry in kind])
        entries = {kind: [entry for entry in members if entry in matches] for kind, members in entries.items()}
    if call.as_json:
        shown = {f"{kind}s": [entry.to_json() for entry in members] for kind, members in entries.items()}
        call.print_json({"version": 1, "verb": "doc", "exit": 0, **shown})
    elif name is None:
        _list(entries)
    else:
        for entry in (*entries["role"], *entries["resource"]):
            _describe(entry)
    return 0


def _unknown(name: str, known: list[str]) -> InputError:
    from orchestr.inventory.closest import closest

    step = "orchestr doc lists the roles and resources"
    return InputError(f"there is no role or resource {name!r}", suggestion=closest(name, known), next_step=step)


def _list(entries: dict[str, list[Entry]]) -> None:
    for kind, members in entries.items():
        print(f"{kind}s")
        width = max((len(entry.name) for entry in members), default=0)
        for entry in members:
            print(f"  {entry.name.ljust(width)}  {entry.summary}".rstrip())


def _describe(entry: Entry) -> None:
    print(f"{entry.name} ({entry.kind}, {entry.place})\n")
    print(entry.text + "\n")
    for field in entry.fields:
        print(f"  {field.name}: {field.type}" + ("  (required)" if field.default is None else f" = {field.default}"))
        for line in field.description.splitlines():
            print(f"      {line}")
    if not entry.fields:
        print("  It takes no parameters.")
