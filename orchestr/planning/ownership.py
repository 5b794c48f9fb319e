"""Tasks of two roles that would undo each other: each run would change again the work of the other role."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.agent.resource import Task

    Key = tuple[str, ...]  # (family, name) or (family, name, part), as in `Resource.owned`
    Owner = tuple[Task, object]  # the last task of a role that gives the key a value, and the value

LONGEST_SHOWN = 60  # characters of a value in the message


def refuse_conflicts(host: str, tasks: Iterable[Task]) -> None:
    """Raise InputError, naming both tasks, when two roles of a host give one thing (`Resource.owned`) two values.

    Within one role the order of its tasks decides: it may write a file, act, and write the file again, as a move of
    data does. Only the value that a role leaves in the end is compared with those of other roles.
    """
    owners: dict[Key, dict[str, Owner]] = {}
    for task in tasks:
        for key, value in task.resource.owned().items() if task.when else ():
            owners.setdefault(key, {})[_role_of(task)] = (task, value)
    for key, by_role in owners.items():
        for (first, its_value), (second, value) in itertools.combinations(by_role.values(), 2):
            if its_value != value:
                raise _conflict(host, key, first, second, _difference(its_value, value))
        if len(key) == 3:
            _refuse_parts(host, key, by_role, owners.get(key[:2], {}))


def _refuse_parts(host: str, key: Key, by_role: Mapping[str, Owner], wholes: Mapping[str, Owner]) -> None:
    """Raise InputError when a role edits a part of a file that another role writes whole."""
    for role, (writer, whole) in wholes.items():
        is_file = isinstance(whole, Mapping) and whole.get("type") == "file"
        for editor in [task for name, (task, _) in by_role.items() if is_file and name != role]:
            raise _conflict(host, key, writer, editor, " (the first writes the file whole)")


def _role_of(task: Task) -> str:
    """Return the name of the role, or application, that a planned task is of."""
    return task.id.partition("/")[0]


def _conflict(host: str, key: tuple[str, ...], first: Task, second: Task, why: str) -> InputError:
    return InputError(
        f"two roles of {host} decide the {' '.join(key)}: {first.id} and {second.id}{why}",
        next_step="let one role decide it: each would change it back in every run",
    )


def _difference(first: object, second: object) -> str:
    """Return the attributes in which two states differ, with their values unless these are secret or long."""
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return f" ({_shown(first)}; {_shown(second)})"
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    parts = [f"{name} {_shown(first.get(name))}; {_shown(second.get(name))}" for name in names if name != "sha256"]
    return f" ({', '.join([*parts, *(['content'] if 'sha256' in names else [])])})"


def _shown(value: object) -> str:
    if value is None:
        return "absent"
    if isinstance(value, Mapping):
        return "present"
    if isinstance(value, Secret) or len(str(value)) > LONGEST_SHOWN:
        return "…"
    return str(value)
