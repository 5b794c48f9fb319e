"""Texts that mean one thing only: checked where a resource is made, before a tool reads more into them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

CONTROLS = frozenset(map(chr, (*range(32), 127)))
IN_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
NOT_IN_ACCOUNTS = CONTROLS | frozenset(" :,/\\")
IN_HOST = IN_WORDS | frozenset(":[]%")


def check_line(text: str, meaning: str) -> None:
    """Raise ValueError for a text of several lines, or with another control character in it."""
    if not text.isprintable() and not CONTROLS.isdisjoint(text):
        raise ValueError("%s %r has a control character in it" % (meaning, text))


def check_words(words: Iterable[str], meaning: str) -> None:
    """Raise ValueError for words that cannot be arguments of a program."""
    if any("\0" in word for word in words):
        raise ValueError("%s: no argument holds a NUL" % meaning)


def check_path(path: str, meaning: str = "the path") -> None:
    """Raise ValueError unless ``path`` is absolute and of one line."""
    check_line(path, meaning)
    if not path.startswith("/"):
        raise ValueError("%s %r is not absolute: it begins with /" % (meaning, path))


def check_paths(paths: Iterable[str], meaning: str = "the path") -> None:
    """Raise ValueError unless all of ``paths`` are absolute."""
    for path in paths:
        check_path(path, meaning)


def check_part(text: str, meaning: str) -> None:
    """Raise ValueError unless a text can be one part of a path and no option: letters, digits and ``_.-``."""
    if not text or text[0] in ".-" or not IN_WORDS.issuperset(text):
        raise ValueError("%s %r is not a word of letters, digits and _ . -" % (meaning, text))


def is_account(name: str) -> bool:
    """Return True for a text that can be the name or the number of a user or group."""
    return bool(name) and name[0] != "-" and NOT_IN_ACCOUNTS.isdisjoint(name)


def check_account(name: str, meaning: str) -> None:
    """Raise ValueError unless ``name`` is the name or the number of a user or group."""
    if is_account(name):
        return
    check_line(name, meaning)
    raise ValueError("%s %r is not the name or number of an account" % (meaning, name))


def check_host(host: str, meaning: str = "") -> None:
    """Raise ValueError unless ``host`` is an address or a host name, maybe with a port."""
    if not host or host[0] == "-" or not IN_HOST.issuperset(host):
        raise ValueError("%s%r is not an address or a host name" % (meaning and meaning + " ", host))


def check_choice(text: str, choices: Iterable[str], meaning: str) -> None:
    """Raise ValueError unless a text is one of ``choices``."""
    if text not in choices:
        raise ValueError("%s %r is none of %s" % (meaning, text, ", ".join(filter(None, choices))))
