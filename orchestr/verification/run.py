"""Verify: connect to the hosts, run the checks of their roles, and report each result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestr.api import RunSession
from orchestr.engine.fleet import DEFAULT_FORKS
from orchestr.engine.run import Run, RunOptions
from orchestr.verification.placements import placements
from orchestr.verification.result import VerifyResult

if TYPE_CHECKING:
    from orchestr.engine.fleet import Fleet
    from orchestr.engine.session import Connector
    from orchestr.events import Consumer
    from orchestr.inventory import Inventory
    from orchestr.planning.playbook import Playbook


def verify(
    inventory: Inventory,
    *,
    playbook: str | Path | Playbook | None = None,
    limit: str | None = None,
    forks: int = DEFAULT_FORKS,
    on_event: Consumer | None = None,
    connector: Connector | None = None,
    journal: bool = True,
) -> VerifyResult:
    """Run every role's checks for every host that gets the role; return the results. Nothing is changed.

    Raises InputError for anything wrong in inventory, playbook or parameters, before anything is connected.
    """
    with RunSession(on_event, connector, journal=journal) as session:
        return verify_in(session, inventory, playbook, limit=limit, forks=forks)


def verify_in(
    session: RunSession,
    inventory: Inventory,
    playbook: str | Path | Playbook | None,
    *,
    limit: str | None = None,
    forks: int = DEFAULT_FORKS,
    run_id: str = "",
) -> VerifyResult:
    """Verify as `verify` does, in a session that may have runs before it; ``run_id`` makes it a part of one of them."""
    options = RunOptions(verb="verify", check=True, limit=limit, forks=forks, run_id=run_id)
    run = session.prepare(inventory, playbook, options, VerifyResult)
    run.carry_out(lambda fleet: _check(run, fleet))
    return cast(VerifyResult, run.result)


def _check(run: Run, fleet: Fleet) -> None:
    run.context.facts.update(fleet.open(run.hosts))
    reached = [placement for placement in placements(run) if fleet.session(placement.host) is not None]
    if reached:
        from orchestr.verification.checks import run_checks

        run_checks(reached, fleet, run.emit)
