"""Let a template read secrets, and know afterwards that it did.

While a template is evaluated, a `Secret` it reaches is opened to its text, and the text is noted in the evaluation's
record. Containers that hold secrets are seen through views that open them one by one, so reading ``db.host`` does
not make a secret of it only because ``db.password`` stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, SupportsIndex

from orchestr.inventory.marked import UnsafeText
from orchestr.secret import Secret

_record: ContextVar[list[Secret] | None] = ContextVar("secrets opened by the template being evaluated", default=None)


_disguised: ContextVar[bool] = ContextVar("whether secrets are opened to other texts than theirs", default=False)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NEXT = str.maketrans(
    _LETTERS + _LETTERS.upper() + "0123456789",
    _LETTERS[1:] + "a" + _LETTERS[1:].upper() + "A" + "1234567890",
)


@contextmanager
def disguising() -> Iterator[None]:
    """Inside the block secrets open to texts of the same shape that are not theirs."""
    token = _disguised.set(True)
    try:
        yield
    finally:
        _disguised.reset(token)


@contextmanager
def recording() -> Iterator[list[Secret]]:
    """Give the list that the secrets opened inside the block are added to."""
    opened_here: list[Secret] = []
    token = _record.set(opened_here)
    try:
        yield opened_here
    finally:
        _record.reset(token)


def opened(value: Any) -> Any:
    """Return what a template may see of ``value``: a secret's text (noted), a view of a container of secrets."""
    if isinstance(value, Secret):
        return _noted(value)
    if isinstance(value, (SecretDict, SecretList)) or not contains_secret(value):
        return value
    return SecretDict(value) if isinstance(value, Mapping) else SecretList(value)


def contains_secret(value: Any) -> bool:
    """Say whether a container holds a secret, however deep; lazy mappings (``hostvars``) are not looked into."""
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(contains_secret(each) for each in dict.values(value))
    return isinstance(value, (list, tuple)) and any(contains_secret(each) for each in unopened(value))


def unopened(value: Iterable[Any]) -> Iterator[Any]:
    """Go through a list or tuple without opening the secrets in it, also when it is a view."""
    return list.__iter__(value) if isinstance(value, list) else iter(value)


def sealed(value: Any, parts: Iterable[str], tainted: bool) -> Any:
    """Return a template's result as plain data; when secrets took part, every text and number in it is a Secret.

    Booleans and None stay what they are: ``password is defined`` is no secret. Tuples become lists.
    """
    if isinstance(value, Secret) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        pairs = dict.items(value) if isinstance(value, dict) else value.items()
        return {key: sealed(each, parts, tainted) for key, each in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [sealed(each, parts, tainted) for each in unopened(value)]
    if tainted:
        return Secret(str(value), parts)
    return settled(value)


def settled(value: Any) -> Any:
    """Return a result that looks like a template as UnsafeText: it is data, never to be rendered a second time."""
    if type(value) is str and any(mark in value for mark in ("{{", "{%", "{#")):
        return UnsafeText(value)
    return value


def _noted(secret: Secret) -> str:
    record, text = _record.get(), secret.reveal()
    if record is not None:
        record.append(secret)
    return _other(text) if _disguised.get() else text


def _other(text: str) -> str:
    changed = text.translate(_NEXT)
    return changed if changed != text else text + "a"


class SecretDict(dict[Any, Any]):
    """A view of a mapping with secrets in it; what is read from it is opened."""

    def __getitem__(self, key: Any) -> Any:
        return opened(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return opened(super().get(key, default))

    def values(self) -> Any:
        return [opened(each) for each in super().values()]

    def items(self) -> Any:
        return [(key, opened(each)) for key, each in super().items()]

    def copy(self) -> SecretDict:
        return SecretDict(dict.items(self))


class SecretList(list[Any]):
    """A view of a list with secrets in it; what is read from it is opened."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return SecretList(found) if isinstance(index, slice) else opened(found)

    def __iter__(self) -> Iterator[Any]:
        return (opened(each) for each in super().__iter__())

    def __add__(self, other: Any) -> SecretList:
        return SecretList([*list.__iter__(self), *list.__iter__(other)])

    def copy(self) -> SecretList:
        return SecretList(list.__iter__(self))
