"""Compare versions as Ansible's ``version`` test does: loose (the default), strict, semantic or PEP 440."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("==", "=", "eq"), operator.eq),
    **dict.fromkeys(("<", "lt"), operator.lt),
    **dict.fromkeys(("<=", "le"), operator.le),
    **dict.fromkeys((">", "gt"), operator.gt),
    **dict.fromkeys((">=", "ge"), operator.ge),
    **dict.fromkeys(("!=", "<>", "ne"), operator.ne),
}
_STRICT = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?", re.ASCII)
_NUMBER = r"(?:0|[1-9]\d*)"
_SEMANTIC = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)


def compare(value: Any, version: Any, how: str = "eq", strict: Any = None, version_type: str | None = None) -> bool:
    """``version``: compare ``value`` with ``version``. Raises ValueError for versions that are not comparable."""
    if strict is not None and version_type is not None:
        raise ValueError("version takes strict or version_type, not both")
    if not value or not version:
        raise ValueError("version compares two versions, one is empty")
    if how not in _OPERATORS:
        raise ValueError(f"version has no operator {how!r}; known: {', '.join(_OPERATORS)}")
    kind = version_type or ("strict" if strict else "loose")
    if kind not in _KINDS:
        raise ValueError(f"version_type {kind!r} is not known; known: {', '.join(_KINDS)}")
    try:
        return bool(_OPERATORS[how](_KINDS[kind](str(value)), _KINDS[kind](str(version))))
    except TypeError:
        raise ValueError(f"the {kind} versions {value!s} and {version!s} can't be compared") from None


def _loose(text: str) -> list[int | str]:
    parts = [part for part in re.split(r"(\d+|[a-z]+|\.)", text) if part and part != "."]
    return [int(part) if part.isdecimal() else part for part in parts]


def _strict(text: str) -> tuple[int, int, int, str, int]:
    match = _STRICT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a strict version, like 1.2.3")
    major, minor, patch, letter, number = match.groups()
    # 1.2a1 comes before 1.2: "~" sorts after the letters.
    return int(major), int(minor), int(patch or 0), letter or "~", int(number or 0)


def _semantic(text: str) -> tuple[Any, ...]:
    match = _SEMANTIC.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a semantic version, like 1.2.3-rc.1")
    *numbers, release = match.groups()
    # A prerelease comes before its release; in it numbers come before words.
    words = [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in (release or "").split(".") if word]
    return (*map(int, numbers), not release, words)


def _pep440(text: str) -> Any:
    from packaging.version import Version  # 10 ms, for the few templates that compare Python versions

    return Version(text)


_KINDS: dict[str, Callable[[str], Any]] = {
    "loose": _loose,
    "strict": _strict,
    "semver": _semantic,
    "semantic": _semantic,
    "pep440": _pep440,
}
