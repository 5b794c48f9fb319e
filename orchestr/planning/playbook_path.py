"""Which playbook a run carries out: the inventory names it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, input_error, kind
from orchestr.paths import is_file
from orchestr.planning.shipped import shipped_directory

if TYPE_CHECKING:
    from orchestr.inventory import Inventory

_NAME_IT = "give the path of a file, like playbooks/site.yml"


def playbook_path(inventory: Inventory) -> Path:
    """Return the playbook that the inventory names (``orchestr_playbook``, relative to the project), else site.yml.

    If the project does not have it, a playbook that ships with orchestr is used: ``playbooks/livekit.yml``.
    Raises InputError when hosts name different playbooks.
    """
    named = {_named_playbook(inventory, name): name for name in inventory.hosts}
    named.pop(None, None)
    if len(named) > 1:
        raise InputError(
            f"the hosts name different playbooks: {', '.join(sorted(str(name) for name in named))}",
            file=inventory.path,
            next_step="set orchestr_playbook once, under all: vars:, or choose with --playbook",
        )
    for name, host in named.items():
        path = inventory.root / str(name)
        shipped = _shipped_playbook(str(name))
        if not is_file(path) and shipped is None:
            raise no_playbook(path, inventory.position(host, "orchestr_playbook"), f"playbook not found: {name}")
        return path if shipped is None or is_file(path) else shipped
    path = inventory.root / "playbooks/site.yml"
    if not is_file(path):
        raise no_playbook(
            path, None, "playbook not found", "name one: orchestr_playbook in the inventory, or --playbook"
        )
    return path


def _shipped_playbook(name: str) -> Path | None:
    directory, _, file = name.partition("/")
    shipped = shipped_directory("playbooks") if directory == "playbooks" else None
    return shipped / file if shipped is not None and is_file(shipped / file) else None


def _named_playbook(inventory: Inventory, host: str) -> str | None:
    if "orchestr_playbook" not in inventory.host(host).variables:
        return None
    value = inventory.scope(host).value("orchestr_playbook")
    if not isinstance(value, str) or not value:
        position = inventory.position(host, "orchestr_playbook")
        raise input_error(
            position, f"orchestr_playbook is the path of a playbook, found {kind(value)}", next_step=_NAME_IT
        )
    return value


def no_playbook(path: Path, position: Position | None, message: str, step: str = _NAME_IT) -> InputError:
    """Return (not raise) the error for a path that is no playbook; it lists the playbooks in that directory."""
    directory = path if path.is_dir() else path.parent
    near = [os.path.relpath(file) for file in sorted(directory.glob("*.yml"))]
    if near:
        step = f"playbooks there: {', '.join(near)}"
    position = position or Position(str(path))
    return position.error(message, suggestion=closest(os.path.relpath(path), near), next_step=step)
