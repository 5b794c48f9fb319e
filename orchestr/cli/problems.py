"""Errors of the command line: a message on stderr, and with --json the same as an object on stdout."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click

from orchestr.errors import EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, InputError, OrchestrError
from orchestr.paths import nearby

JSON_VERSION = 1


class StdoutFailed(OSError):
    """The output of a verb cannot be written to stdout (a full disk)."""


def write_stdout(text: str) -> None:
    """Write all of ``text``. Raises BrokenPipeError when the reader has left, StdoutFailed when there is no room."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StdoutFailed(error.errno, error.strerror) from None


def is_json_wanted(args: list[str]) -> bool:
    """Return True if --json is among the options typed, before they are parsed (they may be wrong)."""
    own = args[: args.index("--")] if "--" in args else args
    return "--json" in own


def tell(error: OrchestrError, as_json: bool) -> int:
    """Report an error and return the exit code."""
    document = error_object(error)
    if isinstance(error, InputError):
        error.file = nearby(error.file) if error.file else None
        error.suggestion = nearby(error.suggestion) if error.suggestion else None
    stderr = getattr(error, "stderr", "")
    host = getattr(error, "host", "")
    text = f"{host}: {error.message}" if host and not error.message.startswith(host) else str(error)
    if host:
        text += "".join(f"\n  | {line}" for line in stderr.splitlines())
        text += f"\n  → {error.next_step}" if error.next_step and error.next_step not in text else ""
    from orchestr.reports.visible import visible_lines  # an error is rare, and may quote a host

    print(f"error: {visible_lines(text)}", file=sys.stderr)
    if as_json:
        write_stdout(json.dumps(document, ensure_ascii=False) + "\n")
    return error.exit_code


def error_object(error: OrchestrError) -> dict[str, Any]:
    """Return the object that --json prints instead of a result; documented in docs/reference/json.md."""
    fields = ("message", "file", "line", "column", "suggestion", "next_step")
    fields_set = {name: getattr(error, name, None) for name in fields}
    return {"version": JSON_VERSION, "error": fields_set, "exit": error.exit_code}


def from_click(error: click.ClickException) -> InputError:
    """Return a command-line error as the InputError it is, with the closest known name."""
    suggestion = None
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        from orchestr.inventory.closest import closest

        known = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
        suggestion = closest(error.option_name, [name for name in known if name.startswith("-")])
        message = f"there is no option {error.option_name}"
    else:
        message = error.format_message().rstrip(".")
        message = message[:1].lower() + message[1:]
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "orchestr"
    message = re.sub(r"is not in the range x>=(\d+)", r"is less than \1", message)
    message = message.replace("is not a valid integer range", "is not a whole number")
    step = f"{path} --help shows what it takes"
    if path.endswith(" exec"):
        is_missing = isinstance(error, click.MissingParameter)
        step = f"{'write' if is_missing else 'put -- before the command'}: orchestr exec INVENTORY PATTERN -- COMMAND …"
    return InputError(message, suggestion=suggestion, next_step=step)


def interrupted(as_json: bool) -> int:
    """Say that the user (or a signal) ended it before there was a result."""
    if as_json:
        error = {"message": "interrupted", "next_step": None}
        write_stdout(json.dumps({"version": JSON_VERSION, "error": error, "exit": EXIT_INTERRUPTED}) + "\n")
    print("interrupted", file=sys.stderr)
    return EXIT_INTERRUPTED


def crashed(error: BaseException, as_json: bool) -> int:
    """Last resort for a fault in orchestr itself, or in a role: one line, and the full report in a file."""
    from orchestr.cli.crash import role_line_of, save_report

    path = save_report(error)
    report = f"the full report is in {path}" if path else "its report could not be saved"
    line = role_line_of(error)
    fault = f"{line}: a fault in the role" if line else "this is a fault in orchestr"
    message = f"{fault}: {type(error).__name__}; {report}"
    if as_json:
        step = f"fix the error in {line}" if line else "please report it with that file"
        problem = {"message": message, "next_step": step}
        write_stdout(json.dumps({"version": JSON_VERSION, "error": problem, "exit": EXIT_FAILED}) + "\n")
    print(f"error: {message}", file=sys.stderr)
    return EXIT_FAILED


__all__ = [
    "EXIT_INPUT",
    "StdoutFailed",
    "crashed",
    "error_object",
    "from_click",
    "interrupted",
    "is_json_wanted",
    "tell",
    "write_stdout",
]
