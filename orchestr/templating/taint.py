"""Let a template read secrets, and know afterwards which of them changed the result.

While a template is evaluated, a `Secret` it reads is opened to its text, and noted in the `Evaluation`. Containers
that hold secrets are seen through views that open them one by one, so reading ``db.host`` does not make a secret of it
only because ``db.password`` stands beside it.

One rule says which part of a result is secret: evaluated a second time with other secrets (`disguise`), a secret part
becomes another text, and everything else stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, SupportsIndex

from orchestr.inventory.marked import OMIT, UnsafeText
from orchestr.secret import Secret, redact

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NEXT = str.maketrans(
    # 0 stays, or 95 would become 06, which is no number in JSON; so do the marks that give a document its structure.
    _LETTERS + _LETTERS.upper() + "123456789" + "-_+/!~@%#&*?$^;|",
    _LETTERS[1:] + "a" + _LETTERS[1:].upper() + "A" + "234567891" + "_-/+~!%@&#?*^$|;",
)
_WORDS_OF_JSON = re.compile(r"\b(true|false|null)\b")
_LAST_LETTER = re.compile(r"[A-Za-z0-9](?=[^A-Za-z0-9]*\Z)")


class ParsedName(str):
    """A key of a mapping that ``from_json`` or ``from_yaml`` read: a name, also where the document is a secret."""

    __slots__ = ()


class Evaluation:
    """One template being evaluated: the secrets it opened, and the value of each ``{{ }}`` in order."""

    def __init__(self, is_disguised: bool) -> None:
        self.is_disguised = is_disguised
        self.secrets: list[Secret] = []
        self.printed: list[Any] = []

    def open(self, secret: Secret) -> str:
        """Return the text of a secret, or a text of the same shape, and note that it was read."""
        self.secrets.append(secret)
        return disguise(secret) if self.is_disguised else secret.reveal()


_current: ContextVar[Evaluation | None] = ContextVar("the template being evaluated", default=None)


@contextmanager
def start_evaluation(*, is_disguised: bool = False) -> Iterator[Evaluation]:
    """Give the evaluation that secrets are opened in inside the block."""
    evaluation = Evaluation(is_disguised)
    token = _current.set(evaluation)
    try:
        yield evaluation
    finally:
        _current.reset(token)


@contextmanager
def pause_evaluation() -> Iterator[None]:
    """Inside the block no template is being evaluated: its result is looked at, and nothing opened."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def note_printed(value: Any) -> None:
    """Note the value of a ``{{ }}`` in the current evaluation."""
    evaluation = _current.get()
    if evaluation is not None:
        evaluation.printed.append(value)


def disguise(secret: Secret) -> str:
    """Return a text of the same shape and another length; of a secret with parts, only these are replaced."""
    text = secret.reveal()
    for part in secret.parts:
        text = text.replace(part, _other(part))
    return text if secret.parts else _other(text)


def _other(text: str) -> str:
    pieces = _WORDS_OF_JSON.split(text)  # every other piece is one of the words
    pieces[::2] = [_LAST_LETTER.sub(lambda match: match[0] * 2, piece.translate(_NEXT), 1) for piece in pieces[::2]]
    changed = "".join(pieces)
    return changed if changed != text else text + "a"


def secret_parts(
    text: str, printed: list[str], other: tuple[str, list[str]] | None, secrets: list[Secret]
) -> list[str]:
    """Return the parts to redact of a text: the printed values that other secrets would have made others.

    ``other`` is the text and the printed values of the disguised evaluation, None when it failed. All of ``text`` is
    secret where more than these values depends on a secret: the branch taken, the number of turns of a loop.
    """
    if other is None or len(other[1]) != len(printed):
        return [text]
    pairs = [pair for pair in zip(printed, other[1], strict=True) if pair[0] != pair[1]]
    own = [one for one, _ in pairs]
    if redact(text, own) != redact(other[0], [another for _, another in pairs]):
        return [text]
    known = {secret.reveal(): secret.parts or (secret.reveal(),) for secret in secrets}
    return [part for texts in (*(known.get(value, (value,)) for value in own), *known.values()) for part in texts]


def view(value: Any) -> Any:
    """Return a template's view of ``value`` while one is evaluated, else ``value`` itself."""
    return value if _current.get() is None else open_view(value)


