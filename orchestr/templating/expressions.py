"""Evaluate one template with Jinja2: sandboxed, strict about undefined names, native in type, aware of secrets.

Imported only when there is a template to render.
"""

from __future__ import annotations

import functools
import os
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, NoReturn, cast

import jinja2.nodes
from jinja2 import ChainableUndefined, StrictUndefined, Template, TemplateSyntaxError, Undefined, pass_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateRuntimeError
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestr.errors import InputError
from orchestr.inventory import magic
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, input_error, shown
from orchestr.secret import HIDDEN, Secret
from orchestr.templating.filters import FILTERS
from orchestr.templating.secret_views import (
    closed,
    disguising,
    keys_in,
    opened,
    recording,
    sealed,
    settled,
    unopened,
)

_LAZY = (Iterator, KeysView, ValuesView, ItemsView)
FAILURES = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)


def render(text: str, names: Names, position: Position | None) -> Any:
    """Return what the template ``text`` gives where ``names`` are known; raises InputError at ``position``."""
    try:
        parsed = _pieces(text)
        pieces = [_evaluate(piece, names, is_alone=len(parsed) == 1) for piece in parsed]
    except UndefinedName as problem:
        raise _undefined_error(problem, text, names, position) from None
    except TemplateSyntaxError as problem:
        raise _syntax_error(problem, position) from None
    except InputError:
        raise
    except FAILURES as problem:
        what = f"the template {shown(text.strip())} fails: {problem}"
        raise input_error(
            position, what, next_step="see that each variable in it is of the type it is used as"
        ) from None
    return _joined([piece for piece in pieces if piece is not None], _trailing_newlines(text))


def circle_error(names: list[str], position: Position | None) -> InputError:
    """Return the error for variables that need each other to be rendered."""
    what = f"variables refer to each other in a circle: {' → '.join(names)}"
    return input_error(position, what, next_step=f"give one of them a value without a template: {names[-1]}")


class UndefinedName(TemplateError):
    """A template used something undefined: ``name``, looked for in ``owner`` (None: among the variables)."""

    def __init__(self, message: str, name: Any, owner: Any, cause: InputError | None) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner
        self.cause = cause


class _SecretKey(TemplateError):
    """A mapping's key would show a secret."""


class Missing(ChainableUndefined, StrictUndefined):
    """Something undefined: ``default`` and ``is defined`` accept it, any other use raises UndefinedName."""

    __slots__ = ()

    def __init__(self, hint: Any = None, obj: Any = jinja2.utils.missing, name: Any = None, exc: Any = None) -> None:
        cause = hint if isinstance(hint, InputError) else None
        owner = None if obj is jinja2.utils.missing else obj
        # Jinja2 calls the exception with its message; any callable that returns one will do.
        named = cast(Any, lambda message: UndefinedName(str(message), name, owner, cause))
        exception = exc if exc is SecurityError else named
        super().__init__(str(hint) if hint else None, obj, name, exception)


class Names(dict[str, Any]):
    """The mapping Jinja2 asks for names: a scope's variables, then the global functions."""

    def __init__(self, scope: magic.Names) -> None:
        super().__init__()
        self.scope = scope

    def __contains__(self, name: object) -> bool:
        return name in self.scope or name in _environment().globals

    def __getitem__(self, name: str) -> Any:
        if name not in self.scope:
            return _environment().globals[name]
        try:
            return opened(self.scope.value(name))
        except InputError as problem:
            return self._missing(name, problem)

    def _missing(self, name: str, problem: InputError) -> Any:
        """A variable that needs an undefined one is itself undefined, as in Ansible; other errors are errors."""
        if isinstance(problem, UndefinedVariable):
            return Missing(hint=problem, name=name)
        raise problem


