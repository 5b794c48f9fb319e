"""Role templates: Jinja2 files rendered to text that a host gets; what a secret took part in is a Secret."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    pass_context,
)
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from orchestr.errors import InputError
from orchestr.inventory.filters import FILTERS
from orchestr.inventory.secret_views import disguising, opened, recording
from orchestr.secret import HIDDEN, Secret

if TYPE_CHECKING:
    from orchestr.inventory.templating import Scope


FAILURES = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)  # what an expression can raise
HIDDEN_IN_JSON = json.dumps(HIDDEN)[1:-1]


class _Pieces:
    """What printed expressions gave, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def printed(self, value: Any) -> Any:
        value = opened(value)
        self.texts.append(str(value))
        return value


class _Context(Context):
    """Opens a secret the moment a template names it, so that filters see its text."""

    def resolve_or_missing(self, key: str) -> Any:
        return opened(super().resolve_or_missing(key))


class _Environment(SandboxedEnvironment):
    """Looks into Secrets and containers of them only through views that note what was opened."""

    context_class = _Context

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Secret) or attribute in ("reveal", "masked"):
            return self.undefined(obj=obj, name=attribute)
        return opened(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return opened(super().getitem(obj, argument))


@pass_context
def _finalize(context: Any, value: Any) -> Any:
    return context["_pieces"].printed(value)


@functools.cache
def _environment(directory: Path) -> _Environment:
    environment = _Environment(
        loader=FileSystemLoader(directory),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # configuration files, not HTML
        finalize=_finalize,
    )
    environment.filters.update(FILTERS)
    return environment


def render_file(path: Path, scope: Scope, values: Mapping[str, Any]) -> str | Secret:
    """Return a template file rendered with ``values`` over the host's variables.

    A Secret, with the printed secrets as its parts, when one took part. Raises InputError at file and line.
    """
    try:
        template = _environment(path.parent).get_template(path.name)
        everything = {**_variables(scope, path), **values}
        with recording() as record:
            text, pieces = _rendered(template, everything)
        if HIDDEN in text or HIDDEN_IN_JSON in text:
            raise TemplateError("a secret was printed in a way that hides it; print it with {{ }} alone")
        if not record:
            return text
        return Secret(text, (*_tainted(template, everything, pieces), *(secret.reveal() for secret in record)))
    except TemplateSyntaxError as error:
        where = error.filename or path
        raise InputError(f"malformed template: {error.message}", file=where, line=error.lineno) from None
    except TemplateNotFound as error:
        raise InputError(f"there is no template {error.name!r}", file=path) from None
    except TemplateError as error:
        raise InputError(f"the template fails: {error.message}", file=path, line=_line(error, path)) from None
    except FAILURES as error:
        what = f"the template fails: {type(error).__name__}: {error}"
        raise InputError(what, file=path, line=_line(error, path)) from None


def _rendered(template: Template, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    pieces = _Pieces()
    return template.render({**values, "_pieces": pieces}), pieces.texts


def _tainted(template: Template, values: Mapping[str, Any], pieces: list[str]) -> list[str]:
    """Return the printed texts that a secret took part in: those that other secrets would have made others.

    So a secret is hidden also where a filter has encoded it, and what is merely printed beside it is not. All of
    them when that cannot be told.
    """
    try:
        with disguising():
            _, others = _rendered(template, values)
    except Exception:  # a template may well refuse a secret that makes no sense
        return pieces
    if len(others) != len(pieces):
        return pieces
    return [own for own, other in zip(pieces, others, strict=True) if own != other]


def _variables(scope: Scope, path: Path) -> dict[str, Any]:
    """Return the host's variables that the template names, rendered; others may be broken without harm."""
    wanted = _names_in(path.parent, path.name)
    return {name: scope.value(name) for name in wanted if scope.has_variable(name)}


@functools.lru_cache(maxsize=256)
def _names_in(directory: Path, name: str) -> tuple[str, ...]:
    environment = _environment(directory)
    text = (directory / name).read_text(encoding="utf-8")
    return tuple(sorted(find_undeclared_variables(environment.parse(text, filename=str(directory / name)))))


def _line(error: BaseException, path: Path) -> int | None:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
