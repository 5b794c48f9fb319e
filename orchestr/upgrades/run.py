"""Grow or shrink a running cluster from one inventory to another, without an interruption for its users.

The order: compare the two topologies → preflight → forecast → backup of hosts that will change → new hosts, one by one,
each healthy before the next → kept hosts → last, kept hosts that drain, one by one and only if something changes on
them → drain and stop removed hosts → verify from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.api import RunSession
from orchestr.engine.phases import phases
from orchestr.engine.run import Run, RunOptions
from orchestr.errors import EXIT_DONE
from orchestr.results import RunResult
from orchestr.upgrades.schedule import departing_steps, schedule
from orchestr.upgrades.states import describe_states
from orchestr.upgrades.topology import Topology as Topology
from orchestr.upgrades.topology import UpgradeResult as UpgradeResult
from orchestr.upgrades.topology import compare as compare

if TYPE_CHECKING:
    from orchestr.engine.session import Connector
    from orchestr.inventory import Inventory, VaultKey


def upgrade(
    before: Inventory,
    after: Inventory,
    *,
    playbook: str | Path | None = None,
    on_event: events.Consumer | None = None,
    connector: Connector | None = None,
    forks: int = 32,
    verify: bool = True,
    journal: bool = True,
    verb: str = "upgrade",
) -> UpgradeResult:
    """Change a running cluster from ``before`` to ``after``; stop at the first failure, and report each host's state.

    Raises InputError for an error in either inventory, before the first connection.
    """
    topology = compare(before, after)
    options = RunOptions(
        verb=verb,
        forks=forks,
        any_errors_fatal=True,
        new_hosts=frozenset(topology.new),
        previous=before.path,
        chosen_playbook=Path(playbook) if playbook is not None else None,
    )
    with RunSession(on_event, connector, journal=journal) as session:
        main = session.prepare(after, playbook, options)
        parting = _parting_run(session, before, playbook, topology, main) if topology.removed else None
        if parting is not None and _hands_over(main, parting):
            _link_runs(main, parting)
        _announce(main, topology)
        result = UpgradeResult(main.execute(lambda run: schedule(run, topology)), topology)
        if parting is not None and result.run.exit_code == EXIT_DONE:
            result.has_parted = True
            _merge(result.run, parting.execute(lambda run: departing_steps(run, topology)))
        elif main.departing is not None:  # their results so far
            result.run.hosts.update(main.departing.result.hosts)
        if verify and result.run.exit_code == EXIT_DONE:
            from orchestr.verification.run import verify_in

            result.verification = verify_in(session, after, playbook, forks=forks, run_id=main.id)
        result.states = dict(describe_states(main, topology, result))
    return result


def rollback(
    run: str,
    *,
    playbook: str | Path | None = None,
    extra_vars: Mapping[str, Any] | None = None,
    on_event: events.Consumer | None = None,
    connector: Connector | None = None,
    forks: int = 32,
    verify: bool = True,
    vault_password: Callable[[], str] | VaultKey | None = None,
) -> UpgradeResult:
    """Undo the upgrade ``run``: upgrade the cluster from the new inventory to the old one.

    ``run`` may be ``last``, the newest upgrade. ``playbook`` defaults to the playbook of the upgrade; ``extra_vars``
    must have the variables of the upgrade. ``vault_password`` is the argument of `load_inventory`. Raises InputError
    when the run is not recorded, or was not an upgrade.
    """
    from orchestr.inventory import load_inventory
    from orchestr.upgrades.record import upgrade_record

    record = upgrade_record(run)
    record.check_variables(extra_vars or ())
    before, after = (
        load_inventory(path, extra_vars=extra_vars, vault_password=vault_password)
        for path in (record.after, record.before)
    )
    return upgrade(
        before,
        after,
        playbook=playbook or record.playbook,
        on_event=on_event,
        connector=connector,
        forks=forks,
        verify=verify,
        verb="rollback",
    )


def _hands_over(main: Run, parting: Run) -> bool:
    """Return True if departing hosts take part in the run, in the same plays: they may hand over data."""
    is_same = main.playbook.path.resolve() == parting.playbook.path.resolve()
    items = phases(parting, is_strict=True) if is_same else []
    return any(item.phase.reaches_departing and item.hosts(parting) for item in items)


def _link_runs(main: Run, parting: Run) -> None:
    """Link the plans of staying and departing hosts, so that they take part in one run."""
    main.departing = parting
    main.context.departing, parting.context.staying = parting.context, main.context


def _parting_run(
    session: RunSession, before: Inventory, playbook: str | Path | None, topology: Topology, main: Run
) -> Run:
    """Return the run of the removed hosts, planned by the old inventory."""
    verb, forks, limit = main.options.verb, main.options.forks, ":".join(topology.removed)
    options = RunOptions(verb=verb, forks=forks, limit=limit, run_id=main.id)
    return session.prepare(before, playbook, options)


def _announce(run: Run, topology: Topology) -> None:
    for label, hosts in (("new", topology.new), ("kept", topology.kept), ("removed", topology.removed)):
        if hosts:
            run.emit(events.Note(f"{label}: {', '.join(hosts)}"))


def _merge(into: RunResult, other: RunResult) -> None:
    into.hosts.update(other.hosts)
    into.exit_code = into.exit_code or other.exit_code
    into.elapsed_s += other.elapsed_s
