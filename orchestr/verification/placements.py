"""The checks of each host: those of its roles' verify.py, and for applications those of their description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.planning.plan import Host

if TYPE_CHECKING:
    from orchestr.engine.run import Run
    from orchestr.planning.role import Role

#: The checks of every application.
DERIVED = Path(__file__).with_name("application_checks.py")


@dataclass(frozen=True)
class Placement:
    """A role on a host: where its checks are, the host as roles see it, and the role's parameters there."""

    role: str
    file: Path
    host: str
    machine: Host
    params: Any


def placements(run: Run) -> Iterator[Placement]:
    """Yield the checks to run, role by role in the playbook's order; only once per host.

    A role that a host gets in several plays, each a stage of it, is checked as the last one leaves it.
    """
    checks: dict[tuple[str, str, Path], Placement] = {}
    for number, hosts in run.play_hosts.items():
        for host in hosts:
            for assignment in run.context.assignments[(number, host)]:
                name, machine = assignment.role.name, Host(run.context, run.inventory.host(host), assignment.role)
                for file in _files(assignment.role):
                    checks[name, host, file] = Placement(name, file, host, machine, assignment.params)
    yield from checks.values()


def _files(role: Role) -> Iterator[Path]:
    if role.describe is not None and not role.within:
        yield DERIVED
    if (role.path / "verify.py").is_file():
        yield role.path / "verify.py"
