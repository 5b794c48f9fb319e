"""Which checks go where: a role that has a verify.py, on a host that gets the role."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.planning.plan import Host

if TYPE_CHECKING:
    from orchestr.engine.run import Run


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
    checks: dict[tuple[str, str], Placement] = {}
    for number, hosts in run.play_hosts.items():
        for host in hosts:
            for assignment in run.context.assignments[(number, host)]:
                file = assignment.role.path / "verify.py"
                if file.is_file():
                    machine = Host(run.context, run.inventory.host(host), assignment.role)
                    name = assignment.role.name
                    checks[name, host] = Placement(name, file, host, machine, assignment.params)
    yield from checks.values()
