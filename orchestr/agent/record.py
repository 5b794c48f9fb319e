"""Records: frozen values with named fields, made the same way on the controller and on hosts.

``dataclasses`` and ``typing`` take a host's python longer to import than most tasks take, so nothing that travels may
need them. ``@record`` gives a class a constructor by position or keyword, defaults, equality, hash and a text. Type
checkers know it as a dataclass. ``dataclasses.fields``, ``replace`` and ``asdict`` accept records too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple, Type, TypeVar, dataclass_transform  # novm

    T = TypeVar("T")
else:

    def dataclass_transform(**options: Any) -> Callable[[T], T]:  # only type checkers read it
        return lambda decorator: decorator


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class FrozenRecordError(AttributeError):
    """A field of a record was assigned to or deleted."""


class Field:
    """A field of a record: its name and its default (MISSING: the field is required)."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name, self.default = name, default


@dataclass_transform(frozen_default=True)
def record(cls: Type[T]) -> Type[T]:
    """Make a class a record of its annotated names; those of its bases come first, ``ClassVar`` is left out.

    Methods that the class defines itself are kept; ``__post_init__`` is called at the end of the construction.
    Raises TypeError for a default that can be changed (a list, a dictionary, a set).
    """
    defaults: Dict[str, Any] = {}
    for base in cls.__mro__[-1:0:-1]:
        if is_record(base):
            defaults.update((field.name, field.default) for field in fields(base))
    for name in _annotated_names(cls):
        defaults[name] = cls.__dict__.get(name, MISSING)
        if defaults[name].__hash__ is None:
            raise TypeError("the default of %s.%s can be changed" % (cls.__name__, name))
    members: Dict[str, Any] = {
        "__record_fields__": tuple([Field(name, default) for name, default in defaults.items()]),
        "__match_args__": tuple(defaults),
        "__dataclass_fields__": _DATACLASS_FIELDS,
        "__dataclass_params__": _DATACLASS_PARAMS,
    }
    own_methods = {name: method for name, method in _methods(defaults).items() if cls.__dict__.get(name) is None}
    for name, member in {**members, **own_methods}.items():
        setattr(cls, name, member)
    return cls


def is_record(cls: type) -> bool:
    """Return True for a record and for a dataclass."""
    return hasattr(cls, "__record_fields__") or hasattr(cls, "__dataclass_fields__")


def fields(owner: Any) -> Tuple[Field, ...]:
    """Return the fields of a record or dataclass, or of a value of one. Raises TypeError for anything else."""
    cls = owner if isinstance(owner, type) else type(owner)
    for base in cls.__mro__:
        if "__record_fields__" in base.__dict__:
            names: Tuple[Field, ...] = base.__dict__["__record_fields__"]
            return names
        if "__dataclass_fields__" in base.__dict__:
            from dataclasses import MISSING as NO_DEFAULT
            from dataclasses import fields as fields_of

            pairs = [(field.name, field.default) for field in fields_of(base)]
            return tuple([Field(name, MISSING if default is NO_DEFAULT else default) for name, default in pairs])
    raise TypeError("%s is not a record" % cls.__name__)


def replace(value: T, /, **changes: Any) -> T:
    """Return a new record with these fields changed. Raises TypeError for a name that is not a field."""
    return type(value)(**{**{field.name: getattr(value, field.name) for field in fields(value)}, **changes})


#: Called at the end of each construction, in place of ``__post_init__`` alone. The controller's checks the types of the
#: fields before (``orchestr/field_types.py``). On hosts, where the package ``orchestr`` is empty, there is none.
on_made: Optional[Callable[[Any], None]] = getattr(sys.modules.get("orchestr"), "_complete_record", None)


def _annotated_names(cls: type) -> Tuple[str, ...]:
    own = vars(cls)
    annotations = cls.__annotations__ if sys.version_info >= (3, 10) else own.get("__annotations__", {})
    is_class_variable = ("ClassVar", "typing.ClassVar")
    return tuple([name for name, kind in annotations.items() if not str(kind).startswith(is_class_variable)])


def _methods(defaults: Dict[str, Any]) -> Dict[str, Any]:
    names = tuple(defaults)
    all_names, count = frozenset(names), len(names)
    given_defaults = {name: default for name, default in defaults.items() if default is not MISSING}

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        attributes, given = self.__dict__, len(values)
        if given != count or named:
            attributes.update(given_defaults)
        if values:
            attributes.update(zip(names, values))
        if named:
            attributes.update(named)
            keys = named.keys()
            is_wrong = not keys <= all_names or (values and not keys.isdisjoint(names[:given]))
        else:
            is_wrong = False
        if is_wrong or given > count or len(attributes) != count:
            raise _wrong_arguments(type(self), names, given_defaults, values, named)
        if on_made is not None:
            on_made(self)
            return
        complete = getattr(self, "__post_init__", None)
        if complete is not None:
            complete()

    def values_of(value: Any) -> Tuple[Any, ...]:
        return tuple([getattr(value, name) for name in names])

    def __repr__(self: Any) -> str:
        return "%s(%s)" % (type(self).__qualname__, ", ".join(["%s=%r" % pair for pair in zip(names, values_of(self))]))

    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values_of(self) == values_of(other)

    def __hash__(self: Any) -> int:
        return hash(values_of(self))

    methods = (__init__, __repr__, __eq__, __hash__, _refuse_assignment, _refuse_deletion, replace)
    named_as = ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__replace__")
    return dict(zip(named_as, methods))


def _wrong_arguments(
    cls: type, names: Tuple[str, ...], defaults: Dict[str, Any], values: Tuple[Any, ...], named: Dict[str, Any]
) -> TypeError:
    if len(values) > len(names):
        return TypeError("%s takes %d values, not %d" % (cls.__name__, len(names), len(values)))
    twice = [name for name in names[: len(values)] if name in named]
    if twice:
        return TypeError("%s got %s twice" % (cls.__name__, ", ".join(twice)))
    unknown = [name for name in named if name not in names]
    if unknown:
        return TypeError("%s has no field %s" % (cls.__name__, ", ".join(unknown)))
    missing = [name for name in names[len(values) :] if name not in named and name not in defaults]
    return TypeError("%s needs %s" % (cls.__name__, ", ".join(missing)))


def _refuse_assignment(self: Any, name: str, value: Any) -> None:
    raise FrozenRecordError("cannot assign to field %r of %s" % (name, type(self).__name__))


def _refuse_deletion(self: Any, name: str) -> None:
    raise FrozenRecordError("cannot delete field %r of %s" % (name, type(self).__name__))


class _AsDataclass:
    """Show a record to ``dataclasses``; nothing is imported before somebody asks for it."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, value: Any, cls: type) -> Any:
        import dataclasses

        specs: Any = [
            (field.name, "Any", dataclasses.MISSING if field.default is MISSING else field.default)
            for field in fields(cls)
        ]
        return getattr(dataclasses.make_dataclass(cls.__name__, specs, frozen=True), self._attribute)


_DATACLASS_FIELDS, _DATACLASS_PARAMS = _AsDataclass("__dataclass_fields__"), _AsDataclass("__dataclass_params__")
