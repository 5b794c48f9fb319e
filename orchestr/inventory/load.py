"""Load an inventory: read its files, derive the groups, merge every host's variables by Ansible's precedence.

The weakest first: ``vars`` of ``all``; ``vars`` of the other groups by depth, priority and name; ``group_vars/all``;
the other ``group_vars`` in that same order; the host's own variables; ``host_vars``; extra variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.draft import ALL, Draft, HostDraft
from orchestr.inventory.marked import value_text
from orchestr.inventory.model import Inventory
from orchestr.inventory.parse import parse_file
from orchestr.inventory.position import EXTRA_VARIABLES as EXTRA_VARIABLES
from orchestr.inventory.position import Position, Sourced
from orchestr.inventory.sources import VaultKey
from orchestr.inventory.topology import Group, InventoryHost
from orchestr.inventory.tree import GroupTree
from orchestr.inventory.vars_files import EXTENSIONS, VarsDirectory
from orchestr.inventory.yaml_errors import ini_error, looks_like_ini
from orchestr.paths import unreadable

_IGNORED = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$|~$"
)
_PROJECT_MARKS = ("playbooks", "roles")


def load_inventory(
    path: str | Path,
    *,
    extra_vars: Mapping[str, Any] | None = None,
    vault_password: Callable[[], str] | VaultKey | None = None,
) -> Inventory:
    """Return the inventory of an Ansible YAML file or of a directory of them, with the ``group_vars`` beside it.

    ``extra_vars`` win over every other variable. ``vault_password`` is called at most once, when the first encrypted
    value is used; a `VaultKey` can hold several. Without it the environment is asked: ORCHESTR_VAULT_PASSWORD,
    ORCHESTR_VAULT_PASSWORD_FILE, ANSIBLE_VAULT_PASSWORD_FILE, ANSIBLE_VAULT_IDENTITY_LIST.
    Raises InputError, at file, line and column, for each mistake.
    """
    if not str(path):
        raise InputError("the inventory's path is empty", next_step="name a file, like inventories/prod.yml")
    path = Path(path)
    draft = Draft()
    key = vault_password if isinstance(vault_password, VaultKey) else VaultKey(vault_password)
    for file in _files_of(path, draft):
        parse_file(file, draft, key)
    tree = GroupTree(draft)
    merge = _Merge(draft, tree, path if path.is_dir() else path.parent, key, extra_vars or {})
    hosts = {name: merge.host(host) for name, host in draft.hosts.items()}
    groups = {name: merge.group(name) for name in draft.groups}
    merge.warn_of_strangers()
    return Inventory(
        path,
        project_root(path),
        MappingProxyType(hosts),
        MappingProxyType(groups),
        tuple(dict.fromkeys(draft.warnings)),
        key.generated,
    )


def project_root(path: Path) -> Path:
    """Return the nearest directory at or above the inventory that has ``playbooks/`` or ``roles/``, else its own."""
    start = (path if path.is_dir() else path.parent).resolve()
    for directory in (start, *start.parents):
        if any(os.path.isdir(directory / mark) for mark in _PROJECT_MARKS):  # noqa: PTH112 - forbidden is no error
            return directory
    return start


def _check_exists(path: Path) -> None:
    if path.exists():
        return
    near = [str(file) for file in _nearby(path)]
    step = f"inventories found: {', '.join(near)}" if near else "inventories/prod.yml is a commented example"
    raise InputError("no such inventory file", file=path, suggestion=closest(str(path), near), next_step=step)


def _nearby(path: Path) -> list[Path]:
    """Return the YAML files near ``path``, else those below inventories/, to suggest one."""
    here = [path.parent] if path.parent.is_dir() else []
    for directory in (*here, Path("inventories")):
        files = (
            sorted(file for file in directory.rglob("*.y*ml") if "_vars" not in str(file))
            if _is_small(directory)
            else []
        )
        if files:
            return files[:10]
    return []


def _is_small(directory: Path) -> bool:
    """Looking below a home directory or the root would take for ever; an inventory directory holds few entries."""
    return directory.is_dir() and directory.name in ("inventories", "inventory", "lab", "hosts")


def _files_of(path: Path, draft: Draft) -> list[Path]:
    """Return the inventory files of ``path``. Raises InputError when there are none, or they can't be looked at."""
    try:
        _check_exists(path)
        files = list(_inventory_files(path, draft))
    except OSError as problem:
        raise unreadable(problem.filename or path, problem) from None
    if not files:
        ini = next((file for file in sorted(path.iterdir()) if file.is_file() and _is_ini(file)), None)
        if ini is not None:
            raise ini_error(str(ini))
        step = "inventories/prod.yml is a commented example; group_vars/ and host_vars/ go beside such a file"
        raise InputError("this directory has no inventory files (.yml, .yaml, .json)", file=path, next_step=step)
    return files


