"""The functions of templates that are Ansible's: ``lookup``, ``query``, ``now``, ``undef`` and ``omit``."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import pass_context, pass_environment
from jinja2.exceptions import TemplateRuntimeError
from jinja2.runtime import Context

from orchestr.inventory.closest import closest
from orchestr.inventory.marked import OMIT
from orchestr.templating.unsupported import LOOKUPS as UNSUPPORTED
from orchestr.vault.format import is_vault

_UNSET = object()


@pass_context
def query(context: Context, plugin: str, *terms: Any, errors: str = "strict", **options: Any) -> list[Any]:
    """``query('env', NAME)``: a list with one value for each term."""
    name = str(plugin).removeprefix("ansible.builtin.")
    if name not in _LOOKUPS:
        raise TemplateRuntimeError(_unsupported(name))
    try:
        return [_LOOKUPS[name](context, term, **options) for term in terms]
    except (OSError, UnicodeDecodeError, TemplateRuntimeError, TypeError) as problem:
        if errors in ("ignore", "warn"):
            return []
        raise TemplateRuntimeError(f"lookup({name!r}): {problem}") from None


@pass_context
def lookup(context: Context, plugin: str, *terms: Any, wantlist: bool = False, **options: Any) -> Any:
    """``lookup('env', NAME)``: the value; several are joined by commas when they are texts."""
    values: list[Any] = query(context, plugin, *terms, **options)
    if wantlist:
        return values
    if not values and options.get("errors") in ("ignore", "warn"):
        return None
    if len(values) == 1:
        return values[0]
    return ",".join(values) if values and all(isinstance(value, str) for value in values) else values


def now(utc: bool = False, fmt: str | None = None) -> Any:
    """``now``: the date and time, as a text when there is a format."""
    moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) if utc else datetime.datetime.now()
    return moment.strftime(fmt) if fmt else moment


@pass_environment
def undef(environment: Any, hint: str | None = None) -> Any:
    """``undef``: a value that must be overridden; using it is an error."""
    return environment.undefined(hint=hint or "a mandatory variable was not overridden")


def _env(context: Context, name: Any, default: Any = _UNSET) -> Any:
    return os.environ.get(str(name), "" if default is _UNSET or default is None else default)


def _file(context: Context, path: Any, lstrip: bool = False, rstrip: bool = True) -> str:
    """Read a file of this machine; a relative path counts from the inventory's directory."""
    directory = context["inventory_dir"] if "inventory_dir" in context.parent else ""
    text = (Path(directory) / Path(str(path)).expanduser()).read_text(encoding="utf-8")
    if is_vault(text):
        raise TemplateRuntimeError(f"{path} is encrypted; write !file, and a secret into it, or !vault")
    text = text.lstrip() if lstrip else text
    return text.rstrip() if rstrip else text


def _vars(context: Context, name: Any, default: Any = _UNSET) -> Any:
    if name in context.vars or name in context.parent:
        return context.resolve(str(name))
    if default is _UNSET:
        raise TemplateRuntimeError(f"no variable {name!r}")
    return default


def _unsupported(name: str) -> str:
    known = ", ".join(_LOOKUPS)
    if name in UNSUPPORTED:
        return f"lookup {name!r} is not supported; {UNSUPPORTED[name]}"
    near = closest(name, _LOOKUPS)
    return f"lookup {name!r} is not supported; orchestr has: {known}" + (f"; did you mean {near!r}?" if near else "")


_LOOKUPS: dict[str, Callable[..., Any]] = {"env": _env, "file": _file, "vars": _vars}

GLOBALS: dict[str, Any] = {"lookup": lookup, "now": now, "omit": OMIT, "q": query, "query": query, "undef": undef}