def open_view(value: Any) -> Any:
    """Return a template's view of ``value``: a secret's text, a view of a container of secrets."""
    if isinstance(value, Secret):
        evaluation = _current.get()
        return value.reveal() if evaluation is None else evaluation.open(value)
    if isinstance(value, (SecretDict, SecretList)) or not contains_secret(value):
        return value
    if isinstance(value, tuple):
        return tuple(map(open_view, value))
    return SecretDict(value) if isinstance(value, Mapping) else SecretList(value)


def contains_secret(value: Any) -> bool:
    """Return True if a container holds a secret, however deep; lazy mappings (``hostvars``) are not looked into."""
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(contains_secret(item) for item in dict.values(value))
    return isinstance(value, (list, tuple)) and any(contains_secret(item) for item in iterate_closed(value))


def reveal_all(value: Any) -> Any:
    """Return a container with the texts of the secrets in it; the caller makes a Secret of the result."""
    if isinstance(value, dict):
        return {key: reveal_all(item) for key, item in dict.items(value)}
    if isinstance(value, (list, tuple)):
        return [reveal_all(item) for item in iterate_closed(value)]
    return value.reveal() if isinstance(value, Secret) else value


def iterate_closed(value: Iterable[Any]) -> Iterator[Any]:
    """Go through a list or tuple without opening the secrets in it, also when it is a view."""
    return list.__iter__(value) if isinstance(value, list) else iter(value)


def seal(value: Any, parts: Iterable[str], tainted: bool) -> Any:
    """Return a template's result as plain data; when secrets took part, every text and number in it is a Secret.

    Booleans and None stay as they are: ``password is defined`` is no secret. Tuples become lists.
    """
    if isinstance(value, (Secret, bool)) or value is None or value is OMIT:
        return value
    if isinstance(value, Mapping):
        pairs = dict.items(value) if isinstance(value, dict) else value.items()
        return {
            str(key) if isinstance(key, ParsedName) else key: seal(item, parts, tainted)
            for key, item in pairs
            if item is not OMIT
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [seal(item, parts, tainted) for item in iterate_closed(value) if item is not OMIT]
    if tainted:
        return Secret(str(value), parts)
    return protect_braces(value)


def keys_in(value: Any) -> Iterator[Any]:
    """Yield the keys of all mappings in a template's result, keys read from a document excepted."""
    if isinstance(value, Mapping):
        pairs = dict.items(value) if isinstance(value, dict) else value.items()
        for key, item in pairs:
            if not isinstance(key, ParsedName):
                yield key
            yield from keys_in(item)
    elif isinstance(value, (list, tuple)):
        for item in iterate_closed(value):
            yield from keys_in(item)


def protect_braces(value: Any) -> Any:
    """Return a result that looks like a template as UnsafeText: it is data, never to be rendered a second time."""
    if type(value) is str and any(mark in value for mark in ("{{", "{%", "{#")):
        return UnsafeText(value)
    return value


class SecretDict(dict[Any, Any]):
    """A view of a mapping with secrets in it, which opens them when they are read."""

    def __getitem__(self, key: Any) -> Any:
        return open_view(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return open_view(super().get(key, default))

    def values(self) -> Any:
        return [open_view(item) for item in super().values()]

    def items(self) -> Any:
        return [(key, open_view(item)) for key, item in super().items()]

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
        return open_view(super().pop(key, *default))

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return open_view(super().setdefault(key, default))

    def copy(self) -> SecretDict:
        return SecretDict(dict.items(self))


class SecretList(list[Any]):
    """A view of a list with secrets in it, which opens them when they are read."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        item = super().__getitem__(index)
        return SecretList(item) if isinstance(index, slice) else open_view(item)

    def __iter__(self) -> Iterator[Any]:
        return (open_view(item) for item in super().__iter__())

    def __add__(self, other: Any) -> SecretList:
        return SecretList([*list.__iter__(self), *list.__iter__(other)])

    def __radd__(self, other: Any) -> SecretList:
        return SecretList([*iterate_closed(other), *list.__iter__(self)])

    def __mul__(self, count: SupportsIndex) -> SecretList:
        return SecretList(super().__mul__(count))

    __rmul__ = __mul__

    def __reversed__(self) -> Iterator[Any]:
        return (open_view(item) for item in super().__reversed__())

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
        return open_view(super().pop(index))

    def copy(self) -> SecretList:
        return SecretList(list.__iter__(self))
