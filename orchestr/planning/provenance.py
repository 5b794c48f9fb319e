"""From a value that a resource refuses back to the place in the inventory where it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestr.agent.record import fields
from orchestr.errors import InputError
from orchestr.field_types import FieldTypeError, name_of
from orchestr.inventory.marked import key_position, value_position
from orchestr.inventory.position import Position, input_error
from orchestr.planning.role_lines import role_line_of
from orchestr.secret import Secret
from orchestr.templating.values import Scope


def input_error_of(error: ValueError, scope: Scope, host: str, role: str) -> InputError | None:
    """Return the error at the variable that a refused resource got its value from, else at the role's line.

    The role's own variables are searched first, as they are rendered, then the others, as they are written. None for an
    error that no resource raised.
    """
    suspects = list(_suspects(error))
    names = sorted(map(str, scope.written_names()), key=lambda name: not name.startswith(f"{role}_"))
    for name in names if suspects else ():
        is_own = name.startswith(f"{role}_")
        value = scope.value(name) if is_own else scope.written(name)
        for position in _positions(scope.written(name), value, scope.position(name), suspects):
            step = f"correct {name}" + (f"; orchestr doc {role} describes the role's parameters" if is_own else "")
            return input_error(position, f"{host}: {name}: {error}", next_step=step)
    return _error_of_role(error)


def _error_of_role(error: ValueError) -> InputError | None:
    """Return the error at the line of the role's code that makes the resource."""
    resource = getattr(error, "record", None)
    if resource is None and not isinstance(error, FieldTypeError):
        return None
    line = role_line_of(error)
    if line is None:
        return None
    name = f"{name_of(resource)}: " if resource is not None else ""
    return InputError(f"{name}{error}", file=line.file, line=line.line, next_step=f"fix the error in {line}")


def _suspects(error: ValueError) -> Iterator[Any]:
    """Yield the values that may be the refused one: the given one, else those of the resource that the message has."""
    if isinstance(error, FieldTypeError):
        yield error.value
        return
    resource = getattr(error, "record", None)
    for field in fields(resource) if resource is not None else ():
        value = getattr(resource, field.name)
        if value is not field.default:
            yield from (item for item in _scalars(value) if item != "" and str(item) in str(error))


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _scalars(item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield value


def _positions(
    written: Any, value: Any, position: Position | None, suspects: Iterable[Any]
) -> Iterator[Position | None]:
    """Yield the positions in a variable at which a suspect stands, as a key too; ``written`` knows positions."""
    if any(_is_same(value, suspect) for suspect in suspects):
        yield position
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    for key, item in pairs:
        if isinstance(value, Mapping) and any(_is_same(key, suspect) for suspect in suspects):
            yield key_position(written, key) or position
        inner = written[key] if value_position(written, key) else None
        yield from _positions(inner, item, value_position(written, key) or position, suspects)


def _is_same(value: Any, suspect: Any) -> bool:
    """Return True for equal values; a parameter's type may have made a text of a number, or a tuple of a list."""
    if isinstance(value, (list, tuple)) and isinstance(suspect, (list, tuple)):
        return list(value) == list(suspect)
    if isinstance(value, Secret) or isinstance(suspect, Secret) or isinstance(value, Mapping):
        return bool(type(value) is type(suspect) and value == suspect)
    return (value is None) == (suspect is None) and str(value) == str(suspect)
