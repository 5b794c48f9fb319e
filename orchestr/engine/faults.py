"""Unexpected exceptions as failures of one host: a fault in a role names its file and line."""

from __future__ import annotations

from collections.abc import Mapping

from orchestr.planning.role_lines import RoleLine, line_of_module, role_line_of
from orchestr.redaction import redact

TRACEBACK_TAIL = 2000  # characters
_OWN_FAULT = "this is a fault in orchestr; please report it with these lines"


def describe_fault(error: Exception) -> dict[str, str]:
    """Return ``message``, ``next_step`` and ``stderr`` (the traceback's tail) of an exception on this machine."""
    import traceback  # slow to import, and needed after a fault only

    lines = redact("".join(traceback.format_exception(error)))[-TRACEBACK_TAIL:]
    message = redact(f"{type(error).__name__}: {error}")
    fault = {"message": message, "next_step": _OWN_FAULT, "stderr": lines}
    return _at_line(fault, role_line_of(error))


def name_role(error: Mapping[str, str]) -> dict[str, str]:
    """Return a task's error from a host, with the file and line of the role's code that raised it, if it did.

    The host names the module and the line; the file is known here.
    """
    fields = {key: text for key, text in error.items() if key not in ("module", "line")}
    return _at_line(fields, line_of_module(error.get("module", ""), error.get("line", "")))


def _at_line(fields: dict[str, str], line: RoleLine | None) -> dict[str, str]:
    if line is None:
        return fields
    return {**fields, "message": f"{line}: {fields.get('message', '')}", "next_step": f"fix the error in {line}"}
