"""Show an inventory as ``ansible-inventory --list`` and ``--graph`` show it, secrets redacted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from orchestr.inventory.draft import ALL
from orchestr.inventory.json_values import as_json
from orchestr.inventory.position import input_error
from orchestr.inventory.topology import Topology

# Names Ansible gives a meaning of its own and leaves out of its lists.
MAGIC_NAMES = frozenset(
    (
        *("groups", "group_names", "hostvars", "play_hosts", "playbook_dir"),
        *("inventory_dir", "inventory_file", "inventory_hostname", "inventory_hostname_short"),
        *("role_name", "role_names", "role_path", "role_uuid", "ansible_role_name", "ansible_role_names"),
        *("ansible_async_path", "ansible_collection_name", "ansible_config_file", "ansible_dependent_role_names"),
        *("ansible_diff_mode", "ansible_facts", "ansible_forks", "ansible_inventory_sources", "ansible_limit"),
        *("ansible_play_batch", "ansible_play_hosts", "ansible_play_hosts_all", "ansible_play_role_names"),
        *("ansible_playbook_python", "ansible_run_tags", "ansible_skip_tags", "ansible_verbosity", "ansible_version"),
    )
)


def to_ansible_dict(inventory: Topology) -> dict[str, Any]:
    """Return the output of ``ansible-inventory --list``, ready for ``json.dumps``.

    A vault value is shown as its ciphertext, as Ansible does; every other secret as ``‹secret›``.
    """
    result = _groups(inventory)
    variables = {name: _host_variables(host.variables) for name, host in inventory.hosts.items()}
    result["_meta"] = {
        "hostvars": {name: values for name, values in variables.items() if values},
        "profile": "inventory_legacy",
    }
    return result


def check_numbers(inventory: Topology) -> None:
    """Raise InputError at the first number that JSON cannot express; Ansible prints invalid JSON then."""
    for name, host in inventory.hosts.items():
        for variable, value in host.variables.items():
            path = _path_to_no_number(value)
            if path is not None:
                position = inventory.position(name, variable, *path)
                step = f"put quotes around it if text is meant; {name} has it"
                raise input_error(position, f"{variable}: JSON has no .nan and no .inf", next_step=step)


def _path_to_no_number(value: Any) -> tuple[Any, ...] | None:
    """Return the keys and indexes that lead to a float that is no finite number, None when there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ()
    if isinstance(value, Mapping):
        inner: Any = value.items()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = enumerate(value)
    else:
        return None
    return next(((key, *path) for key, item in inner if (path := _path_to_no_number(item)) is not None), None)


def graph(inventory: Topology, group: str = ALL) -> str:
    """Return the tree of groups and hosts as ``ansible-inventory --graph`` draws it."""
    return "\n".join(_branch(inventory, group, 0))


def _groups(inventory: Topology) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for group in inventory.groups.values():
        hosts = list(group.hosts) if group.name != ALL else []
        shown = {"hosts": hosts, "children": list(group.children)}
        if kept := {key: names for key, names in shown.items() if names}:
            result[group.name] = kept
    return result


def _host_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_json(value) for name, value in variables.items() if name not in MAGIC_NAMES}


def _branch(inventory: Topology, group: str, depth: int) -> Iterator[str]:
    yield _leaf(f"@{group}:", depth)
    for child in inventory.groups[group].children:
        yield from _branch(inventory, child, depth + 1)
    if group != ALL:
        yield from (_leaf(host, depth + 1) for host in inventory.groups[group].hosts)


def _leaf(name: str, depth: int) -> str:
    return "  |" * depth + f"--{name}" if depth else name
