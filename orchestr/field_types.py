"""Types of the fields of resources, checked where a resource is made: on the controller, not once more on hosts.

Records call `complete` at the end of their construction (``orchestr/agent/record.py``). A class's annotations are
compiled once, and a field that has its default is not looked at. A list becomes a tuple where a tuple is meant.
"""

from __future__ import annotations

import operator
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from orchestr.agent import record
from orchestr.agent.resource import kinds
from orchestr.agent.secret import Secret

Fit = Callable[[Any], Any]  # returns the value as the field keeps it, or _WRONG
Check = tuple[str, Any, set[type], Fit, str]  # field, default, types that fit as they are, all others, description

_WRONG = object()
_CHECKS: dict[type, _Checks] = {}
_WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Secret: "a Secret",
    bytes: "bytes",
    type(None): "None",
    Mapping: "a mapping",
}
_LONGEST_SHOWN = 40  # characters of a wrong value


class FieldTypeError(TypeError, ValueError):
    """A field of a resource got a value of another type; ``value`` is that value."""

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self.value = value


def complete(value: Any) -> None:
    """End the construction of a record: check its fields, then call its ``__post_init__``.

    Raises FieldTypeError; a ValueError of ``__post_init__`` gets the record as its attribute ``record``.
    """
    check_fields(value)
    post_init = getattr(value, "__post_init__", None)
    if post_init is not None:
        try:
            post_init()
        except ValueError as error:
            if not hasattr(error, "record"):
                error.record = value  # type: ignore[attr-defined]
            raise


def check_fields(value: Any) -> None:
    """Raise FieldTypeError unless each field of a registered record (or dataclass) has a value of its type.

    The message has the resource, the field, the type that was given and the one that is expected, then the class's
    ``type_hint`` if it has one; of values, only numbers and booleans are shown.
    """
    cls = type(value)
    checks = _CHECKS.get(cls)
    if checks is None:
        checks = _CHECKS[cls] = _Checks(_compile_class(cls))
    if not checks.all:
        return
    types_given = tuple(map(type, checks.plain_values(value)))
    is_known = types_given in checks.fitting
    for name, default, exact, fit, expected in checks.deep if is_known else checks.all:
        given = getattr(value, name)
        if given is default or type(given) in exact:
            continue
        fitted = fit(given)
        if fitted is _WRONG:
            hint = f": {cls.type_hint}" if hasattr(cls, "type_hint") else ""
            said = f"{name_of(value, name)}: {name} is {describe(given)}, expected {expected}{hint}"
            raise FieldTypeError(said, given)
        if fitted is not given:
            object.__setattr__(value, name, fitted)
        elif exact and not isinstance(given, tuple):
            exact.add(type(given))  # a subclass
    if not is_known:
        checks.note(types_given)


class _Checks:
    """The checks of a class; records with the same types in their plain fields are looked at once."""

    def __init__(self, checks: tuple[Check, ...]) -> None:
        self.all = checks
        #: of fields whose value matters too (the items of a tuple), or where the default is of another type
        self.deep = tuple(check for check in checks if not check[2])
        self._plain = tuple(check for check in checks if check[2])
        self.plain_values = _attributes([check[0] for check in self._plain])
        self.fitting: set[tuple[type, ...]] = set()  # types of the plain fields that fit as they are

    def note(self, given: tuple[type, ...]) -> None:
        """Remember the types of the plain fields of a record that passed, where each is one that always fits."""
        if all(one in check[2] for one, check in zip(given, self._plain, strict=True)):
            self.fitting.add(given)


def _attributes(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns these attributes of a value."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda value: tuple([getattr(value, name) for name in names])


def describe(value: object) -> str:
    """Return the type of a value in plain words, with the value of a number or boolean.

    >>> describe(5), describe("x"), describe(None), describe([1, "a"]), describe(True)
    ('a number (5)', 'text', 'None', 'a list with a number (1)', 'true or false (True)')
    """
    if isinstance(value, bool):
        return f"true or false ({value})"
    if isinstance(value, (int, float)):
        return f"a number ({value})"[:_LONGEST_SHOWN]
    if isinstance(value, (list, tuple)):
        odd = next((item for item in value if not isinstance(item, str)), None)
        return "a list" if odd is None else f"a list with {describe(odd)}"
    words = {dict: "a mapping", set: "a set"}
    plain = next((word for cls, word in {**_WORDS, **words}.items() if isinstance(value, cls)), "")
    return plain or f"a {type(value).__name__}"


def name_of(value: Any, wrong: str = "") -> str:
    """Return a resource as messages name it: its class, and its first field if that is a text and not the wrong one."""
    name = record.fields(value)[0].name
    first = getattr(value, name)
    cls = type(value).__name__
    return f"{cls} {first}" if isinstance(first, str) and first and name != wrong else cls


# -- annotations become checks, once per class -------------------------------------------------------------------------
def _compile_class(cls: type) -> tuple[Check, ...]:
    is_checked = getattr(cls, "is_checked", False) or kinds().get(getattr(cls, "kind", "")) is cls
    if not is_checked or not record.is_record(cls):
        return ()
    annotations = {name: (base, text) for base in cls.__mro__[::-1] for name, text in _annotations_of(base).items()}
    checks = []
    for field in record.fields(cls):
        base, text = annotations.get(field.name, (cls, Any))
        annotation = _evaluate(text, base)
        checks.append((field.name, field.default, _exact(annotation), _fit_of(annotation), _words(annotation)))
    return tuple(checks)


def _annotations_of(cls: type) -> dict[str, Any]:
    try:
        return cls.__annotations__ if cls is not object else {}
    except NameError:  # Python 3.14 evaluates them here, names of type checkers too
        return {}


class _Names(dict[str, Any]):
    """Names in annotations that a module has for type checkers only; an unknown one stands for any type."""

    def __init__(self, cls: type) -> None:
        super().__init__(vars(sys.modules.get(cls.__module__, types)))
        self._cls = cls

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        return _evaluate(value, self._cls) if isinstance(value, str) else value  # an alias, written as text

    def __missing__(self, name: str) -> Any:
        if name in _TYPING:
            return getattr(typing, name)
        if name in _BUILTINS:
            return _BUILTINS[name]
        return next((cls for cls in kinds().values() if cls.__name__ == name), Any)


_TYPING = {"Optional", "Union", "Tuple", "Dict", "List", "Mapping", "Sequence", "FrozenSet", "Literal", "Callable"}
_BUILTINS = {cls.__name__: cls for cls in (str, int, float, bool, bytes, tuple, list, dict, set, frozenset, object)}


def _evaluate(annotation: Any, cls: type) -> Any:
    """Return an annotation as a type; Any where it cannot be told."""
    if not isinstance(annotation, str):
        return getattr(annotation, "__value__", annotation)  # of a `type` statement
    try:
        value = eval(annotation, {"__builtins__": {}}, _Names(cls))  # noqa: S307 - the class's own annotation
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any
    return _evaluate(value, cls)


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a union accepts; of any other annotation, itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for part in typing.get_args(annotation) for member in _members(part))
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    return (annotation,)


