"""What is on record of an upgrade, as far as going back needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestr.errors import InputError

BECOME_PASSWORD = "ansible_become_password"  # noqa: S105 - the name of the variable that -K sets


@dataclass(frozen=True)
class UpgradeRecord:
    """An upgrade (or a rollback, which is one too): from where to where, and how it was made.

    ``playbook`` is None when the inventories named it. ``variables`` are the names of -e; values are never recorded.
    """

    run: str
    before: Path
    after: Path
    playbook: Path | None
    variables: tuple[str, ...]

    def check_variables(self, given: Iterable[str]) -> None:
        """Raise InputError unless the variables the upgrade was made with are given again."""
        missing = [name for name in self.variables if name not in set(given)]
        if not missing:
            return
        options = [f"-e {name}=…" for name in missing if name != BECOME_PASSWORD]
        options += ["-K"] * (BECOME_PASSWORD in missing)
        what = f"the upgrade was made with variables that must be given again: {', '.join(missing)}"
        raise InputError(what, next_step=f"orchestr rollback {self.run} {' '.join(options)}")


def upgrade_record(run: str) -> UpgradeRecord:
    """Return the upgrade ``run``, named as `find_run` takes it; ``last`` is the newest, whatever ran after it.

    Raises InputError when there is none, or the run was no upgrade.
    """
    from orchestr.engine.journal import record_of

    record = _last() if run == "last" else record_of(run)
    if record is None:
        raise InputError("no upgrade is recorded", next_step="orchestr history lists the runs")
    if not record.get("previous"):
        last = _last()
        step = "to go back after a run, restore the inventory you had and run it"
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
    """Return the newest upgrade. A rollback is not meant: typed again, ``rollback last`` goes on and not forth."""
    from orchestr.engine.journal import runs

    upgrades = (each for each in reversed(runs()) if each["verb"] == "upgrade" and each.get("previous"))
    return next(upgrades, None)
