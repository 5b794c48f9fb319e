"""Containers and texts read from YAML that know their position and their written form.

To other code they are ordinary ``dict``, ``list`` and ``str``.
"""

from __future__ import annotations

from typing import Any

from orchestr.inventory.position import Position, Sourced


class MarkedDict(dict[Any, Any]):
    """A mapping with its position and that of each key and value.

    ``keys_written`` and ``written`` have the text of the keys and values that are not texts: ``NO`` of False.
    """

    __slots__ = ("keys_at", "keys_written", "position", "values_at", "written")

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position
        self.keys_at: dict[Any, Position] = {}
        self.values_at: dict[Any, Position] = {}
        self.keys_written: dict[Any, str] = {}
        self.written: dict[Any, str] = {}

    def put(self, key: Any, value: Any, key_at: Position, value_at: Position) -> None:
        """Set ``key``; an earlier value and its position are replaced."""
        self[key] = value
        self.keys_at[key] = key_at
        self.values_at[key] = value_at
        self.written.pop(key, None)


class MarkedList(list[Any]):
    """A list with its position and that of each item, and the text of items that are not texts."""

    __slots__ = ("items_at", "position", "written")

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position
        self.items_at: list[Position] = []
        self.written: dict[int, str] = {}


class UnsafeText(str):
    """A text written as ``!unsafe``: never read as a template, whatever braces it has."""

    __slots__ = ()


def value_position(container: object, key: Any) -> Position | None:
    """Return the position of the value under ``key`` (or index), None when it is unknown."""
    if isinstance(container, MarkedDict):
        return container.values_at.get(key)
    if isinstance(container, MarkedList) and isinstance(key, int) and key < len(container.items_at):
        return container.items_at[key]
    return None


def value_text(container: object, key: Any) -> str | None:
    """Return the text a number, boolean or date was written as, None for other values."""
    return container.written.get(key) if isinstance(container, (MarkedDict, MarkedList)) else None


def sourced(variables: MarkedDict) -> dict[str, Sourced]:
    """Return variables with the position and the text of each."""
    return {
        name: Sourced(value, variables.values_at[name], variables.written.get(name))
        for name, value in variables.items()
    }


def key_position(container: object, key: Any) -> Position | None:
    """Return the position of ``key`` itself, None when it is unknown."""
    return container.keys_at.get(key) if isinstance(container, MarkedDict) else None


class _Omit:
    """The type of OMIT."""

    def __repr__(self) -> str:
        return "omit"


#: ``omit`` of a template: a mapping's key or a list's item of this value is left out, a variable counts as not written.
OMIT = _Omit()