def _is_ini(file: Path) -> bool:
    return file.suffix in ("", ".ini", ".cfg") and looks_like_ini(file.read_text(encoding="utf-8", errors="replace"))


def _inventory_files(path: Path, draft: Draft) -> Iterator[Path]:
    """Yield the inventory files of ``path``: itself, or a directory's in name order, subdirectories included.

    As in Ansible, a subdirectory without any is only worth a warning.
    """
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir(), key=lambda child: child.name):
        if _IGNORED.search(entry.name):
            continue
        if entry.is_file() and entry.suffix not in ("", *EXTENSIONS):
            draft.warn(Position(str(entry)), "skipped: orchestr reads .yml, .yaml and .json inventories")
            continue
        files = list(_inventory_files(entry, draft))
        if not files:
            draft.warn(Position(str(entry)), "skipped: this directory has no inventory files (.yml, .yaml, .json)")
        yield from files


class _Merge:
    """The variables of each host; hosts of the same groups share their groups' variables."""

    def __init__(
        self, draft: Draft, tree: GroupTree, directory: Path, key: VaultKey, extra_vars: Mapping[str, Any]
    ) -> None:
        self._draft = draft
        self._tree = tree
        self._group_vars = VarsDirectory(directory / "group_vars", draft, key)
        self._host_vars = VarsDirectory(directory / "host_vars", draft, key)
        extra = extra_vars.items()
        self._extra = {name: Sourced(value, EXTRA_VARIABLES, value_text(extra_vars, name)) for name, value in extra}
        self._group_files = {name: self._group_vars.variables(name) for name in draft.groups}
        self._shared: dict[tuple[str, ...], tuple[tuple[str, ...], _Layer]] = {}

    def host(self, draft: HostDraft) -> InventoryHost:
        names, layer = self._from_groups(tuple(draft.groups))
        own = {**draft.variables, **self._host_vars.variables(draft.name), **self._extra}
        if own:
            layer = _Layer({**layer.sourced, **own})
        return InventoryHost(draft.name, names, layer.values, layer.origins, draft.file, layer.texts)

    def group(self, name: str) -> Group:
        draft = self._draft.groups[name]
        layer = _Layer({**draft.variables, **self._group_files[name]})
        return Group(name, tuple(draft.children), tuple(draft.hosts), layer.values, draft.priority)

    def warn_of_strangers(self) -> None:
        self._group_vars.warn_of_strangers(self._draft.groups)
        self._host_vars.warn_of_strangers(self._draft.hosts)

    def _from_groups(self, direct: tuple[str, ...]) -> tuple[tuple[str, ...], _Layer]:
        if direct not in self._shared:
            groups = self._tree.membership(direct) | {ALL}
            order = self._tree.merge_order(groups)
            merged: dict[str, Sourced] = {}
            for source in (self._inline, self._group_files.__getitem__):
                for name in (ALL, *order):
                    merged.update(source(name))
            self._shared[direct] = (tuple(sorted(order)), _Layer(merged))
        return self._shared[direct]

    def _inline(self, group: str) -> dict[str, Sourced]:
        return self._draft.groups[group].variables


class _Layer:
    """Merged variables, split into values, positions and texts."""

    def __init__(self, sourced: dict[str, Sourced]) -> None:
        self.sourced = sourced
        self.values: Mapping[str, Any] = MappingProxyType({name: variable.value for name, variable in sourced.items()})
        self.origins: Mapping[str, Position] = MappingProxyType(
            {name: variable.position for name, variable in sourced.items()}
        )
        self.texts = {name: variable.text for name, variable in sourced.items() if variable.text is not None}
