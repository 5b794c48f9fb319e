"""The items that a function of a role yields, checked one by one: resources and tasks, never anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource, Task
from orchestr.field_types import check_fields
from orchestr.planning.role_lines import ROLES, RoleError, RoleLine, role_line_of

if TYPE_CHECKING:
    from orchestr.planning.host import Host
    from orchestr.planning.role import Role

Function = Callable[..., Iterable[Any]]

_RECORDS: set[type] = set()  # classes of resources whose records are checked when they are made


def checked_items(function: Function, host: Host, params: Any) -> Iterator[Any]:
    """Yield the resources and tasks of a role's function; fields of dataclasses are checked, as those of records are.

    Raises RoleError for a function that cannot be called or yields anything else; ValueError for a value that a
    resource refuses; any exception of the function.
    """
    items = _call(function, host.role, host, params)
    try:
        for item in items:
            resource = item.resource if isinstance(item, Task) else item
            if type(resource) not in _RECORDS:
                _check(resource, host.role, items, function)
            yield item
    except SystemExit as error:
        raise _end_of_program(error, host.role) from error


def _call(function: Function, role: Role, host: Host, params: Any) -> Iterable[Any]:
    name = getattr(function, "__name__", "the function")
    if not callable(function):
        message = f"the role {role.name} has {_kind(function)} in place of a function"
        raise _error(role, function, message, "def deploy(host, params):")
    try:
        items = function(host, params)
    except TypeError as error:
        if role_line_of(error) is not None or not _is_of_role(function):
            raise
        raise _error(role, function, f"{name}() takes host and params: {error}", f"def {name}(host, params):") from None
    except SystemExit as error:
        raise _end_of_program(error, role) from error
    if not isinstance(items, Iterable):
        message = f"{name}() returned {_kind(items)}, expected resources"
        raise _error(role, function, message, "yield each resource")
    return items


def _check(resource: Any, role: Role, items: Iterable[Any], function: Function) -> None:
    if not isinstance(resource, Resource):
        message = f"the role {role.name} yielded {_kind(resource)}, expected a resource or a Task"
        step = "yield a resource of orchestr.resources, or a Task with one"
        raise _error(role, function, message, step, items)
    if not resource.kind:
        name = type(resource).__name__
        message, step = f"{name} is not registered", f'put @registered("{role.kind}_{name.lower()}") above its class'
        raise _error(role, function, message, step, items)
    if "__record_fields__" in vars(type(resource)):
        _RECORDS.add(type(resource))
    else:
        check_fields(resource)  # a dataclass: records did it when they were made


def _error(role: Role, function: Function, message: str, step: str, items: Iterable[Any] = ()) -> RoleError:
    """Return the error at the line that a generator yielded from, else at the function's first line."""
    frame, code = getattr(items, "gi_frame", None), getattr(function, "__code__", None)
    number = frame.f_lineno if frame is not None else getattr(code, "co_firstlineno", None)
    file = getattr(code, "co_filename", None) if _is_of_role(function) else None
    line = RoleLine.at(file or str(role.path / "__init__.py"), number if file else None)
    return RoleError(message, line, step)


def _end_of_program(error: SystemExit, role: Role) -> RoleError:
    line = role_line_of(error) or RoleLine.at(str(role.path / "__init__.py"))
    return RoleError("the role ends the program (sys.exit)", line, "raise orchestr.InputError to refuse a parameter")


def _is_of_role(function: Function) -> bool:
    return str(getattr(function, "__module__", "")).startswith(ROLES)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0] in "aeiou" else f"a {name}"