class UndefinedVariable(InputError):
    """The InputError of an undefined name."""


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = NativeCodeGenerator

    def getattr(self, obj: Any, attribute: str) -> Any:
        return opened(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return opened(super().getitem(obj, argument))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not isinstance(obj, Secret) and super().is_safe_attribute(obj, attr, value)


@functools.cache
def _environment() -> _Environment:
    environment = _Environment(undefined=Missing, trim_blocks=True, autoescape=False, optimized=False)
    environment.finalize = _finalize
    environment.filters.update(FILTERS)
    environment.globals["lookup"] = _lookup
    return environment


@pass_context
def _finalize(context: Any, value: Any) -> Any:
    """Open a secret that is about to be printed. Taking the context keeps Jinja2 from folding constants."""
    return opened(value)


@functools.lru_cache(maxsize=2048)
def _pieces(text: str) -> tuple[str | Template, ...]:
    """Split a template into literal texts and single expressions; one with statements stays in one piece.

    Expressions are evaluated one by one so that a secret in one hides that one only.
    """
    environment = _environment()
    text = _with_backslashes(text, environment)
    body = environment.parse(text).body
    children: list[Any] = []
    for node in body:
        if not isinstance(node, jinja2.nodes.Output):
            return (environment.from_string(text),)
        children.extend(node.nodes)
    return tuple(
        child.data if isinstance(child, jinja2.nodes.TemplateData) else _expression(child) for child in children
    )


def _with_backslashes(text: str, environment: _Environment) -> str:
    """As Ansible: a backslash in a string inside a template is a backslash, ``'\\1'`` refers to a group."""
    if "\\" not in text:
        return text
    tokens = environment.lex(text)
    return "".join(value.replace("\\", "\\\\") if kind == "string" else value for _, kind, value in tokens)


def _expression(node: jinja2.nodes.Expr) -> Template:
    body = [jinja2.nodes.Output([node], lineno=1)]
    template = jinja2.nodes.Template(body, lineno=1)
    template.set_environment(_environment())
    return _environment().from_string(template)


def _evaluate(piece: str | Template, names: Names, is_alone: bool) -> Any:
    """Return the native value of one piece, a Secret (or holding Secrets) when it opened one.

    Beside others it will be text: a container is made one here, while it is noted which secrets that opens.
    """
    if isinstance(piece, str):
        return piece
    with recording() as secrets:
        try:
            value = _native(piece, names)
            if not is_alone:
                value = _beside_others(value, bool(secrets))
            if secrets:
                _check_keys(value, piece, names)
        except (InputError, UndefinedName, _SecretKey):
            raise
        except FAILURES as problem:
            if not secrets:
                raise
            raise TemplateError(f"{type(problem).__name__}; more is not shown, a secret took part") from None
    with closed():
        return sealed(value, _hidden_parts(value, secrets), bool(secrets))


def _beside_others(value: Any, tainted: bool) -> Any:
    """Return what a value is as a part of a text. True and nothing, made from a secret, make that text a secret."""
    if value is None:
        return "" if tainted else None
    return str(value) if isinstance(value, (dict, list, tuple)) or (tainted and isinstance(value, bool)) else value


def _native(piece: Template, names: Names) -> Any:
    context = piece.new_context(names, shared=True)
    value = _defined(_concatenated([value for value in piece.root_render_func(context) if value is not None]))
    if _has_lazy(value):
        value = _defined(_read(value))
    if isinstance(value, str) and HIDDEN in value:
        raise TemplateError("a secret was used in a way that hides it; use it by its name, as in {{ password }}")
    return value


def _has_lazy(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_lazy(each) for each in dict.values(value))
    if isinstance(value, (list, tuple)):
        return any(_has_lazy(each) for each in unopened(value))
    return isinstance(value, _LAZY)


def _read(value: Any) -> Any:
    """Return lists where ``map`` and its like gave something lazy: read now, while it is noted what that opens."""
    if isinstance(value, dict):
        return {key: _read(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, *_LAZY)):
        return [_read(each) for each in value]
    return value


def _check_keys(value: Any, piece: Template, names: Names) -> None:
    """Raise TemplateError when a key of a mapping was made from a secret: a key can't be hidden.

    It was when another secret would have made another key.
    """
    keys = [repr(key) for key in keys_in(value)]
    if not keys:
        return
    try:
        with recording(), disguising():
            others = [repr(key) for key in keys_in(_native(piece, names))]
    except Exception:  # a template may well refuse a secret that makes no sense
        others = []
    if keys != others:
        raise _SecretKey(
            "a key of this mapping may be made from a secret, and a key can't be hidden; take the value that is wanted "
            "out of the mapping in the same expression"
        )


def _concatenated(values: list[Any]) -> Any:
    """As Ansible: one value stays what it is, several become one text, none is None."""
    if len(values) < 2:
        return values[0] if values else None
    return "".join(str(_defined(value)) for value in values)


def _hidden_parts(value: Any, secrets: list[Secret]) -> Iterable[str]:
    """The parts to hide of a text made from secrets: all of it, unless it is just a secret that knows its parts."""
    same = next((secret for secret in secrets if secret.parts and secret.reveal() == value), None)
    return same.parts if same else [value] if isinstance(value, str) else []


def _defined(value: Any) -> Any:
    """Return ``value``; raises UndefinedName when it is, or holds, something undefined."""
    if isinstance(value, Undefined):
        _fail(value)
    if isinstance(value, dict):
        for each in dict.values(value):
            _defined(each)
    elif isinstance(value, (list, tuple)):
        for each in unopened(value):
            _defined(each)
    return value


def _fail(value: Undefined) -> NoReturn:
    value._fail_with_undefined_error()


def _joined(pieces: list[Any], newlines: str) -> Any:
    if len(pieces) < 2:
        only = pieces[0] if pieces else None
        return settled(str(only) + newlines[_count_newlines(only) :]) if isinstance(only, str) else only
    text = "".join(piece.reveal() if isinstance(piece, Secret) else str(piece) for piece in pieces)
    text += newlines[_count_newlines(text) :]
    secrets = [piece for piece in pieces if isinstance(piece, Secret)]
    return (
        Secret(text, [part for each in secrets for part in each.parts or (each.reveal(),)])
        if secrets
        else settled(text)
    )


def _count_newlines(text: str) -> int:
    return len(text) - len(text.rstrip("\n"))


def _trailing_newlines(text: str) -> str:
    """Jinja2 drops a template's last newline; Ansible puts it back."""
    return "\n" * _count_newlines(text)


def _lookup(plugin: str, *terms: str, default: Any = None) -> Any:
    """``lookup('env', NAME)``, the one lookup orchestr has; unset and without default it is an empty text."""
    if plugin not in ("env", "ansible.builtin.env"):
        raise TemplateRuntimeError(
            f"lookup {plugin!r} is not supported; orchestr has lookup('env', NAME), and the tags !file and !command"
        )
    values = [os.environ.get(term, "" if default is None else default) for term in terms]
    return values[0] if len(values) == 1 else ",".join(values)


def _undefined_error(problem: UndefinedName, text: str, names: Names, position: Position | None) -> InputError:
    if problem.cause is not None:
        return problem.cause
    place = position or Position("")
    return UndefinedVariable(
        _what_is_missing(problem, text),
        file=place.file or None,
        line=place.line,
        column=place.column,
        suggestion=closest(str(problem.name), _known_beside(problem, names)),
        next_step="set it, or say what is taken without it: {{ NAME | default('…') }}",
    )


def _what_is_missing(problem: UndefinedName, text: str) -> str:
    """A key that is not in the template's own text was computed, perhaps from a secret: it is not shown."""
    if problem.owner is None:
        return f"the variable {problem.name!r} is not defined"
    name = repr(problem.name) if str(problem.name) in text else "such key"
    return f"no {name} in {'a mapping' if isinstance(problem.owner, Mapping) else type(problem.owner).__name__}"


def _known_beside(problem: UndefinedName, names: Names) -> list[str]:
    if problem.owner is None:
        return names.scope.known_names()
    return [str(key) for key in problem.owner] if isinstance(problem.owner, Mapping) else []


def _syntax_error(problem: TemplateSyntaxError, position: Position | None) -> InputError:
    message = problem.message or "malformed"
    if "No filter named" in message:
        name = message.split("'")[1]
        known = _environment().filters
        step = "docs/reference/inventory.md lists the filters"
        return input_error(position, f"no filter {name!r}", suggestion=closest(name, known), next_step=step)
    step = "templates are {{ expression }}, {% statement %}; write !unsafe before a text that is none"
    return input_error(position, f"malformed template: {message}", next_step=step)