def _exact(annotation: Any) -> set[type]:
    """Return the types whose values fit as they are; none where the value matters too."""
    members = {type(None) if member is None else member for member in _members(annotation)}
    if any(typing.get_origin(member) is typing.Literal for member in members):
        return set()
    classes = {cls for cls in members if isinstance(cls, type) and typing.get_origin(cls) is None} - {tuple}
    return classes | {int} if float in classes else classes


def _fit_of(annotation: Any) -> Fit:
    fits = [_fit_member(member) for member in _members(annotation)]
    if len(fits) == 1:
        return fits[0]

    def fit(value: Any) -> Any:
        return next((fitted for fitted in (one(value) for one in fits) if fitted is not _WRONG), _WRONG)

    return fit


def _fit_member(annotation: Any) -> Fit:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is tuple or origin is tuple:
        return _fit_tuple(arguments)
    if origin is typing.Literal:
        return lambda value: value if any(value == one and type(value) is type(one) for one in arguments) else _WRONG
    cls = type(None) if annotation is None else origin or annotation
    if cls is Any or not isinstance(cls, type):
        return lambda value: value
    accepted: tuple[type, ...] = (float, int) if cls is float else (cls,)

    def fit(value: Any) -> Any:
        is_odd = isinstance(value, bool) and cls not in (bool, object)
        return value if isinstance(value, accepted) and not is_odd else _WRONG

    return fit


def _fit_tuple(arguments: tuple[Any, ...]) -> Fit:
    is_open = not arguments or arguments[-1] is Ellipsis
    fits = [_fit_of(argument) for argument in arguments if argument is not Ellipsis] or [lambda value: value]
    exact = _exact(arguments[0]) if arguments and is_open else set()

    def fit(value: Any) -> Any:
        if isinstance(value, tuple) and exact.issuperset(map(type, value)):
            return value
        if not isinstance(value, (tuple, list)) or not (is_open or len(value) == len(fits)):
            return _WRONG
        items = [one(item) for one, item in zip(fits * len(value) if is_open else fits, value, strict=True)]
        if any(item is _WRONG for item in items):
            return _WRONG
        is_same = isinstance(value, tuple) and all(new is old for new, old in zip(items, value, strict=True))
        return value if is_same else tuple(items)

    return fit


def _words(annotation: Any) -> str:
    """Return an annotation as a person reads it.

    >>> _words(int | str), _words(tuple[str, ...]), _words(tuple[str, int]), _words(None)
    ('text or a whole number', 'a list of text', 'a pair (text, a whole number)', 'None')
    """
    # typing gives two unions of the same types one order, that of whichever was written first.
    *others, last = sorted({_member_words(member) for member in _members(annotation)}, key=_rank)
    return f"{', '.join(others)} or {last}" if others else last


def _rank(words: str) -> tuple[int, str]:
    """Return the place of a type in a list of types: plain ones first, None last."""
    plain = [word for word in _WORDS.values() if word != "None"]
    return (plain.index(words) if words in plain else len(plain) + (words == "None"), words)


def _member_words(annotation: Any) -> str:
    arguments = typing.get_args(annotation)
    if annotation is tuple or typing.get_origin(annotation) is tuple:
        if not arguments:
            return "a list"
        if arguments[-1] is Ellipsis:
            return f"a list of {_words(arguments[0])}"
        return f"a pair ({', '.join(map(_words, arguments))})"
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(map(repr, arguments))
    cls = type(None) if annotation is None else typing.get_origin(annotation) or annotation
    return _WORDS.get(cls) or f"a {getattr(cls, '__name__', cls)}"


record.on_made = complete
