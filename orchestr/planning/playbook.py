"""Playbooks: an ordered list of plays, each with hosts and their roles. Roles have the logic, in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.document import read_document
from orchestr.inventory.marked import key_position, value_position
from orchestr.inventory.position import Position, input_error, kind, shown
from orchestr.paths import is_file
from orchestr.planning.playbook_path import no_playbook

PLAY_KEYS = (
    "name",
    "hosts",
    "roles",
    "vars",
    "serial",
    "order",
    "max_fail_percentage",
    "any_errors_fatal",
    "become",
    "phases",
    "tags",
)
ROLE_KEYS = ("role", "name", "instance", "vars", "tags")
_TASKS = "playbooks of orchestr contain only roles: put tasks into a role's deploy(), in Python"
_LOGIN = "set it in the inventory, for hosts or groups: ansible_connection, ansible_user, ansible_port"
NOT_OURS = {
    **dict.fromkeys(("tasks", "pre_tasks", "post_tasks", "block"), _TASKS),
    "handlers": "leave them out: a service is restarted when the configuration it was started with has changed",
    **dict.fromkeys(
        ("gather_facts", "gather_subset", "gather_timeout"), "leave it out: facts come with every connection"
    ),
    "vars_files": "put the variables into group_vars/ or host_vars/ beside the inventory, or give: -e @FILE",
    "vars_prompt": "give the value when you run: -e NAME=VALUE, or a secret in the inventory: !vault, !env, !command",
    "import_playbook": "write its plays here, or run it by itself: --playbook FILE",
    **dict.fromkeys(("connection", "remote_user", "port"), _LOGIN),
    **dict.fromkeys(("become_user", "become_method"), "set it in the inventory: ansible_become_user; sudo is used"),
    "strategy": "leave it out: hosts do not wait for each other within a play",
    "environment": "put the variables into the role's resources: EnvFile, or the environment of a service",
    "collections": "leave it out: roles are directories below roles/",
}
_PLAY = "a play is: - name: …, with hosts: and roles: below it"
_HOSTS = "write: hosts: all, or names and groups as in --limit"
_EXAMPLES = {list: "[…]", dict: "{NAME: value}", bool: "true"}
ORDERS = ("inventory", "reverse_inventory", "sorted", "reverse_sorted")
Order = Literal["inventory", "reverse_inventory", "sorted", "reverse_sorted"]


@dataclass(frozen=True)
class RoleUse:
    """A role in a play, with its variables and tags there; ``instance`` is its name if it is not the only one."""

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    position: Position | None = None
    instance: str = ""


@dataclass(frozen=True)
class Play:
    """A host pattern and the roles of its hosts. ``serial`` are batch sizes: counts, or percentages as ``"50%"``.

    ``phases`` are functions of the roles to run instead of ``deploy``, one after the other.
    """

    name: str
    hosts: str
    roles: tuple[RoleUse, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    serial: tuple[int | str, ...] = ()
    order: Order = "inventory"
    max_fail_percentage: float = 100.0
    any_errors_fatal: bool = False
    become: bool | None = None
    tags: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    position: Position | None = None
    hosts_position: Position | None = None

    def batches(self, hosts: list[str]) -> list[list[str]]:
        """Split hosts by ``serial``; the last size repeats until none are left.

        >>> Play("p", "all", (), serial=(1, "50%")).batches(["a", "b", "c", "d"])
        [['a'], ['b', 'c'], ['d']]
        """
        rest, sizes, batches = list(hosts), list(self.serial), []
        size: int | str = len(rest)
        while rest:
            size = sizes.pop(0) if sizes else size
            count = max(1, int(len(hosts) * float(size[:-1]) / 100) if isinstance(size, str) else size)
            batches.append(rest[:count])
            rest = rest[count:]
        return batches


@dataclass(frozen=True)
class Playbook:
    """The plays of one file, in order."""

    path: Path
    plays: tuple[Play, ...]


def load_playbook(path: str | Path) -> Playbook:
    """Return the plays of a YAML file. Raises InputError at file, line and column."""
    path = Path(path)
    if not is_file(path):
        raise no_playbook(path, None, "is a directory, not a playbook" if path.is_dir() else "playbook not found")
    document = read_document(path)
    if not isinstance(document, list):
        raise InputError(
            f"a playbook is a list of plays, found {kind(document)}",
            file=path,
            line=1,
            column=1,
            next_step="begin each play with '- name: …'",
        )
    if not document:
        step = "begin each play with '- name: …'"
        raise InputError("the playbook has no plays", file=path, line=1, column=1, next_step=step)
    return Playbook(path, tuple(_play(item, value_position(document, n)) for n, item in enumerate(document)))


def _play(item: Any, position: Position | None) -> Play:
    if not isinstance(item, dict):
        raise input_error(position, f"a play is a mapping, found {kind(item)}", next_step=_PLAY)
    _known_keys(item, PLAY_KEYS, "a play")
    for required in ("hosts", "roles"):
        if required not in item:
            raise input_error(position, f"the play has no {required!r}", next_step=f"add '{required}:' to it")
    hosts = item["hosts"]
    if isinstance(hosts, list):
        for number, pattern in enumerate(hosts):
            if not isinstance(pattern, str):
                message = f"hosts are host patterns, found {kind(pattern)}"
                raise input_error(value_position(hosts, number), message, next_step=_HOSTS)
        hosts = ":".join(hosts)
    if not isinstance(hosts, str) or not hosts:
        message = f"hosts is a host pattern, found {kind(item['hosts'])}"
        raise input_error(value_position(item, "hosts"), message, next_step=_HOSTS)
    roles = _expect(item, "roles", list)
    if not roles:
        step = "write: roles: [NAME], or remove the play"
        raise input_error(value_position(item, "roles") or position, "the play has no roles", next_step=step)
    return Play(
        name=str(item.get("name") or hosts),
        hosts=hosts,
        roles=tuple(_role(role, value_position(roles, n)) for n, role in enumerate(roles)),
        variables=_expect(item, "vars", dict, {}),
        serial=_serial(item),
        order=_choice(item, "order", ORDERS),
        max_fail_percentage=_percentage(item),
        any_errors_fatal=_expect(item, "any_errors_fatal", bool, False),
        become=_expect(item, "become", bool, None),
        tags=_tags(item),
        phases=_phases(item),
        position=position,
        hosts_position=value_position(item, "hosts"),
    )


def _role(item: Any, position: Position | None) -> RoleUse:
    if isinstance(item, str) and item:
        return RoleUse(item, position=position)
    if not isinstance(item, dict):
        message = f"a role is a name or a mapping with 'role', found {kind(item)}"
        raise input_error(position, message, next_step="write '- role: NAME'")
    _known_keys(item, ROLE_KEYS, "a role")
    name = item.get("role", item.get("name"))
    if not isinstance(name, str) or not name:
        raise input_error(position, "the role has no name", next_step="write '- role: NAME'")
    return RoleUse(name, _expect(item, "vars", dict, {}), _tags(item), position, _instance(item))


def _instance(item: Mapping[str, Any]) -> str:
    instance = item.get("instance", "")
    if not isinstance(instance, str) or (instance and not instance.isidentifier()):
        message = f"an instance is a name of letters, digits and '_', found {shown(instance)}"
        raise input_error(value_position(item, "instance"), message, next_step="write: instance: newapi_redis")
    return instance


def _known_keys(item: Mapping[str, Any], known: tuple[str, ...], subject: str) -> None:
    for key in item:
        if key in known:
            continue
        if key in NOT_OURS:
            message = f"{key!r} is a key of Ansible, which orchestr does not support in {subject}"
            raise input_error(key_position(item, key), message, next_step=NOT_OURS[key])
        message, step = f"{shown(key)} is not a key of {subject}", f"known: {', '.join(known)}"
        raise input_error(key_position(item, key), message, suggestion=closest(str(key), known), next_step=step)


def _expect(item: Mapping[str, Any], key: str, wanted: type, default: Any = ...) -> Any:
    value = item.get(key, default)
    if value is default and default is not ...:
        return default
    if not isinstance(value, wanted):
        names = {list: "a list", dict: "a mapping", bool: "true or false"}
        step = f"write: {key}: {_EXAMPLES[wanted]}"
        raise input_error(value_position(item, key), f"{key} is {names[wanted]}, found {kind(value)}", next_step=step)
    return value


def _choice(item: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> Any:
    value = item.get(key, choices[0])
    if value not in choices:
        message = f"{key} is one of {', '.join(choices)}, found {shown(value)}"
        near, step = closest(str(value), choices), f"leave it out for {choices[0]}"
        raise input_error(value_position(item, key), message, suggestion=near, next_step=step)
    return value


def _tags(item: Mapping[str, Any]) -> tuple[str, ...]:
    tags = item.get("tags", ())
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",")]
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        message = f"tags are a name or a list of names, found {kind(tags)}"
        raise input_error(value_position(item, "tags"), message, next_step="write: tags: [one, two]")
    return tuple(tags)


def _phases(item: Mapping[str, Any]) -> tuple[str, ...]:
    names = item.get("phases", ())
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        message = f"phases are a list of functions of the role, found {kind(names)}"
        raise input_error(value_position(item, "phases"), message, next_step="write: phases: [survey, rotate]")
    return tuple(names)


def _serial(item: Mapping[str, Any]) -> tuple[int | str, ...]:
    value = item.get("serial")
    if value is None:
        return ()
    sizes = value if isinstance(value, list) else [value]
    for number, size in enumerate(sizes):
        is_percentage = isinstance(size, str) and size[-1:] == "%" and size[:-1].isdigit() and 0 < int(size[:-1]) <= 100
        is_count = isinstance(size, int) and not isinstance(size, bool) and size > 0
        if not is_percentage and not is_count:
            position = value_position(sizes, number) if isinstance(value, list) else value_position(item, "serial")
            message = f'a batch size is a count like 1 or a percentage like "50%", found {shown(size)}'
            raise input_error(position, message, next_step='write: serial: [1, "50%"], or leave it out')
    return tuple(sizes)


def _percentage(item: Mapping[str, Any]) -> float:
    value = item.get("max_fail_percentage", 100)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        position = value_position(item, "max_fail_percentage")
        message = f"max_fail_percentage is a number from 0 to 100, found {shown(value)}"
        raise input_error(position, message, next_step="write: max_fail_percentage: 25, or leave it out")
    return float(value)
