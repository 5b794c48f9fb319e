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
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.nodes import Template as TemplateNode
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from orchestr.errors import InputError
from orchestr.secret import HIDDEN, Secret, mask
from orchestr.templating.filters import FILTERS
from orchestr.templating.secret_views import disguising, opened, recording

if TYPE_CHECKING:
    from orchestr.templating.values import Scope


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
            text, pieces = _attempted(template, everything, record)
            if not record:
                return text
            parts = _hidden_parts(template, everything, text, pieces)
        return Secret(text, (*parts, *(secret.reveal() for secret in record)))
    except TemplateSyntaxError as error:
        where = error.filename or path
        step = "put the template right; {% raw %} … {% endraw %} is around what is none"
        raise InputError(
            f"malformed template: {error.message}", file=where, line=error.lineno, next_step=step
        ) from None
    except TemplateNotFound as error:
        step = f"templates are beside it: {path.parent}"
        raise InputError(f"there is no template {error.name!r}", file=path, next_step=step) from None
    except _Failed as error:
        step = "see that what it uses is set: orchestr inventory INVENTORY --host NAME"
        raise InputError(f"the template fails: {error}", file=path, line=_line(error, path), next_step=step) from None


class _Failed(Exception):
    """A template can't be rendered; the message has nothing of a secret."""


def _attempted(template: Template, values: Mapping[str, Any], record: list[Secret]) -> tuple[str, list[str]]:
    """Render, and raise _Failed with the place of the failure; a reason that a secret would change is not told."""
    try:
        text, pieces = _rendered(template, values)
        if HIDDEN in text or HIDDEN_IN_JSON in text:
            raise TemplateError("a secret was printed in a way that hides it; print it with {{ }} alone")
        return text, pieces
    except (TemplateSyntaxError, TemplateNotFound):
        raise
    except (TemplateError, *FAILURES) as error:
        reason = _reason(error)
        if record and reason != _other_reason(template, values):
            reason = f"{type(error).__name__}; more is not shown, a secret took part"
        raise _Failed(reason).with_traceback(error.__traceback__) from None


def _reason(error: BaseException) -> str:
    return str(error.message) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"


def _other_reason(template: Template, values: Mapping[str, Any]) -> str:
    try:
        with disguising():
            text, _ = _rendered(template, values)
    except Exception as error:
        return _reason(error)
    return "a secret was printed in a way that hides it; print it with {{ }} alone" if HIDDEN in text else ""


def _rendered(template: Template, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    pieces = _Pieces()
    return template.render({**values, "_pieces": pieces}), pieces.texts


def _hidden_parts(template: Template, values: Mapping[str, Any], text: str, pieces: list[str]) -> list[str]:
    """Return what to hide of a rendered text: the printed pieces that other secrets would have made others.

    So a secret is hidden also where a filter has encoded it, and what is merely printed beside it is not. The whole
    text where more than these pieces depends on a secret: which branch was taken, how often a loop went round.
    """
    try:
        with disguising():
            other_text, others = _rendered(template, values)
    except Exception:  # a template may well refuse a secret that makes no sense
        return [text] if _has_filter_block(template) else pieces
    pairs = list(zip(pieces, others, strict=False))
    own = [piece for piece, other in pairs if piece != other]
    same = mask(text, own) == mask(other_text, [other for piece, other in pairs if piece != other])
    return own if same and len(others) == len(pieces) else [text]


def _has_filter_block(template: Template) -> bool:
    """Say whether ``{% filter %}`` may have changed what was printed, after it was noted."""
    path = Path(template.filename or "")
    return any("filter " in path.with_name(name).read_text(encoding="utf-8") for name in _files_of(path))


def _variables(scope: Scope, path: Path) -> dict[str, Any]:
    """Return the host's variables that the template names, rendered; others may be broken without harm."""
    wanted = _names_in(path.parent, path.name)
    return {name: scope.value(name) for name in wanted if scope.has_variable(name)}


@functools.lru_cache(maxsize=256)
def _names_in(directory: Path, name: str) -> tuple[str, ...]:
    """Return the names a template uses, and those it includes, extends or imports by a name written in it."""
    found: set[str] = set()
    for each in _files_of(directory / name):
        found |= find_undeclared_variables(_parsed(directory, each))
    return tuple(sorted(found))


@functools.lru_cache(maxsize=256)
def _files_of(path: Path) -> tuple[str, ...]:
    """Return the names of a template and of those it names, as far as there are such files."""
    waiting, found = [path.name], dict[str, None]()
    for name in waiting:
        if name not in found and (name == path.name or path.with_name(name).is_file()):
            found[name] = None
            waiting += [each for each in find_referenced_templates(_parsed(path.parent, name)) if each]
    return tuple(found)


def _parsed(directory: Path, name: str) -> TemplateNode:
    path = directory / name
    return _environment(directory).parse(path.read_text(encoding="utf-8"), filename=str(path))


def _line(error: BaseException, path: Path) -> int | None:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
