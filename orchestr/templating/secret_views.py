"""Let a template read secrets, and know afterwards that it did.

While a template is evaluated, a `Secret` it reaches is opened to its text, and the text is noted in the evaluation's
record. Containers that hold secrets are seen through views that open them one by one, so reading ``db.host`` does
not make a secret of it only because ``db.password`` stands beside it.
"""

from __future__ import annotations

import re
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
    # 0 stays, or 95 would become 06, which is no number in JSON; so do the marks that give a document its structure.
    _LETTERS + _LETTERS.upper() + "123456789" + "-_+/!~@%#&*?$^;|",
    _LETTERS[1:] + "a" + _LETTERS[1:].upper() + "A" + "234567891" + "_-/+~!%@&#?*^$|;",
)
_WORDS_OF_JSON = re.compile(r"\b(true|false|null)\b")


class ParsedName(str):
    """A key of a mapping that ``from_json`` or ``from_yaml`` read: a name, also where the document is a secret."""

    __slots__ = ()


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
    """Give the list that the secrets opened inside the block are added to; they open to their own texts."""
    opened_here: list[Secret] = []
    token, plain = _record.set(opened_here), _disguised.set(False)
    try:
        yield opened_here
    finally:
        _disguised.reset(plain)
        _record.reset(token)


@contextmanager
def closed() -> Iterator[None]:
    """Inside the block no template is being evaluated: what it gave is looked at, and nothing opened."""
    token = _record.set(None)
    try:
        yield
    finally:
        _record.reset(token)


def seen(value: Any) -> Any:
    """Return what a template that is being evaluated may see of ``value``; to anyone else ``value`` itself."""
    return value if _record.get() is None else opened(value)


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


def revealed(value: Any) -> Any:
    """Return a container with the texts of the secrets in it; whoever calls this makes a Secret of the result."""
    if isinstance(value, dict):
        return {key: revealed(each) for key, each in dict.items(value)}
    if isinstance(value, (list, tuple)):
        return [revealed(each) for each in unopened(value)]
    return value.reveal() if isinstance(value, Secret) else value


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
        return {str(key) if isinstance(key, ParsedName) else key: sealed(each, parts, tainted) for key, each in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [sealed(each, parts, tainted) for each in unopened(value)]
    if tainted:
        return Secret(str(value), parts)
    return settled(value)


def keys_in(value: Any) -> Iterator[Any]:
    """Yield the keys of all mappings in a template's result but those that were read from a document."""
    if isinstance(value, Mapping):
        pairs = dict.items(value) if isinstance(value, dict) else value.items()
        for key, each in pairs:
            if not isinstance(key, ParsedName):
                yield key
            yield from keys_in(each)
    elif isinstance(value, (list, tuple)):
        for each in unopened(value):
            yield from keys_in(each)


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
    pieces = _WORDS_OF_JSON.split(text)  # every other piece is one of the words
    pieces[::2] = [piece.translate(_NEXT) for piece in pieces[::2]]
    changed = "".join(pieces)
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

    def __iter__(self) -> Iterator[Any]:
        """Go through the keys; having this method keeps ``dict(view)`` from copying past the others."""
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def pop(self, key: Any, *default: Any) -> Any:
        return opened(super().pop(key, *default))

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return opened(super().setdefault(key, default))

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

    def __radd__(self, other: Any) -> SecretList:
        return SecretList([*unopened(other), *list.__iter__(self)])

    def __mul__(self, count: SupportsIndex) -> SecretList:
        return SecretList(super().__mul__(count))

    __rmul__ = __mul__

    def __reversed__(self) -> Iterator[Any]:
        return (opened(each) for each in super().__reversed__())

    def __contains__(self, value: object) -> bool:
        return value in list(self)

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(list(self))

    def index(self, value: Any, *bounds: SupportsIndex) -> int:
        return list(self).index(value, *bounds)

    def count(self, value: Any) -> int:
        return list(self).count(value)

    def pop(self, index: SupportsIndex = -1) -> Any:
        return opened(super().pop(index))

    def copy(self) -> SecretList:
        return SecretList(list.__iter__(self))
