"""Values that YAML reads as numbers, booleans or dates where a text is meant: refused when they are not as written."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from orchestr.inventory.marked import value_position, value_text
from orchestr.inventory.position import Position, input_error, kind, shown


def check_texts(value: Any, position: Position | None = None, written: str | None = None) -> None:
    """Raise InputError where a scalar in ``value`` would become another text than the written one.

    ``80`` and ``true`` stay as they are; ``1.10`` would become 1.1, ``0022`` 18, ``NO`` false.
    """
    if isinstance(value, (Mapping, list)):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            check_texts(item, value_position(value, key) or position, value_text(value, key))
    elif written is not None and (written != _text(value) or isinstance(value, datetime.date)):
        message = f"a text is expected, and YAML reads {shown(written)[1:-1]} as {kind(value)}: {_text(value)}"
        if not written:
            message = "a text is expected, and nothing is written"
        raise input_error(position, message, next_step=f"put quotes around it: '{shown(written)[1:-1]}'")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
