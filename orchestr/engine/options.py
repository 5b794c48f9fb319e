"""The options of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestr.engine.fleet import DEFAULT_FORKS


@dataclass(frozen=True)
class RunOptions:
    """How a playbook is carried out.

    ``check`` observes only. ``limit`` is a host pattern. ``lifecycle`` names the function of each role that is run.
    ``new_hosts`` were not part of the cluster before an upgrade. ``previous`` and ``chosen_playbook`` are recorded, so
    that the upgrade can be undone.
    """

    verb: str = "run"
    check: bool = False
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    forks: int = DEFAULT_FORKS
    lifecycle: str = "deploy"
    run_id: str = ""
    new_hosts: frozenset[str] = frozenset()
    any_errors_fatal: bool = False
    previous: Path | None = None
    chosen_playbook: Path | None = None
