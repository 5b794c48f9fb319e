"""``group_vars/`` and ``host_vars/`` beside an inventory: the files of a name, and their variables.

As Ansible: ``NAME`` without extension wins (a directory of files, or one file), else ``NAME.yml``, ``.yaml`` or
``.json``; in a directory every such file counts, in name order, the later over the earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestr.inventory.closest import closest
from orchestr.inventory.document import read_document
from orchestr.inventory.draft import Draft
from orchestr.inventory.marked import MarkedDict, sourced
from orchestr.inventory.position import Position, Sourced, kind
from orchestr.inventory.sources import VaultKey
from orchestr.inventory.variable_names import check_variable
from orchestr.paths import unreadable

EXTENSIONS = (".yml", ".yaml", ".json")


class VarsDirectory:
    """One ``group_vars`` or ``host_vars`` directory; each file in it is read at most once."""

    def __init__(self, directory: Path, draft: Draft, key: VaultKey) -> None:
        self._directory = directory
        self._draft = draft
        self._key = key
        self._entries = _names_in(directory)
        self._names = set(self._entries)

    def variables(self, name: str) -> dict[str, Sourced]:
        """Return the merged variables of the files of ``name``; empty without a file."""
        merged: dict[str, Sourced] = {}
        for path in self._files(name):
            merged.update(self._read(path))
        return merged

    def warn_of_strangers(self, known: Iterable[str]) -> None:
        """Warn of entries whose name is not in the inventory: they are not read."""
        names = set(known)
        for entry in self._entries:
            name = next((entry.removesuffix(extension) for extension in EXTENSIONS if entry.endswith(extension)), entry)
            if name in names or _is_ignored(entry) or ("." in name and not self._is_directory(entry)):
                continue
            meant = closest(name, names)
            hint = f"; did you mean {meant!r}?" if meant else ""
            entry_position = Position(str(self._directory / entry))
            self._draft.warn(entry_position, f"nothing in the inventory is called {name!r}{hint}")

    def _is_directory(self, entry: str) -> bool:
        return (self._directory / entry).is_dir()

    def _files(self, name: str) -> Iterator[Path]:
        if "/" in name:
            return
        for candidate in (name, *(f"{name}{extension}" for extension in EXTENSIONS)):
            if candidate in self._names:
                path = self._directory / candidate
                yield from _files_below(path) if path.is_dir() else (path,)
                return

    def _read(self, path: Path) -> dict[str, Sourced]:
        document = read_document(path, self._key)
        if not document and not isinstance(document, list):
            return {}
        if not isinstance(document, MarkedDict):
            position = getattr(document, "position", Position(str(path), 1, 1))
            raise position.error(
                f"expected a mapping of variables, found {kind(document)}", next_step="write each as NAME: value"
            )
        for name, value in document.items():
            if name == "ansible_group_priority":
                self._draft.warn(
                    document.keys_at[name], f"{name} has no effect here, only under 'vars:' in the inventory"
                )
            check_variable(self._draft, name, value, document)
        return sourced(document)


def _names_in(directory: Path) -> list[str]:
    """Return a directory's entries in name order, none when there is no such directory. Raises InputError."""
    try:
        return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
    except OSError as problem:
        raise unreadable(directory, problem) from None


def _files_below(directory: Path) -> Iterator[Path]:
    for name in _names_in(directory):
        path = directory / name
        if _is_ignored(name):
            continue
        if path.is_dir():
            if not path.suffix:
                yield from _files_below(path)
        elif path.suffix in ("", *EXTENSIONS):
            yield path


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.endswith("~")
