"""Render one template, of a variable or of a file, with the names it may use; errors have a place.

A result that a secret took part in is a `Secret`. One rule says which part of it is redacted: see `templating.taint`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError, Undefined
from jinja2.exceptions import TemplateError

from orchestr.errors import InputError, OrchestrError
from orchestr.inventory import magic
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, input_error, shown
from orchestr.paths import unreadable
from orchestr.secret import REDACTED, Secret
from orchestr.templating.environment import (
    PREFIX,
    Environment,
    Names,
    UndefinedName,
    UndefinedVariable,
    environment,
    file_environment,
)
from orchestr.templating.taint import keys_in, pause_evaluation, seal, secret_parts, start_evaluation
from orchestr.templating.unsupported import FILTERS, TESTS

_TOO_DEEP, _SPLIT = "this template is nested too deeply", "give its inner parts names of their own"
_NO_FUNCTION = re.compile(r"No (filter|test) named '([^']*)'")
_REDACTED_IN_JSON = json.dumps(REDACTED)[1:-1]
_HIDDEN_USE = "a secret was used in a way that hides it; use it by its name, as in {{ password }}"
_HIDDEN_KEY = (
    "a key of this mapping may be made from a secret, and a key can't be hidden; take the value that is wanted "
    "out of the mapping in the same expression"
)


def render_text(text: str, names: Names, position: Position | None) -> Any:
    """Return the value of the template ``text``; one expression keeps its type. Raises InputError at ``position``."""
    newlines = "\n" * _count_newlines(text)  # Jinja2 drops the last newline; Ansible puts it back

    def finish(values: list[Any]) -> Any:
        value = Environment.concat(values)
        return value + newlines[_count_newlines(value) :] if isinstance(value, str) else value

    try:
        return _result(_Work(_compile(text), names, finish, _Source(text, position)), is_text=False)
    except TemplateSyntaxError as problem:
        raise _syntax_error(problem, position) from None
    except RecursionError:
        raise input_error(position, _TOO_DEEP, next_step=_SPLIT) from None


def render_file(path: Path, scope: magic.Names, values: Mapping[str, Any]) -> str | Secret:
    """Return a template file rendered with ``values`` over the host's variables.

    Raises InputError at file and line.
    """

    def finish(parts: list[Any]) -> str:
        return "".join(map(str, parts))

    try:
        template = file_environment(path.parent).get_template(path.name)
        result: str | Secret = _result(
            _Work(template, Names(scope, values), finish, _Source("", None, path)), is_text=True
        )
        return result
    except TemplateSyntaxError as problem:
        raise _syntax_error(problem, Position(problem.filename or str(path), problem.lineno)) from None
    except TemplateNotFound as problem:
        step = f"templates are beside it: {path.parent}"
        raise InputError(f"template not found: {problem.name!r}", file=path, next_step=step) from None
    except RecursionError:
        raise InputError(_TOO_DEEP, file=path, next_step=_SPLIT) from None
    except UnicodeDecodeError as problem:
        message = f"is not UTF-8 text (byte {problem.start + 1})"
        raise InputError(message, file=path, next_step="save it as UTF-8") from None
    except OSError as problem:
        raise unreadable(path, problem) from None


@dataclass(frozen=True)
class _Source:
    """The place that errors of a template name: of a variable's text its position, else a line of the file."""

    text: str
    position: Position | None
    path: Path | None = None

    def position_of(self, problem: BaseException) -> Position | None:
        if self.path is None:
            return self.position
        trace, result = problem.__traceback__, Position(str(self.path))
        while trace is not None:  # the innermost template counts: an included one, when the failure is there
            template = trace.tb_frame.f_globals.get("__jinja_template__")
            if template is not None and template.filename:
                result = Position(template.filename, template.get_corresponding_lineno(trace.tb_lineno))
            trace = trace.tb_next
        return result


@dataclass(frozen=True)
class _Work:
    """A template, its names, and how its values are put together."""

    template: Template
    names: Names
    finish: Callable[[list[Any]], Any]
    source: _Source

    def evaluate(self) -> tuple[Any, bool]:
        """Return the result, and whether it is a single value."""
        context = self.template.new_context(self.names, shared=True)
        values = [value for value in self.template.root_render_func(context) if value is not None]
        result = self.finish(values)
        if isinstance(result, str) and (REDACTED in result or _REDACTED_IN_JSON in result):
            raise TemplateError(_HIDDEN_USE)
        return result, len(values) < 2


