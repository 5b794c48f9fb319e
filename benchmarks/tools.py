"""The tools that are compared: their command lines, their settings, and how many changes their output reports."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fleets import KNOWN_HOSTS, Fleet
from benchmarks.lab import KEY, ROOT, WORK, Failed

PEERS = ROOT / "build/bench-venv/bin"
PEER_FILES = ROOT / "benchmarks/peers"
ORCHESTR = Path(sys.executable).with_name("orchestr")


@dataclass(frozen=True)
class Tool:
    """``changes`` reads the tool's output: (hosts it reports on, changes it made on them)."""

    name: str
    command: Callable[[Fleet], list[str]]
    changes: Callable[[str], tuple[int, int]]
    env: Mapping[str, str] = field(default_factory=dict)

    def expect_converged(self, fleet: Fleet, output: str) -> None:
        """Raise Failed unless the tool looked at every host and changed nothing."""
        if self.changes(output) != (len(fleet.hosts), 0):
            raise Failed(f"{self.name} was to find nothing to change on {len(fleet.hosts)} hosts:\n{output}")


def orchestr_changes(output: str) -> tuple[int, int]:
    """Read orchestr's line per host.

    >>> orchestr_changes("host  a  changed  ok=5 changed=35 failed=0 skipped=0 unknown=0")
    (1, 35)
    """
    found = re.findall(r"^host .*\bchanged=(\d+) failed=0\b", output, re.MULTILINE)
    return len(found), sum(map(int, found))


def floor_changes(output: str) -> tuple[int, int]:
    """Read the floor's line per host: ok, or what is wrong.

    >>> floor_changes("ok\\nwrong: /opt/bench/1\\n")
    (2, 1)
    """
    lines = output.splitlines()
    return len(lines), sum(line != "ok" for line in lines)


def ansible_changes(output: str) -> tuple[int, int]:
    """Read Ansible's recap.

    >>> ansible_changes("a : ok=6  changed=2  unreachable=0  failed=0  skipped=0  rescued=0  ignored=0")
    (1, 2)
    """
    found = re.findall(r": ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0", output)
    return len(found), sum(map(int, found))


def pyinfra_changes(output: str) -> tuple[int, int]:
    """Read pyinfra's list of hosts and the total of its table of results."""
    hosts = len(set(re.findall(r"^\s*\[(\S+)\]\s+(?:\x1b\[\d+m)*Connected", output, re.MULTILINE)))
    total = re.search(r"Grand total[^\d-]*([\d-]+)[^\d-]+([\d-]+)", output)
    return hosts, int(total.group(2).replace("-", "0")) if total else -1


def _ansible(fleet: Fleet) -> list[str]:
    forks = str(min(len(fleet.hosts), 50))
    return [str(PEERS / "ansible-playbook"), "-i", str(fleet.inventory), "-f", forks, str(PEER_FILES / "site.yml")]


def _pyinfra(fleet: Fleet) -> list[str]:
    return [str(PEERS / "pyinfra"), "-y", str(fleet.pyinfra_inventory), str(PEER_FILES / "pyinfra_deploy.py")]


def _floor(fleet: Fleet) -> list[str]:
    return [sys.executable, "benchmarks/floor.py", str(KEY), str(KNOWN_HOSTS), *fleet.endpoints]


def _orchestr(fleet: Fleet) -> list[str]:
    return [str(ORCHESTR), "run", str(fleet.inventory)]


_ANSIBLE = {
    "ANSIBLE_CONFIG": str(PEER_FILES / "ansible.cfg"),
    "ANSIBLE_SSH_CONTROL_PATH_DIR": str(WORK / "cp"),
    "ANSIBLE_NOCOLOR": "1",
    "PYTHONWARNINGS": "ignore",
}
_MITOGEN = {
    **_ANSIBLE,
    "ANSIBLE_STRATEGY": "mitogen_linear",
    "ANSIBLE_STRATEGY_PLUGINS": str(PEERS.parent / "lib/mitogen-strategy"),
}
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("orchestr", _orchestr, orchestr_changes, {"ORCHESTR_STATE": str(WORK / "state")}),
        Tool("floor", _floor, floor_changes),
        Tool("pyinfra", _pyinfra, pyinfra_changes),
        Tool("mitogen", _ansible, ansible_changes, _MITOGEN),
        Tool("ansible", _ansible, ansible_changes, _ANSIBLE),
    )
}
