"""The topology of an upgrade: which hosts are new, kept and removed; and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestr.errors import EXIT_DONE, InputError
from orchestr.results import RunResult

if TYPE_CHECKING:
    from orchestr.inventory import Inventory
    from orchestr.verification import VerifyResult


@dataclass(frozen=True)
class Topology:
    """The hosts that an upgrade adds, keeps and removes, in inventory order."""

    new: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass
class UpgradeResult:
    """The result of an upgrade: the run over the hosts of both inventories, and the checks from outside after it.

    ``states`` has the state of each host in words. ``has_parted``: the steps of departing hosts have run.
    """

    run: RunResult
    topology: Topology
    verification: VerifyResult | None = None
    states: dict[str, str] = field(default_factory=dict)
    has_parted: bool = False

    @property
    def exit_code(self) -> int:
        if self.run.exit_code == EXIT_DONE and self.verification is not None:
            return self.verification.exit_code
        return self.run.exit_code

    def to_json(self) -> dict[str, Any]:
        """Return the object for ``--json``: the run's object, with ``topology``, ``states`` and ``verify``."""
        topology = {"new": self.topology.new, "kept": self.topology.kept, "removed": self.topology.removed}
        checks = self.verification.to_json() if self.verification is not None else None
        return {
            **self.run.to_json(),
            "exit": self.exit_code,
            "topology": topology,
            "states": self.states,
            "verify": checks,
        }


def compare(before: Inventory, after: Inventory) -> Topology:
    """Return the new, kept and removed hosts. Raises InputError for the same inventory, or without a common host."""
    if before.path.resolve() == after.path.resolve():
        raise InputError(
            "--to is the same inventory: there is nothing to upgrade",
            file=after.path,
            next_step=f"orchestr run {after.path} makes the hosts match it",
        )
    kept = tuple(name for name in after.hosts if name in before.hosts)
    if not kept:
        raise InputError(
            f"no host of {after.path} is in {before.path}: this is not an upgrade",
            file=after.path,
            next_step=f"orchestr run {after.path} sets up a new cluster",
        )
    new = tuple(name for name in after.hosts if name not in before.hosts)
    removed = tuple(name for name in before.hosts if name not in after.hosts)
    return Topology(new, kept, removed)
