"""JSON without the package ``json``, whose decoder imports ``re``: the C functions beneath it.

Everything that travels imports this module, also on the controller; ``tests/agent/test_light_json.py`` compares it with
the real one.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner  # of CPython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Options:
    """How the scanner reads, as ``json.JSONDecoder`` has it by default."""

    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int = float, int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__


_options: Any = _Options
_scan = make_scanner(_options)


def loads(text: Any) -> Any:
    """Return the value of a JSON text (or of its bytes in UTF-8). Raises ValueError."""
    text = (text if isinstance(text, str) else text.decode("utf-8")).strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError("no JSON: a value is expected at character %s" % error.value) from None
    if end != len(text):
        raise ValueError("no JSON: something follows after character %d" % end)
    return value


class JSONEncoder:
    """Make JSON texts in one way; the options mean the same as those of ``json.JSONEncoder``."""

    def __init__(self, *, ensure_ascii: bool = True, separators: Any = (", ", ": "), sort_keys: bool = False) -> None:
        self._string = encode_basestring_ascii if ensure_ascii else encode_basestring
        comma, colon = separators
        self._pieces = make_encoder(None, _refuse, self._string, None, colon, comma, sort_keys, False, True)

    def encode(self, value: Any) -> str:
        """Return a value as JSON. Raises TypeError for a type that JSON does not have."""
        return self._string(value) if isinstance(value, str) else "".join(self._pieces(value, 0))


def _refuse(value: Any) -> Any:
    raise TypeError("a %s is no JSON" % type(value).__name__)


def dumps(value: Any, **options: Any) -> str:
    """Return a value as JSON. Raises TypeError for a type that JSON does not have."""
    if options.keys() <= {"ensure_ascii", "separators", "sort_keys"}:
        return JSONEncoder(**options).encode(value)
    import json as real  # indented texts are written only where something changes

    return real.dumps(value, **options)
