"""A failed check in plain words: the claim, the finding, and the line of the check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.inventory.closest import closest

if TYPE_CHECKING:
    import pytest

DETAIL_LIMIT = 2000  # characters of pytest's explanation that are kept
FIXTURES = ("host", "machine", "params", "peers", "outside")
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)


def words_of(function: Callable[..., Any], name: str) -> str:
    """Return the claim of a check: its docstring's first line, else its name read aloud.

    >>> words_of(lambda: None, "test_answers_on_port_80")
    'answers on port 80'
    """
    first = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return first or name.removeprefix("test_").replace("_", " ")


def explain(excinfo: pytest.ExceptionInfo[BaseException] | None, file: Path, printed: str = "") -> dict[str, str]:
    """Return ``message``, ``stderr`` (pytest's further lines) and ``next_step`` of a failed check.

    ``printed`` is the output of the check's last command: shown when the check could not read it.
    """
    if excinfo is None:
        return {"message": "it failed", "stderr": "", "next_step": ""}
    value, (line, source) = excinfo.value, _place(excinfo, file)
    first, _, rest = str(value).partition("\n")
    if isinstance(value, AssertionError):
        message, detail = _claim(first, source), "\n".join(_details(rest))
    elif type(value).__name__ == "FixtureLookupError":
        message, line, detail = *_unknown_argument(value), ""
    elif printed and isinstance(value, _UNREADABLE):
        message, detail = f"a command's output was not understood ({type(value).__name__}: {first})", printed
    else:
        message, detail = f"{type(value).__name__}: {first}", rest
    return {"message": message, "stderr": detail[:DETAIL_LIMIT], "next_step": f"the check is {file}:{line}"}


def _unknown_argument(error: Any) -> tuple[str, int]:
    """Return the message for an argument of a check that orchestr does not give, and the check's line."""
    near = closest(str(error.argname), FIXTURES)
    hint = f" (did you mean {near!r}?)" if near else ""
    message = f"the check asks for {error.argname!r}, which there is not{hint}; there are: {', '.join(FIXTURES)}"
    return message, error.request.function.__code__.co_firstlineno


def _claim(text: str, source: str) -> str:
    """Return ``expected …, found …`` for a comparison, the condition for any other bare assertion.

    >>> _claim("assert 'closed' == 'open'", "assert outside.connects(address, 80) == 'open'")
    "expected 'open', found 'closed'"
    >>> _claim("assert False", "assert host.file(path).exists")
    'does not hold: host.file(path).exists'
    >>> _claim("the queue is not empty", "assert not queue, 'the queue is not empty'")
    'the queue is not empty'
    """
    if not text.startswith("assert "):
        return text or "what it asserts does not hold"
    claim = text.removeprefix("assert ")
    actual, equals, expected = claim.partition(" == ")
    if equals and " == " not in expected and " and " not in claim:
        return f"expected {expected}, found {actual}"
    return f"does not hold: {source.removeprefix('assert ') or claim}"


def _details(rest: str) -> list[str]:
    """Return pytest's lines that say where a value came from; also its diff when that is more than the two values."""
    lines = [line.strip() for line in rest.splitlines() if line.strip(" ?^")]
    origins = [line for line in lines if " where " in line or " and " in line]
    return lines if len(lines) > len(origins) + 2 else origins


def _place(excinfo: pytest.ExceptionInfo[BaseException], file: Path) -> tuple[int, str]:
    """Return the line of the check where it failed, and its text."""
    own = [entry for entry in excinfo.traceback if Path(str(entry.path)) == file]
    return (own[-1].lineno + 1, str(own[-1].statement).strip()) if own else (1, "")
