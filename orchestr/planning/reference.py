"""Reference of roles and resources as values: ``orchestr doc`` and docs/reference are made from it."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from orchestr.agent import record
from orchestr.agent.resource import Resource, kinds
from orchestr.planning.role import Params, Role, load_role, role_names


@dataclass(frozen=True)
class Field:
    """A parameter or an attribute; ``default`` is None for a required one."""

    name: str
    type: str
    default: str | None
    description: str = ""


@dataclass(frozen=True)
class Entry:
    """A role or a resource. ``name`` is its name in files; ``alias`` another name for it; ``place`` its source."""

    kind: str
    name: str
    alias: str
    place: str
    text: str
    fields: tuple[Field, ...]

    @property
    def summary(self) -> str:
        return self.text.partition("\n")[0]

    def to_json(self) -> dict[str, Any]:
        shown = [dataclasses.asdict(field) for field in self.fields]
        return {"name": self.name, "summary": self.summary, "text": self.text, "fields": shown}


def role_entries(root: Path) -> list[Entry]:
    """Return the roles available to the project at ``root``. Raises InputError for a role that cannot be loaded."""
    return [_role_entry(load_role(name, root)) for name in role_names(root)]


def _role_entry(role: Role) -> Entry:
    fields = tuple(_parameter(role.name, name, info) for name, info in role.params_class.model_fields.items())
    text = inspect.cleandoc(role.module.__doc__ or "")
    return Entry("role", role.name, role.name, str(role.path), text, fields)


def _parameter(role: str, name: str, info: Any) -> Field:
    if info.is_required():
        default = None
    elif info.default_factory is not None:
        default = _shown(info.default_factory())
    else:
        default = _shown(info.default)
    return Field(f"{role}_{name}", _type_name(info), default, inspect.cleandoc(info.description or ""))


def _type_name(info: Any) -> str:
    name = type_name(info.annotation)
    limits = [text for constraint in info.metadata for text in _limits(constraint)]
    return f"{name} ({', '.join(limits)})" if limits else name


def _limits(constraint: Any) -> Iterator[str]:
    """Yield the limits of a pydantic constraint in words."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    words |= {"min_length": "length at least", "max_length": "length at most", "pattern": "matches"}
    for name, word in words.items():
        value = getattr(constraint, name, None)
        if value is not None:
            yield f"{word} {value}"


def type_name(annotation: Any) -> str:
    """Return a type in the notation of annotations.

    >>> type_name(int), type_name(typing.Union[None, str, int]), type_name(tuple[int, ...]), type_name(list[str])
    ('int', 'int | str | None', 'tuple[int, ...]', 'list[str]')
    """
    if annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(repr(value) for value in inner)
    if origin is typing.Annotated:
        return type_name(inner[0])
    if origin is not None and str(origin) in ("typing.Union", "<class 'types.UnionType'>"):
        # typing gives two unions of the same types one order, that of whichever was written first.
        return " | ".join(sorted(map(type_name, inner), key=lambda name: (name == "None", name)))
    name = getattr(origin or annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(type_name(member) for member in inner)}]" if inner else name


def _shown(value: Any) -> str:
    if isinstance(value, Params):
        return "{…}"
    return repr(value)


def resource_entries() -> list[Entry]:
    """Return every resource type of ``orchestr/resources`` and of the roles loaded so far, sorted by name."""
    import orchestr.resources as package

    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
    # The modules of a role that another one replaced are no longer in sys.modules.
    loaded = {kind: cls for kind, cls in kinds().items() if cls.__module__ in sys.modules}
    entries = [_resource_entry(kind, cls) for kind, cls in loaded.items() if issubclass(cls, Resource)]
    return sorted(entries, key=lambda entry: entry.name)


def _resource_entry(kind: str, cls: type) -> Entry:
    names = {**vars(typing), **vars(sys.modules[cls.__module__])}  # resources import typing for type checkers only
    hints = typing.get_type_hints(cls, localns=names)
    fields = tuple(_attribute(field, hints[field.name]) for field in record.fields(cls))
    return Entry("resource", cls.__name__, kind, cls.__module__, inspect.cleandoc(cls.__doc__ or ""), fields)


def _attribute(field: record.Field, hint: Any) -> Field:
    if field.default is record.MISSING:
        default = None
    else:
        default = f"0o{field.default:o}" if _is_mode(field) else repr(field.default)
    return Field(field.name, type_name(hint), default)


def _is_mode(field: record.Field) -> bool:
    return field.name.endswith("mode") and isinstance(field.default, int)
