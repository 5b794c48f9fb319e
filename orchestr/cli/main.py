"""The entry point of ``orchestr``: run the verb, turn whatever happens into a message and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from orchestr.cli import problems
from orchestr.cli.group import orchestr
from orchestr.cli.signals import interrupt_on_signals
from orchestr.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, OrchestrError

#: New objects from which python looks for garbage: its 700 would have it look through all modules while they load.
GARBAGE_FROM = 50_000


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. No traceback ever reaches the user."""
    words = list(sys.argv[1:] if args is None else args)
    if args is None:
        gc.set_threshold(GARBAGE_FROM)
    as_json = problems.is_json_wanted(words)
    interrupt_on_signals()
    _speak_utf8()
    try:
        code = _run(words, as_json)
        problems.write_stdout("")
    except BrokenPipeError:
        _give_up_stdout()
        return EXIT_DONE
    except problems.StdoutFailed as error:
        _give_up_stdout()
        print(f"error: the result could not be written to stdout: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    if args is None:
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """End the process: all is written and closed, threads that wait for silent hosts are not waited for.

    Taking hundreds of modules apart one by one, as python does at its end, costs as much as two hosts.
    """
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _run(words: list[str], as_json: bool) -> int:
    try:
        status = _invoke(words)
        return status if isinstance(status, int) else EXIT_DONE
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return EXIT_INPUT
    except click.ClickException as error:
        return problems.tell(problems.from_click(error), as_json)
    except OrchestrError as error:
        return problems.tell(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        return problems.interrupted(as_json)
    except (BrokenPipeError, problems.StdoutFailed):
        raise
    except Exception as error:
        return problems.crashed(error, as_json)


def _give_up_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes at exit


def _invoke(words: list[str]) -> object:
    """Run the verb; click's own ``main`` would turn a reader that left into exit code 1."""
    if "_ORCHESTR_COMPLETE" in os.environ:  # a shell asks for completions
        return orchestr.main(words, prog_name="orchestr", standalone_mode=False)
    with orchestr.make_context("orchestr", list(words)) as context:
        return orchestr.invoke(context)


def _speak_utf8() -> None:
    """Write UTF-8 whatever the locale says, and never fail for a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
