"""Lines of roles in tracebacks: where to fix an error that a role's Python caused."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

from orchestr.errors import InputError, OrchestrError
from orchestr.paths import nearby

ROLES = "orchestr_roles."  # the package in which roles are imported, here and on hosts


class RoleLine(NamedTuple):
    """A line of a role: its file as messages show it, and the number of the line, None for the file as a whole."""

    file: str
    line: int | None = None

    @classmethod
    def at(cls, file: str, line: int | None = None) -> RoleLine:
        """Return a line of a file, whose path becomes that of messages."""
        return cls(nearby(file), line)

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class RoleError(InputError):
    """A mistake in a role's Python, at its line."""

    def __init__(self, message: str, line: RoleLine, next_step: str = "") -> None:
        super().__init__(message, file=line.file, line=line.line, next_step=next_step or f"fix the error in {line}")


def role_line_of(error: BaseException) -> RoleLine | None:
    """Return the innermost line of a role that raised an error, or that is not Python; None if it was no role's."""
    last, trace = None, error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith(ROLES):
            last = RoleLine.at(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return RoleLine.at(error.filename, error.lineno)
    if last is None and error.__cause__ is not None:
        return role_line_of(error.__cause__)  # the StopIteration that Python turns into a RuntimeError of a generator
    return last


def line_of_module(module: str, line: str) -> RoleLine | None:
    """Return the line of a role's module that a host names; None for another module."""
    file = getattr(sys.modules.get(module), "__file__", None) if module.startswith(ROLES) else None
    return RoleLine.at(file, int(line)) if file and line.isdecimal() else None


@contextlib.contextmanager
def name_faults() -> Iterator[None]:
    """Raise RoleError, at the line, for an exception of a role's code; let any other through."""
    try:
        yield
    except OrchestrError:
        raise
    except Exception as error:
        line = role_line_of(error)
        if line is None:
            raise
        raise RoleError(f"{type(error).__name__}: {error}", line) from error
