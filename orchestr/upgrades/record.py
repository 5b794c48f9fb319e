"""The record of an upgrade: the data that a rollback needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestr.errors import InputError

BECOME_PASSWORD = "ansible_become_password"  # noqa: S105 - the name of the variable that -K sets


@dataclass(frozen=True)
class UpgradeRecord:
    """An upgrade or a rollback: its two inventories, playbook and variables.

    ``playbook`` is None when the inventories name it. ``variables`` are the names of -e; values are never recorded.
    """

    run: str
    before: Path
    after: Path
    playbook: Path | None
    variables: tuple[str, ...]

    def check_variables(self, names: Iterable[str]) -> None:
        """Raise InputError unless ``names`` has all variables of the upgrade."""
        missing = [name for name in self.variables if name not in set(names)]
        if not missing:
            return
        options = [f"-e {name}=…" for name in missing if name != BECOME_PASSWORD]
        options += ["-K"] * (BECOME_PASSWORD in missing)
        message = f"the rollback needs variables of the upgrade: {', '.join(missing)}"
        raise InputError(message, next_step=f"orchestr rollback {self.run} {' '.join(options)}")


def upgrade_record(run: str) -> UpgradeRecord:
    """Return the record of the upgrade ``run``, a word as for `record_of`; ``last`` is the newest upgrade.

    Raises InputError when the run is not found, or was not an upgrade.
    """
    from orchestr.engine.journal import record_of

    record = _last() if run == "last" else record_of(run)
    if record is None:
        raise InputError("no upgrade is recorded", next_step="orchestr history lists the runs")
    if not record.get("previous"):
        last = _last()
        step = "to undo a run, restore the old inventory and run it"
        if last is not None:
            step = f"the last upgrade: orchestr rollback {last['run']}; {step}"
        raise InputError(f"run {record['run']} was a {record['verb']}, not an upgrade", next_step=step)
    chosen = record.get("chosen_playbook")
    return UpgradeRecord(
        run=record["run"],
        before=Path(record["previous"]),
        after=Path(record["inventory"]),
        playbook=Path(chosen) if chosen else None,
        variables=tuple(record.get("extra_variables", ())),
    )


def _last() -> dict[str, Any] | None:
    """Return the newest upgrade, None without one. Skip rollbacks: a repeated ``rollback last`` continues the first."""
    from orchestr.engine.journal import runs

    upgrades = (record for record in reversed(runs()) if record["verb"] == "upgrade" and record.get("previous"))
    return next(upgrades, None)
