"""The library's verbs: the commands of the command line as functions from an inventory to a result.

No function prints. Progress comes as events to ``on_event``; bad input raises InputError before the first connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.engine.run import Run, RunOptions
from orchestr.events import Consumer, Event, Note
from orchestr.planning.playbook import Playbook, load_playbook
from orchestr.planning.playbook_path import playbook_path
from orchestr.planning.role_lines import name_faults
from orchestr.results import RunResult

if TYPE_CHECKING:
    from orchestr.engine.journal import Journal
    from orchestr.engine.session import Connector
    from orchestr.inventory import Inventory


def run(
    inventory: Inventory,
    *,
    playbook: str | Path | Playbook | None = None,
    limit: str | None = None,
    tags: Iterable[str] = (),
    skip_tags: Iterable[str] = (),
    check: bool = False,
    forks: int = 32,
    lifecycle: str = "deploy",
    on_event: Consumer | None = None,
    connector: Connector | None = None,
    journal: bool = True,
    verb: str = "run",
) -> RunResult:
    """Make every host match the inventory; return the results of all hosts.

    ``playbook`` defaults to the playbook that the inventory names, then ``playbooks/site.yml``. ``limit`` is a host
    pattern. Raises InputError for an error in inventory, playbook or parameters; a host's failure is in the result.
    """
    choice = RunOptions(
        verb=verb,
        check=check,
        limit=limit,
        tags=tuple(tags),
        skip_tags=tuple(skip_tags),
        forks=forks,
        lifecycle=lifecycle,
    )
    with RunSession(on_event, connector, journal=journal) as session:
        return session.prepare(inventory, playbook, choice).execute()


def plan(
    inventory: Inventory,
    *,
    playbook: str | Path | Playbook | None = None,
    limit: str | None = None,
    tags: Iterable[str] = (),
    skip_tags: Iterable[str] = (),
    forks: int = 32,
    lifecycle: str = "deploy",
    on_event: Consumer | None = None,
    connector: Connector | None = None,
    journal: bool = True,
) -> RunResult:
    """Dry run: observe, and return the changes that `run` would make with these arguments. Raises InputError."""
    return run(
        inventory,
        playbook=playbook,
        limit=limit,
        tags=tags,
        skip_tags=skip_tags,
        check=True,
        forks=forks,
        lifecycle=lifecycle,
        on_event=on_event,
        connector=connector,
        journal=journal,
        verb="plan",
    )


def _load(inventory: Inventory, playbook: str | Path | Playbook | None) -> Playbook:
    if isinstance(playbook, Playbook):
        return playbook
    return load_playbook(playbook if playbook is not None else playbook_path(inventory))


class RunSession:
    """Runs that share consumers and a journal; a context manager. ``prepare`` validates a run and returns it."""

    def __init__(self, on_event: Consumer | None, connector: Connector | None, *, journal: bool = True) -> None:
        self._consumers: list[Consumer] = [on_event] if on_event is not None else []
        self._connector = connector
        self._wants_journal = journal
        self._journal: Journal | None = None
        self._run_id = ""

    @property
    def connector(self) -> Connector:
        """The connector of the session, else the one for the inventory's connections."""
        if self._connector is None:
            from orchestr.transport.connect import connect

            self._connector = connect
        return self._connector

    def __enter__(self) -> RunSession:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._journal is not None:
            self._journal.close()

    def prepare(
        self,
        inventory: Inventory,
        playbook: str | Path | Playbook | None,
        options: RunOptions,
        result_type: type[RunResult] = RunResult,
    ) -> Run:
        """Return a validated run. Raises InputError; it has no connection and no record yet."""
        if not options.check:
            inventory.generated.begin_writing()
        plays = _load(inventory, playbook)
        with name_faults():
            run = Run(inventory, plays, options, self._consume, self.connector, result_type)
        run.context.notes.extend(("", note) for note in inventory.generated.notes())
        self._run_id = self._run_id or run.id
        return run

    def _consume(self, event: Event) -> None:
        """Record an event and pass it to the consumers. The journal starts with the first event."""
        if self._wants_journal and self._journal is None:
            from orchestr.engine.journal import Journal

            self._journal = Journal(self._run_id, lambda problem: self._consume(Note(problem, level="warning")))
            self._consumers.insert(0, self._journal)
        for consumer in self._consumers:
            consumer(event)
