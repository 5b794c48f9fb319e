"""The output edge: text from hosts is shown, never obeyed by a terminal, and cannot pass for a line of ours."""

from __future__ import annotations

import json
import re
from typing import Any

#: Control characters (C0, DEL, C1), line and paragraph separators, bidirectional and invisible marks; a tab is text.
#: Source: Unicode 15, UAX #9 (bidi controls) and UAX #14 (mandatory breaks); ECMA-48 for C1.
_ACTIVE = (
    "\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
)
_PATTERN = re.compile(f"[{_ACTIVE}]")


def visible(text: str) -> str:
    """Return one line of text with everything that a terminal would act on escaped.

    >>> visible("a\\x1b[2Jb\\tc\\r\\n网关")
    'a\\\\x1b[2Jb\\tc\\\\r\\\\n网关'
    """
    if text.isascii() and text.isprintable():
        return text
    return _PATTERN.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def visible_lines(text: str) -> str:
    """Return text with its line ends kept, the rest as `visible`; for the output of commands.

    >>> visible_lines("one\\r\\ntwo\\x07")
    'one\\ntwo\\\\x07'
    """
    return "\n".join(visible(line.removesuffix("\r")) for line in text.split("\n"))


def json_line(value: Any) -> str:
    """Return JSON on one line, in UTF-8 but for the characters that `visible` escapes: here they are ``\\uXXXX``."""
    return _PATTERN.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(value, ensure_ascii=False))
