"""The state of each machine after an upgrade, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestr import events
from orchestr.errors import EXIT_FAILED

if TYPE_CHECKING:
    from orchestr.engine.run import Run
    from orchestr.results import HostResult
    from orchestr.upgrades.topology import Topology, UpgradeResult

STILL_THERE = "untouched, still part of the cluster"


def _changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count} changes"


def _after_parting(result: HostResult) -> str:
    """Return the state of a removed host after its steps; without tasks, no role of the host had one to stop."""
    if result.changed:
        return "drained and stopped"
    return "already stopped" if result.ok else "nothing to stop on it, no longer part of the cluster"


def _before_parting(result: HostResult) -> str:
    """Return the state of a departing host when the upgrade failed before its steps."""
    return f"handed over its data ({_changes(result.changed)}), not stopped" if result.changed else STILL_THERE


def _after_failure(result: HostResult) -> str:
    """Return the state of a host that failed: known changes, and whether there may be others."""
    if result.changed:
        further = ", may have changed further" if result.is_uncertain else ""
        return f"failed after {_changes(result.changed)}{further}"
    return "failed, may have changed" if result.is_uncertain else "failed, nothing changed on it"


def describe_states(run: Run, topology: Topology, result: UpgradeResult) -> Iterator[tuple[str, str]]:
    """Yield (host, state in words) for each machine, and emit it as a note: users read it first after a failure."""
    for host, on_host in result.run.hosts.items():
        if on_host.has_failed:
            state = _after_failure(on_host)
        elif host in topology.removed:
            state = _after_parting(on_host) if result.has_parted else _before_parting(on_host)
        elif on_host.changed:
            state = f"{'added' if host in topology.new else 'changed'} ({_changes(on_host.changed)})"
        else:
            state = "unknown: it may have changed" if on_host.is_uncertain else "unchanged"
        yield host, state
        run.emit(events.Note(state, host))
    for host in topology.removed:
        if host not in result.run.hosts:
            yield host, STILL_THERE
            run.emit(events.Note(STILL_THERE, host))
    if result.run.exit_code == EXIT_FAILED:
        run.emit(events.Note(f"to undo it: orchestr rollback {run.id}; to continue: repeat the command"))
