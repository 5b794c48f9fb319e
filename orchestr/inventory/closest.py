"""The closest known name to an unknown one: the "did you mean" of every error."""

from __future__ import annotations

from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the name in ``known`` that is closest to ``name``; None when none is near.

    Names that differ only in case, hyphens or underscores win over any other.

    >>> closest("hosst", ["hosts", "vars", "children"])
    'hosts'
    >>> closest("api-key", ["api_key", "api_keys"])
    'api_key'
    >>> closest("zebra", ["hosts", "vars"]) is None
    True
    """
    import difflib

    candidates = sorted({str(candidate) for candidate in known})
    same = _fold(name)
    for candidate in candidates:
        if _fold(candidate) == same and candidate != name:
            return candidate
    near = difflib.get_close_matches(
        name, [candidate for candidate in candidates if candidate != name], n=1, cutoff=0.6
    )
    return near[0] if near else None


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")
