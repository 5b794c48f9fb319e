"""What stands in for ``dataclasses`` and ``typing`` on a host, where importing these two costs more than most tasks.

The agent's importer gives this module to the agent's and the resources' sources in place of both; the controller uses
the real ones. What the sources need at run time is here with the same meaning (compared with the real one in
``tests/agent/test_light.py``); names that only annotations use are ``_Anything``; all others come from the real ones.
"""

from __future__ import annotations

import sys
from _collections import _tuplegetter  # type: ignore[import-not-found]  # of CPython since 3.8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MISSING: Any = type("_Missing", (), {"__repr__": lambda self: "MISSING"})()
_ANNOTATIONS = frozenset(
    "AbstractSet AnyStr BinaryIO ByteString Callable ClassVar Collection Container Counter DefaultDict Deque Dict "
    "Final FrozenSet Generator Hashable IO Iterable Iterator List Literal Mapping MutableMapping MutableSequence "
    "MutableSet NoReturn Optional Pattern Match Reversible Sequence Set Sized Text TextIO Tuple Type Union".split()
)


class _Anything:
    """Stand for any type in an annotation or an alias: ``State = Mapping[str, Any]``."""

    def __getitem__(self, item: Any) -> "_Anything":
        return self


def __getattr__(name: str) -> Any:
    if name in _ANNOTATIONS or name == "Any":
        return _Anything()
    if not name.startswith("__"):
        for real in ("typing", "dataclasses"):
            found = getattr(__import__(real), name, MISSING)
            if found is not MISSING:
                return found
    raise AttributeError(name)