def _result(work: _Work, is_text: bool) -> Any:
    with start_evaluation() as evaluation:
        try:
            value, is_alone = work.evaluate()
            printed = [str(item) for item in evaluation.printed] if evaluation.secrets else []
        except (TemplateSyntaxError, TemplateNotFound, OrchestrError):
            raise
        except Exception as problem:  # of any type: filters are called with any value, and Jinja2's own assert
            raise _error(work, problem, bool(evaluation.secrets)) from None
    secrets = evaluation.secrets
    if not secrets:
        if is_text:
            return value
        with pause_evaluation():
            return seal(value, (), False)
    other = _disguise(work)
    if isinstance(value, str) and (is_text or not is_alone):
        return Secret(value, secret_parts(value, printed, other, secrets))
    if [repr(key) for key in keys_in(value)] != [repr(key) for key in keys_in(other[0] if other else None)]:
        raise _input_error(work.source, TemplateError(_HIDDEN_KEY), _HIDDEN_KEY, None)
    parts = next((secret.parts for secret in secrets if secret.reveal() == value), ())
    with pause_evaluation():
        return seal(value, parts, True)


def _disguise(work: _Work) -> tuple[Any, list[str]] | None:
    """Return the result and the printed values with other secrets; a template may refuse them, then None."""
    with start_evaluation(is_disguised=True) as evaluation:
        try:
            value, _ = work.evaluate()
            return value, [str(item) for item in evaluation.printed]
        except Exception:
            return None


def _error(work: _Work, problem: Exception, is_secret: bool) -> InputError:
    """Return the error for a failure. Its reason is told unless another secret would have given another one."""
    if isinstance(problem, UndefinedName) and problem.cause is not None:
        return problem.cause
    reason = _reason(problem, work.names)
    if is_secret and reason != _disguised_reason(work):
        reason = (f"{type(problem).__name__}; more is not shown, a secret took part", None)
    return _input_error(work.source, problem, *reason)


def _disguised_reason(work: _Work) -> tuple[str, str | None] | None:
    with start_evaluation(is_disguised=True):
        try:
            work.evaluate()
        except Exception as problem:
            return _reason(problem, work.names)
    return None


def _reason(problem: Exception, names: Names) -> tuple[str, str | None]:
    """Return the message of a failure, and the name that was meant."""
    if not isinstance(problem, UndefinedName):
        message = problem.message if isinstance(problem, TemplateError) else f"{type(problem).__name__}: {problem}"
        return str(message), None
    if problem.name is None:  # undef(hint=…)
        return str(problem.message), None
    name = problem.name._undefined_name if isinstance(problem.name, Undefined) else problem.name
    if problem.owner is None or name is not problem.name:  # of d[x] without an x, the x is meant
        return f"the variable {name!r} is not defined", closest(str(name), names.known())
    is_mapping = isinstance(problem.owner, Mapping)
    owner = "a mapping" if is_mapping else type(problem.owner).__name__
    known = [str(key) for key in problem.owner] if is_mapping else []
    return f"no {problem.name!r} in {owner}", closest(str(problem.name), known)


def _input_error(source: _Source, problem: Exception, message: str, suggestion: str | None) -> InputError:
    position = source.position_of(problem) or Position("")
    kind, step = InputError, "see that each variable in it is of the type it is used as"
    if isinstance(problem, UndefinedName):
        kind, step = UndefinedVariable, "set it, or give a default: {{ NAME | default('…') }}"
    else:
        message = (
            f"the template {shown(source.text.strip())} fails: {message}"
            if source.text
            else f"the template fails: {message}"
        )
    return kind(
        message,
        file=position.file or None,
        line=position.line,
        column=position.column,
        suggestion=suggestion,
        next_step=step,
    )


@functools.lru_cache(maxsize=2048)
def _compile(text: str) -> Template:
    return environment().from_string(_with_backslashes(text))


def _with_backslashes(text: str) -> str:
    """As Ansible: a backslash in a string inside ``{{ }}`` is a backslash, ``'\\1'`` refers to a group."""
    if "\\" not in text:
        return text
    pieces: list[str] = []
    is_expression = False
    for _, kind, value in environment().lex(text):
        if kind in ("variable_begin", "variable_end"):
            is_expression = kind == "variable_begin"
        pieces.append(value.replace("\\", "\\\\") if is_expression and kind == "string" else value)
    return "".join(pieces)


def _count_newlines(text: str) -> int:
    return len(text) - len(text.rstrip("\n"))


def _syntax_error(problem: TemplateSyntaxError, position: Position | None) -> InputError:
    message = problem.message or "malformed"
    if match := _NO_FUNCTION.match(message):
        return _unknown(match[1], match[2], position)
    step = "templates are {{ expression }}, {% statement %}; write !unsafe before a text that is not a template"
    return input_error(position, f"malformed template: {message}", next_step=step)


def _unknown(kind: str, name: str, position: Position | None) -> InputError:
    """Return the error for a filter or a test that does not exist, or that needs Ansible's runtime."""
    unsupported = (FILTERS if kind == "filter" else TESTS).get(name.removeprefix(PREFIX))
    if unsupported:
        return input_error(position, f"the {kind} {name!r} of Ansible is not supported", next_step=unsupported)
    known = environment().filters if kind == "filter" else environment().tests
    step = f"docs/reference/inventory.md lists the {kind}s"
    return input_error(position, f"no {kind} {name!r}", suggestion=closest(name, known), next_step=step)
