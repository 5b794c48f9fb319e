"""The tests of Ansible (``x is match('…')``), beside those Jinja2 has; same names, same results."""

from __future__ import annotations

import math
import os.path
import re
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from orchestr.templating.versions import compare
from orchestr.vault.format import HEADER

_WORDS = {
    **dict.fromkeys(("y", "yes", "on", "1", "true", "t"), True),
    **dict.fromkeys(("n", "no", "off", "0", "false", "f"), False),
}


def regex(
    value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False, match_type: str = "search"
) -> bool:
    """``regex``: the pattern matches; ``match_type`` is search, match or fullmatch."""
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    method: Callable[[str], Any] = getattr(re.compile(pattern, flags), match_type)
    return bool(method(str(value)))


def match(value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
    """``match``: the pattern matches at the beginning."""
    return regex(value, pattern, ignorecase, multiline, "match")


def search(value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
    """``search``: the pattern matches somewhere."""
    return regex(value, pattern, ignorecase, multiline)


def truthy(value: Any, convert_bool: bool = False) -> bool:
    """``truthy``: Python's truth; with ``convert_bool`` the words for true and false are read first."""
    return bool(_WORDS.get(str(value).strip().lower(), value) if convert_bool else value)


def falsy(value: Any, convert_bool: bool = False) -> bool:
    """``falsy``: the opposite of ``truthy``."""
    return not truthy(value, convert_bool)


def contains(container: Container[Any], value: Any) -> bool:
    """``contains``: ``in`` the other way round, for ``selectattr``."""
    return value in container


def subset(one: Iterable[Any], other: Iterable[Any]) -> bool:
    """``subset``: each item of one is in the other."""
    return set(one) <= set(other)


def superset(one: Iterable[Any], other: Iterable[Any]) -> bool:
    """``superset``: each item of the other is in this one."""
    return set(one) >= set(other)


def is_nan(value: Any) -> bool:
    """``nan``: not a number."""
    return isinstance(value, float) and math.isnan(value)


def uri(value: Any, schemes: list[str] | None = None) -> bool:
    """``uri``: a URI, of one of the schemes when they are given."""
    try:
        scheme = urlparse(value).scheme
    except (ValueError, TypeError, AttributeError):
        return False
    return not schemes or scheme in schemes


def url(value: Any, schemes: list[str] | None = None) -> bool:
    """``url``: a URI with a host, or of a file."""
    return uri(value, schemes) and bool(urlparse(value).netloc or urlparse(value).scheme == "file")


def urn(value: Any) -> bool:
    """``urn``: a URI of the scheme urn."""
    return uri(value, ["urn"])


def vaulted_file(path: str) -> bool:
    """``vaulted_file``: a file of this machine, encrypted as a whole."""
    with Path(path).open("rb") as stream:
        return stream.read(len(HEADER)) == HEADER.encode()


TESTS: dict[str, Callable[..., Any]] = {
    "all": all,
    "any": any,
    "contains": contains,
    "falsy": falsy,
    "match": match,
    "regex": regex,
    "search": search,
    "truthy": truthy,
    "uri": uri,
    "url": url,
    "urn": urn,
    "vaulted_file": vaulted_file,
    **dict.fromkeys(("version", "version_compare"), compare),
    **dict.fromkeys(("subset", "issubset"), subset),
    **dict.fromkeys(("superset", "issuperset"), superset),
    **dict.fromkeys(("nan", "isnan"), is_nan),
    # Of files of this machine, as in Ansible.
    **dict.fromkeys(("directory", "is_dir"), os.path.isdir),
    **dict.fromkeys(("file", "is_file"), os.path.isfile),
    **dict.fromkeys(("link", "is_link"), os.path.islink),
    "exists": os.path.exists,
    "link_exists": os.path.lexists,
    **dict.fromkeys(("abs", "is_abs"), os.path.isabs),
    **dict.fromkeys(("same_file", "is_same_file"), os.path.samefile),
    **dict.fromkeys(("mount", "is_mount"), os.path.ismount),
}
