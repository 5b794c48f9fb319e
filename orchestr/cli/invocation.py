"""The steps that every verb shares: load the inventory, report, print the result."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from orchestr.cli.given import Options
from orchestr.errors import InputError
from orchestr.paths import unreadable

if TYPE_CHECKING:
    from orchestr.events import Consumer, Event
    from orchestr.inventory import Inventory
    from orchestr.reports.choose import Report
    from orchestr.reports.closing import Again


class Result(Protocol):
    """The result that every verb of the library returns."""

    @property
    def exit_code(self) -> int: ...

    def to_json(self) -> dict[str, Any]: ...


class Invocation(Options):
    """One command: its options, and the steps that every verb shares."""

    # -- input ----------------------------------------------------------------------------------------------------
    def load(self, path: str | None = None) -> Inventory:
        """Return the inventory; its warnings go to stderr. Raises InputError."""
        from orchestr.cli.variables import extra_variables
        from orchestr.cli.vault import vault_key
        from orchestr.inventory.load import load_inventory

        inventory = load_inventory(
            path or self.inventory_path, extra_vars=extra_variables(self), vault_password=vault_key(self)
        )
        for warning in inventory.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        return inventory

    @property
    def choice(self) -> dict[str, Any]:
        """The keyword arguments of `orchestr.run` that narrow a run."""
        return {
            "playbook": self.playbook,
            "limit": self.limit,
            "tags": _words("--tags", self.tags),
            "skip_tags": _words("--skip-tags", self.skip_tags),
            "forks": self.forks,
        }

    # -- output ---------------------------------------------------------------------------------------------------
    def perform(self, work: Callable[..., Result], *, diffs: bool = False, report: Report | None = None) -> int:
        """Do ``work(on_event=…)`` under a report (``report``, else the usual one); return the result's exit code."""
        with self.reporting(diffs, report) as consume:
            result = work(on_event=consume)
        if self.as_json:
            self.print_json(result.to_json())
        return result.exit_code

    def print_json(self, value: Any) -> None:
        """Print the one object of --json."""
        from orchestr.cli.problems import write_stdout
        from orchestr.reports.visible import json_line

        write_stdout(json_line(value) + "\n")

    @contextlib.contextmanager
    def reporting(self, diffs: bool = False, instead: Report | None = None) -> Iterator[Consumer]:
        """Give the consumer of a run's events; on leaving, the terminal is given back and files are closed."""
        consumers: list[Consumer] = []
        with contextlib.ExitStack() as resources:
            if self.events is not None:
                consumers.append(resources.enter_context(self._event_file(self.events)))
            report = self._report(diffs or self.diff) if instead is None else instead
            if report is not None:
                resources.callback(report.close)
                consumers.append(report)
            if self.verbose >= 3:
                resources.enter_context(_engine_messages())

            def consume(event: Event) -> None:
                for consumer in consumers:
                    consumer(event)

            yield consume

    def _report(self, diffs: bool) -> Report | None:
        """Return the report for people: on stdout, on stderr beside --json when -v asks for it."""
        stdout_is_taken = self.as_json or self.events == "-"
        if stdout_is_taken and not self.verbose:
            return None
        from orchestr.reports.choose import report_on

        stream = sys.stderr if stdout_is_taken else sys.stdout
        color = False if self.no_color else None
        return report_on(stream, verbosity=self.verbose, diffs=diffs, again=self.again(), color=color)

    def problems_only(self) -> Report:
        """Return a report of errors on stderr, with more detail at -v; stdout is the verb's own."""
        from orchestr.reports.lines import Wording
        from orchestr.reports.output import Output
        from orchestr.reports.plain import PlainReport

        return PlainReport(Output(sys.stderr), Wording(self.verbose), None)

    @contextlib.contextmanager
    def _event_file(self, path: str) -> Iterator[Consumer]:
        from orchestr.reports.jsonl import JsonLines
        from orchestr.reports.output import Output

        if path == "-":
            if self.as_json:
                raise InputError("--json and --events - both want stdout", next_step="give --events a file")
            yield JsonLines(Output(sys.stdout))
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise unreadable(path, error, "--events: can't be written") from None
        stream = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")
        try:
            yield JsonLines(Output(stream))
        finally:
            try:
                stream.close()
            except OSError as error:
                print(f"warning: --events: {path} is not whole: {error.strerror}", file=sys.stderr)

    def again(self) -> Again:
        """Return the part of this command that the next one repeats; values of -e are not shown again."""
        from orchestr.reports.closing import Again

        options: list[str] = []
        for name, values in (("-l", [self.limit]), ("-t", self.tags), ("--skip-tags", self.skip_tags)):
            options += [f"{name} {shlex.quote(value)}" for value in values if value]
        if self.playbook:
            options.append(f"--playbook {shlex.quote(self.playbook)}")
        options += ["-e …"] * bool(self.extra_vars)
        return Again(
            shlex.quote(self.inventory_path), " ".join(options), shlex.quote(self.target) if self.target else ""
        )


def _words(option: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split ``-t a,b -t c`` into its words; an empty variable in a script must not mean everything."""
    words = tuple(word.strip() for value in values for word in value.split(",") if word.strip())
    if values and not words:
        raise InputError(f"{option} is empty", next_step="leave it out to take everything")
    return words


@contextlib.contextmanager
def _engine_messages() -> Iterator[None]:
    """Show paramiko's messages about connections (at -vvv), on stderr."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("· %(name)s: %(message)s"))
    logger = logging.getLogger("paramiko")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
