"""Errors for a text that is not YAML, in words that help its author."""

from __future__ import annotations

import re
from typing import Any

from orchestr.errors import InputError
from orchestr.inventory.position import Position

_INI_SECTION = re.compile(r"^\[[\w.:-]+\]\s*(?:[#;].*)?$", re.MULTILINE)
_BARE_TEMPLATE = re.compile(r"^\s*(?:-\s+)*(?:[\w\"'.-]+:\s+)?\{\{")
_PLAIN_NAMES = {
    "did not find expected key": "the indentation, a quote or a bracket before this place does not close",
    "did not find expected '-' indicator": "a list item or a key stands at the wrong indentation",
    "mapping values are not allowed in this context": "a second ':' here; quote the value, or check the indentation",
    "could not find expected ':'": "a key without its ':'",
    "found unexpected end of stream": "a quote or bracket is never closed",
    "but found another document": "a second document ('---') in the file; an inventory is one",
    "found undefined alias": "this alias names an anchor that is not defined before it",
}

_STEPS = {
    "second document": "remove the '---' and what follows it, or put that into a file of its own",
    "control characters": 'remove the character, or write the value in double quotes with an escape: "\\x01"',
    "special characters": 'remove the character, or write the value in double quotes with an escape: "\\x01"',
    "second ':'": 'write: key: "a: b"',
    "alias": "define it before: key: &NAME value",
    "never closed": "close it, or put quotes around a value that only looks like one",
    "wrong indentation": "give what belongs together the same indentation",
    "without its ':'": "write: key: value",
}


def syntax_error(problem: Exception, text: str, file: str) -> InputError:
    """Return the InputError for the exception that PyYAML raised while composing ``text``."""
    position = _place(problem, text, file)
    if "nesting depth" in str(problem):
        return position.error("is nested too deeply to be read", next_step="check its brackets and indentation")
    line = _line(text, position)
    if looks_like_ini(text):
        return ini_error(file)
    if position.line is not None and (tab := line.find("\t")) >= 0 and not line[:tab].strip():
        return Position(file, position.line, tab + 1).error(
            "a tab indents this line; YAML is indented with spaces only",
            next_step="put two spaces for each step of depth in the tab's place",
        )
    if _BARE_TEMPLATE.match(line):
        return bare_template_error(Position(file, position.line, line.index("{{") + 1))
    words = _words(problem)
    if "depth" in words:  # libyaml's own limit, where it has one
        return too_deep(file)
    return position.error(f"not valid YAML: {words}", next_step=_step(words))


def _step(words: str) -> str:
    """Return the next step for a syntax error, by its message."""
    return next((step for part, step in _STEPS.items() if part in words), "look at this line and the one above it")


def too_deep(file: str) -> InputError:
    """Return the error for a text whose values are inside each other without end."""
    return InputError("is nested too deeply to be read", file=file, next_step="write it flatter")


def bare_template_error(position: Position) -> InputError:
    """Return the error for ``key: {{ name }}``, which YAML reads as a mapping inside a mapping."""
    return position.error("a value that starts with '{{' needs quotes around it", next_step='write: key: "{{ name }}"')


def looks_like_ini(text: str) -> bool:
    """Return True if ``text`` is more likely Ansible's other format, ``[group]`` and lines of hosts."""
    return bool(_INI_SECTION.search(text))


def ini_error(file: str) -> InputError:
    """Return the error for an INI inventory, with the command that converts it."""
    return InputError(
        "this looks like an INI inventory; orchestr reads the YAML format",
        file=file,
        next_step=f"convert it: ansible-inventory -i {file} --list --yaml --export > inventory.yml; this sorts hosts "
        "by name: put them into your own order again where it matters (serial, the first host of a group)",
    )


def _place(problem: Any, text: str, file: str) -> Position:
    mark, begin = getattr(problem, "problem_mark", None), getattr(problem, "context_mark", None)
    if mark is None or _is_never_closed(problem):
        mark = begin or mark
    if mark is not None:
        return Position(file, mark.line + 1, mark.column + 1)
    offset = getattr(problem, "position", None)
    if isinstance(offset, int):
        before = text[:offset]
        return Position(file, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)
    return Position(file)


def _mark(problem: Any, name: str) -> tuple[int, int] | None:
    mark = getattr(problem, name, None)
    return (mark.line + 1, mark.column + 1) if mark is not None else None


def _is_never_closed(problem: Any) -> bool:
    """At the end of the file nothing is to be seen: name the place where the quote or bracket opens."""
    return str(getattr(problem, "problem", "")).startswith("found unexpected end of stream")


def _line(text: str, position: Position) -> str:
    lines = text.splitlines()
    return lines[position.line - 1] if position.line and position.line <= len(lines) else ""


def _words(problem: Any) -> str:
    said = str(getattr(problem, "problem", None) or getattr(problem, "reason", None) or problem)
    begin, end = _mark(problem, "context_mark"), _mark(problem, "problem_mark")
    known = next((words for start, words in _PLAIN_NAMES.items() if said.startswith(start)), None)
    context = getattr(problem, "context", None)
    where = f", begun at line {begin[0]}, column {begin[1]}" if begin and begin != end else ""
    return known or (f"{said} ({context}{where})" if context else said)
