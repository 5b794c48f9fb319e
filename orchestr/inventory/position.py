"""Positions of values in files, and errors at them."""

from __future__ import annotations

from typing import Any, NamedTuple

from orchestr.errors import InputError


class Position(NamedTuple):
    """A place in a file; ``line`` and ``column`` count from 1 and are None where there is no line to name."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part is not None)

    def error(self, message: str, *, suggestion: str | None = None, next_step: str = "") -> InputError:
        """Return (not raise) the InputError for ``message`` at this position."""
        return InputError(
            message,
            file=self.file,
            line=self.line,
            column=self.column,
            suggestion=suggestion,
            next_step=next_step,
        )


EXTRA_VARIABLES = Position("--extra-vars")


class Sourced(NamedTuple):
    """A variable's value, the place it was written at, and its text there if it was read as something else."""

    value: Any
    position: Position
    text: str | None = None


def input_error(
    position: Position | None, message: str, *, suggestion: str | None = None, next_step: str = ""
) -> InputError:
    """Return the InputError for ``message``, placed at ``position`` when that is known."""
    if position is None:
        return InputError(message, suggestion=suggestion, next_step=next_step)
    return position.error(message, suggestion=suggestion, next_step=next_step)


SHOWN = 60  # characters of a found value that help to recognise it


def shown(value: object) -> str:
    """Return a value as errors quote it, a long one cut short.

    >>> shown("ssh"), shown(True)
    ("'ssh'", 'True')
    >>> len(shown("9" * 5000))
    60
    """
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def kind(value: object) -> str:
    """Return the plain name of the type of a value read from YAML, for "expected …, found …".

    >>> kind({}), kind([]), kind("x"), kind(None), kind(True), kind(3)
    ('a mapping', 'a list', 'text', 'nothing', 'a boolean', 'a number')
    """
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (dict, "a mapping"),
        (list, "a list"),
        (str, "text"),
        (bool, "a boolean"),
        ((int, float), "a number"),
    )
    if value is None:
        return "nothing"
    return next((name for types, name in names if isinstance(value, types)), f"a {type(value).__name__}")
