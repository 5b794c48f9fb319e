"""Two tasks of one host that would undo each other: each run would change what the other has just made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.agent.resource import Task

    Owners = dict[tuple[str, ...], tuple[Task, object]]

LONGEST_SHOWN = 60  # characters of a value in the message


def refuse_conflicts(host: str, tasks: Iterable[Task]) -> None:
    """Raise InputError, naming both tasks, when two own one thing (`Resource.owned`) and give it different values."""
    owners: Owners = {}
    for task in tasks:
        for key, value in task.resource.owned().items() if task.when else ():
            owner, its_value = owners.setdefault(key, (task, value))
            if its_value != value:
                raise _conflict(host, key, owner, task, _difference(its_value, value))
    for key, (task, _) in owners.items():
        owner, whole = owners.get(key[:2], (task, None))
        if isinstance(whole, Mapping) and whole.get("type") == "file" and owner is not task:
            raise _conflict(host, key, owner, task, " (the first writes the file whole)")


def _conflict(host: str, key: tuple[str, ...], first: Task, second: Task, why: str) -> InputError:
    return InputError(
        f"two tasks of {host} decide the {' '.join(key)}: {first.id} and {second.id}{why}",
        next_step="let one task decide it: each would change it back in every run",
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
