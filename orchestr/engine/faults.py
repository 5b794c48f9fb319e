"""Unexpected exceptions as failures of one host: a fault in a role names its file and line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType

from orchestr.paths import nearby
from orchestr.redaction import redact

ROLES = "orchestr_roles."  # the package in which roles are imported, here and on hosts
TRACEBACK_TAIL = 2000  # characters
_OWN_FAULT = "this is a fault in orchestr; please report it with these lines"


def describe_fault(error: Exception) -> dict[str, str]:
    """Return ``message``, ``next_step`` and ``stderr`` (the traceback's tail) of an exception on this machine."""
    import traceback  # slow to import, and needed after a fault only

    lines = redact("".join(traceback.format_exception(error)))[-TRACEBACK_TAIL:]
    message = redact(f"{type(error).__name__}: {error}")
    fault = {"message": message, "next_step": _OWN_FAULT, "stderr": lines}
    return _at_place(fault, *_last_in_roles(error.__traceback__))


def name_role(error: Mapping[str, str]) -> dict[str, str]:
    """Return a task's error from a host, with the file and line of the role's code that raised it, if it did.

    The host names the module and the line; the file is known here.
    """
    fields = {key: text for key, text in error.items() if key not in ("module", "line")}
    return _at_place(fields, error.get("module", ""), error.get("line", ""))


def _at_place(fields: dict[str, str], module: str, line: str) -> dict[str, str]:
    file = getattr(sys.modules.get(module), "__file__", None) if module.startswith(ROLES) else None
    if not file:
        return fields
    location = f"{nearby(file)}:{line}"
    message = f"{location}: {fields.get('message', '')}"
    return {**fields, "message": message, "next_step": f"fix the error in {location}"}


def _last_in_roles(trace: TracebackType | None) -> tuple[str, str]:
    """Return the module and the line of the innermost call in a role's code, empty when there is none."""
    module, line = "", ""
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.startswith(ROLES):
            module, line = name, str(trace.tb_lineno)
        trace = trace.tb_next
    return module, line
