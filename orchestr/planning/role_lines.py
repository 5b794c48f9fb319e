"""Lines of roles in tracebacks: where to fix an error that a role's Python caused."""

from __future__ import annotations

import sys
from typing import NamedTuple

from orchestr.paths import nearby

ROLES = "orchestr_roles."  # the package in which roles are imported, here and on hosts


class RoleLine(NamedTuple):
    """A line of a role: its file as messages show it, and the number of the line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def role_line_of(error: BaseException) -> RoleLine | None:
    """Return the innermost line of a role that raised an error, or that is not Python; None if it was no role's."""
    last, trace = None, error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith(ROLES):
            last = RoleLine(nearby(trace.tb_frame.f_code.co_filename), trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return RoleLine(nearby(error.filename), error.lineno)
    return last


def line_of_module(module: str, line: str) -> RoleLine | None:
    """Return the line of a role's module that a host names; None for another module."""
    file = getattr(sys.modules.get(module), "__file__", None) if module.startswith(ROLES) else None
    return RoleLine(nearby(file), int(line)) if file and line.isdecimal() else None