def rest_of(real: str) -> Any:
    """Return the ``__getattr__`` of a module that stands in for another: what it lacks comes from the real one."""

    def find(name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of any module
            raise AttributeError(name)
        return getattr(__import__(real), name)

    return find


def TypeVar(name: str, *bounds: Any, **options: Any) -> Any:
    return _Anything()


# -- NamedTuple -------------------------------------------------------------------------------------------------------
class _NamedTupleType(type):
    """Make a tuple of what derives from NamedTuple, as collections.namedtuple does, which compiles code each time."""

    def __new__(cls, name: str, bases: Any, namespace: Any) -> Any:
        fields = tuple(_annotations_in(namespace))
        defaults = {field: namespace.pop(field) for field in fields if field in namespace}
        made = {field: _tuplegetter(number, "") for number, field in enumerate(fields)}
        made.update(_fields=fields, _field_defaults=defaults, __slots__=(), __match_args__=fields)
        made.update(__new__=_new_tuple, _make=classmethod(_make), _replace=_replace_in, _asdict=_as_dict)
        made.update(__repr__=_repr_of_tuple, __getnewargs__=tuple, **namespace)
        return type(name, (tuple,), made)


def _annotations_in(namespace: Any) -> Any:
    return namespace.get("__annotations__", {})


def _new_tuple(cls: Any, *given: Any, **values: Any) -> Any:
    fields = cls._fields
    if values or len(given) != len(fields):
        left = fields[len(given) :]
        if len(given) > len(fields) or not values.keys() <= {*left}:
            raise TypeError("%s takes %s" % (cls.__name__, ", ".join(fields)))
        values = {**cls._field_defaults, **values}
        missing = [field for field in left if field not in values]
        if missing:
            raise TypeError("%s needs %s" % (cls.__name__, ", ".join(missing)))
        given = (*given, *[values[field] for field in left])
    return tuple.__new__(cls, given)


def _make(cls: Any, values: Any) -> Any:
    return cls(*values)


def _replace_in(self: Any, **changes: Any) -> Any:
    values = [changes.pop(name, value) for name, value in zip(self._fields, self)]
    if changes:
        raise ValueError("%s has no %s" % (type(self).__name__, ", ".join(changes)))
    return tuple.__new__(type(self), values)


def _as_dict(self: Any) -> Any:
    return dict(zip(self._fields, self))


def _repr_of_tuple(self: Any) -> str:
    inside = ", ".join("%s=%r" % pair for pair in zip(self._fields, self))
    return "%s(%s)" % (type(self).__name__, inside)


NamedTuple: Any = type.__new__(_NamedTupleType, "NamedTuple", (), {})


# -- dataclass --------------------------------------------------------------------------------------------------------
class FrozenInstanceError(AttributeError):
    """A field of a frozen dataclass was assigned to."""


class Field:
    """A field: its name, and the default it has (MISSING: none)."""

    __slots__ = ("default", "default_factory", "name")

    def __init__(self, name: str, default: Any, default_factory: Any = MISSING) -> None:
        self.name, self.default, self.default_factory = name, default, default_factory


def field(*, default: Any = MISSING, default_factory: Any = MISSING) -> Any:
    return Field("", default, default_factory)


def dataclass(cls: Any = None, *, frozen: bool = False, **others: Any) -> Any:
    """Do as the real one for ``frozen`` and fields with defaults; anything beyond is left to the real one."""
    if others:
        from importlib import import_module

        options = dict(others, frozen=frozen)
        real = import_module("dataclasses").dataclass(**options)
        return real if cls is None else real(cls)
    return _decorated(cls, frozen) if cls is not None else lambda it: _decorated(it, frozen)


def replace(value: Any, **changes: Any) -> Any:
    """Return a new value with these fields changed."""
    return type(value)(**{name: changes.pop(name, getattr(value, name)) for name in _fields_of(value)}, **changes)


def _fields_of(value: Any) -> Any:
    return type(value).__dataclass_fields__


def _decorated(cls: Any, frozen: bool) -> Any:
    fields = {}
    for base in cls.__mro__[-1:0:-1]:
        fields.update(base.__dict__.get("__dataclass_fields__", {}))
    own = cls.__annotations__ if sys.version_info >= (3, 10) else _annotations_in(cls.__dict__)
    for name, annotation in own.items():
        if str(annotation).startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = cls.__dict__.get(name, MISSING)
        fields[name] = Field(name, default)
        if isinstance(default, Field):
            fields[name] = Field(name, default.default, default.default_factory)
            if default.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, default.default)
    cls.__dataclass_fields__ = fields
    methods = _methods(tuple(fields.values()))
    if frozen:
        methods.update(__setattr__=_refuse, __delattr__=_refuse)
        methods.update(__hash__=_hash)
    elif "__hash__" not in cls.__dict__ or cls.__dict__["__hash__"] is None:
        cls.__hash__ = None
    for name, method in methods.items():
        if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
            setattr(cls, name, method)
    return cls


def _methods(fields: Any) -> Any:
    names = tuple(each.name for each in fields)

    def __init__(self: Any, *given: Any, **values: Any) -> None:
        what = type(self).__name__
        if len(given) > len(names):
            raise TypeError("%s takes %d values, not %d" % (what, len(names), len(given)))
        for name, value in zip(names, given):
            if name in values:
                raise TypeError("%s got %s twice" % (what, name))
            values[name] = value
        into = self.__dict__
        for each in fields:
            if each.name in values:
                into[each.name] = values.pop(each.name)
            elif each.default is not MISSING:
                into[each.name] = each.default
            elif each.default_factory is not MISSING:
                into[each.name] = each.default_factory()
            else:
                raise TypeError("%s needs %s" % (what, each.name))
        if values:
            raise TypeError("%s has no %s" % (what, ", ".join(values)))
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    return {"__init__": __init__, "__repr__": _repr, "__eq__": _eq}


def _values(value: Any) -> Any:
    return tuple([getattr(value, name) for name in _fields_of(value)])


def _repr(self: Any) -> str:
    inside = ", ".join("%s=%r" % (name, getattr(self, name)) for name in _fields_of(self))
    return "%s(%s)" % (type(self).__qualname__, inside)


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, *value: Any) -> None:
    raise FrozenInstanceError("cannot assign to field %r" % name)
