"""Logical hosts and the inventories that name them: one for orchestr, Ansible and Mitogen alike, one for pyinfra."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.lab import KEY, NODES, ROOT, WORK

PROJECT = WORK / "project"
KNOWN_HOSTS = WORK / "known_hosts"


@dataclass(frozen=True)
class LogicalHost:
    """A name and where it is reached."""

    name: str
    address: str
    port: int = 22


@dataclass(frozen=True)
class Fleet:
    """Logical hosts and the files that name them to each tool."""

    hosts: tuple[LogicalHost, ...]
    inventory: Path
    pyinfra_inventory: Path

    @property
    def endpoints(self) -> list[str]:
        """What the floor takes: ``address:port`` for each host."""
        return [f"{host.address}:{host.port}" for host in self.hosts]


def on_nodes(count: int) -> list[LogicalHost]:
    """Return ``count`` hosts, dealt to the lab's nodes one after the other."""
    addresses = cycle(NODES.values())
    return [LogicalHost(f"h{number:03}", next(addresses)) for number in range(1, count + 1)]


def write_fleet(name: str, hosts: Sequence[LogicalHost]) -> Fleet:
    """Write the inventories of a fleet, and the host keys of its addresses under their ports."""
    PROJECT.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "benchmarks/project", PROJECT, dirs_exist_ok=True)
    fleet = Fleet(tuple(hosts), PROJECT / f"inventories/{name}.yml", WORK / f"pyinfra_{name}.py")
    fleet.inventory.write_text(yaml_inventory(hosts, KEY, KNOWN_HOSTS))
    fleet.pyinfra_inventory.write_text(pyinfra_inventory(hosts, KEY, KNOWN_HOSTS))
    return fleet


def write_known_hosts(lab_keys: str, proxied: dict[str, tuple[str, int]]) -> None:
    """Write the lab's host keys, also under the local addresses they are proxied at: node → (address, port)."""
    lines = lab_keys.splitlines()
    for address, (near, port) in proxied.items():
        keys = [line.partition(" ")[2] for line in lines if address in line.partition(" ")[0].split(",")]
        lines += [f"[{near}]:{port} {key}" for key in keys]
    KNOWN_HOSTS.parent.mkdir(parents=True, exist_ok=True)
    KNOWN_HOSTS.write_text("\n".join(lines) + "\n")


def yaml_inventory(hosts: Sequence[LogicalHost], key: Path, known_hosts: Path) -> str:
    """Return an inventory in Ansible's format."""
    named = "".join(
        f"    {host.name}: {{ansible_host: {host.address}, ansible_port: {host.port}}}\n" for host in hosts
    )
    return (
        "all:\n  vars:\n    ansible_user: root\n"
        f"    ansible_ssh_private_key_file: {key}\n"
        f'    ansible_ssh_common_args: "-o UserKnownHostsFile={known_hosts}"\n'
        f"  hosts:\n{named}"
    )


def pyinfra_inventory(hosts: Sequence[LogicalHost], key: Path, known_hosts: Path) -> str:
    """Return an inventory for pyinfra: Python with a list of (name, data)."""
    common = {
        "ssh_user": "root",
        "ssh_key": str(key),
        "ssh_known_hosts_file": str(known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
    }
    listed = [(host.name, {**common, "ssh_hostname": host.address, "ssh_port": host.port}) for host in hosts]
    return "hosts = [\n" + "".join(f"    {item!r},\n" for item in listed) + "]\n"
