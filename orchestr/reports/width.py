"""How many columns of a terminal a text takes: Chinese takes two per character, combining marks none."""

from __future__ import annotations

import unicodedata


def cells(text: str) -> int:
    """Return the number of columns.

    >>> cells("lab1"), cells("网关"), cells("é")
    (4, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def padded(text: str, width: int) -> str:
    """Return ``text`` with spaces up to ``width`` columns.

    >>> padded("网关", 6) + "|"
    '网关  |'
    """
    return text + " " * max(0, width - cells(text))
