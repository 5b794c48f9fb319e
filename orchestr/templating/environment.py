"""The Jinja2 environment of all templates: sandboxed, strict about undefined names, native in type, aware of secrets.

Imported only when there is a template to render: Jinja2 takes 20 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from pathlib import Path
from typing import Any, NoReturn, cast

import jinja2.nodes
from jinja2 import ChainableUndefined, FileSystemLoader, StrictUndefined, Template, Undefined, pass_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateRuntimeError
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing

from orchestr.errors import InputError
from orchestr.inventory import magic
from orchestr.inventory.marked import OMIT
from orchestr.secret import Secret
from orchestr.templating.data_filters import DATA_FILTERS
from orchestr.templating.globals import GLOBALS
from orchestr.templating.jinja_tests import TESTS
from orchestr.templating.taint import iterate_closed, note_printed, open_view
from orchestr.templating.text_filters import TEXT_FILTERS

PREFIX = "ansible.builtin."
_LAZY = (Iterator, KeysView, ValuesView, ItemsView)


class UndefinedVariable(InputError):
    """The InputError of an undefined name."""


class UndefinedName(TemplateError):
    """A template used something undefined: ``name``, looked for in ``owner`` (None: among the variables)."""

    def __init__(self, message: str, name: Any, owner: Any, cause: InputError | None) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner
        self.cause = cause


class Missing(ChainableUndefined, StrictUndefined):
    """Something undefined: ``default`` and ``is defined`` accept it, any other use raises UndefinedName."""

    __slots__ = ()

    def __init__(self, hint: Any = None, obj: Any = missing, name: Any = None, exc: Any = None) -> None:
        cause = hint if isinstance(hint, InputError) else None
        owner = None if obj is missing else obj
        # Jinja2 calls the exception with its message; any callable that returns one will do.
        named = cast(Any, lambda message: UndefinedName(str(message), name, owner, cause))
        exception = exc if exc is SecurityError else named
        super().__init__(str(hint) if hint else None, obj, name, exception)


class Names(dict[str, Any]):
    """The names of one template: values given to it, a host's variables (rendered when asked for), the functions."""

    def __init__(self, scope: magic.Names | None = None, given: Mapping[str, Any] | None = None) -> None:
        super().__init__(given or {})
        self.scope = scope

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._is_variable(name) or name in environment().globals

    def __getitem__(self, name: str) -> Any:
        if super().__contains__(name):
            return open_view(super().__getitem__(name))
        if self.scope is None or not self._is_variable(name):
            return environment().globals[name]
        try:
            value = open_view(self.scope.value(name))
        except (
            UndefinedVariable
        ) as problem:  # as in Ansible, a variable that needs an undefined one is itself undefined
            return Missing(hint=problem, name=name)
        # A template that appends to a list changes its own copy.
        return value.copy() if type(value) in (list, dict) else value

    def known(self) -> list[str]:
        """Return every name that a template can use, functions left out."""
        return [*self, *(self.scope.known_names() if self.scope else ())]

    def extended(self, values: Mapping[str, Any]) -> Names:
        """Return these names with ``values`` over them."""
        return Names(self.scope, {**self, **values})

    def _is_variable(self, name: object) -> bool:
        return self.scope is not None and name in self.scope


class _Context(Context):
    """Keeps the names as they are where Jinja2 would copy a dict: in an included or imported template, in a block."""

    def get_all(self) -> dict[str, Any]:
        return cast(Names, self.parent).extended(self.vars)

    def derived(self, locals: dict[str, Any] | None = None) -> Context:
        context = _new_context(self.environment, self.name, {}, self.get_all(), locals)
        context.eval_ctx = self.eval_ctx
        context.blocks.update((name, list(blocks)) for name, blocks in self.blocks.items())
        return context


class _Template(Template):
    def new_context(
        self, vars: dict[str, Any] | None = None, shared: bool = False, locals: Mapping[str, Any] | None = None
    ) -> Context:
        return _new_context(self.environment, self.name, self.blocks, vars, locals)


def _new_context(
    environment: jinja2.Environment,
    name: str | None,
    blocks: dict[str, Callable[[Context], Iterator[str]]],
    names: dict[str, Any] | None,
    inner: Mapping[str, Any] | None,
) -> Context:
    names = names if isinstance(names, Names) else Names(given=names)
    inner = {key: value for key, value in (inner or {}).items() if value is not missing}
    return environment.context_class(environment, names.extended(inner) if inner else names, name, blocks)


class Environment(SandboxedEnvironment):
    """One set of rules for templates in variables and in files."""

    code_generator_class = NativeCodeGenerator
    context_class = _Context
    template_class = _Template

    def getattr(self, obj: Any, attribute: str) -> Any:
        return open_view(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return open_view(super().getitem(obj, argument))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not isinstance(obj, Secret) and super().is_safe_attribute(obj, attr, value)

    @staticmethod
    def concat(values: Iterable[Any]) -> Any:
        """Return the one value as it is, several as one text, None for none; as Ansible."""
        values = [value for value in values if value is not None]
        if len(values) < 2:
            return values[0] if values else None
        if OMIT in values:
            raise TemplateRuntimeError("omit stands beside a text; it can only be the whole value")
        return "".join(map(str, values))


@functools.cache
def environment() -> Environment:
    """Return the environment that renders variables."""
    result = Environment(undefined=Missing, trim_blocks=True, autoescape=False, optimized=False)
    result.finalize = _finalize
    result.filters.update(TEXT_FILTERS)
    result.filters.update(DATA_FILTERS)
    result.filters.update({name: _listing(function) for name, function in result.filters.items()})
    result.tests.update(TESTS)
    for functions in (result.filters, result.tests):
        functions.update({f"{PREFIX}{name}": function for name, function in functions.items()})
    result.globals.update(GLOBALS)
    return result


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that gives a list where ``function`` gives an iterator, as in Ansible."""

    def call(*arguments: Any, **options: Any) -> Any:
        value = function(*arguments, **options)
        return list(value) if isinstance(value, _LAZY) else value

    call.__name__ = getattr(function, "__name__", "filter")
    call.__dict__.update(getattr(function, "__dict__", {}))  # the marks of pass_environment and its like
    return call


@functools.cache
def file_environment(directory: Path) -> Environment:
    """Return the same environment for the template files of ``directory``: blocks may be indented there."""
    return environment().overlay(loader=FileSystemLoader(directory), lstrip_blocks=True, keep_trailing_newline=True)


@pass_context
def _finalize(context: Any, value: Any) -> Any:
    """Open a secret that is about to be printed. Taking the context keeps Jinja2 from folding constants."""
    value = check_defined(open_view(value))
    note_printed(value)
    return value


def check_defined(value: Any) -> Any:
    """Return ``value``, iterators in it as lists; raises UndefinedName when it is, or holds, something undefined."""
    if isinstance(value, Undefined):
        _fail(value)
    if isinstance(value, dict):
        for item in dict.values(value):
            check_defined(item)
    elif isinstance(value, (list, tuple)):
        for item in iterate_closed(value):
            check_defined(item)
    return _read(value) if _has_lazy(value) else value


def _fail(value: Undefined) -> NoReturn:
    value._fail_with_undefined_error()


def _has_lazy(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_lazy(item) for item in dict.values(value))
    if isinstance(value, (list, tuple)):
        return any(_has_lazy(item) for item in iterate_closed(value))
    return isinstance(value, _LAZY)


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, *_LAZY)):
        return [_read(item) for item in value]
    return check_defined(value)
