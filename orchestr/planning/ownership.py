"""Tasks that would undo each other: each run would change again the work of the other task."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestr.agent.resource import Action
from orchestr.errors import InputError
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.agent.resource import Task

    Key = tuple[str, ...]  # (family, name) or (family, name, part), as in `Resource.owned`
    Owner = tuple[Task, object]  # the last task of a role that gives the key a value, and the value

ACTING = {"unit", "stack", "compose project"}  # families of things that use files, and then may find them changed
WRITES_WHOLE = " (the first writes the file whole)"
LONGEST_SHOWN = 60  # characters of a value in the message


@dataclass
class Owners:
    """The tasks of one host that decide a thing, over all plays so far: key → role → its last task and the value."""

    by_key: dict[Key, dict[str, Owner]] = field(default_factory=dict)

    def add(self, host: str, tasks: Iterable[Task]) -> None:
        """Add a play's tasks. Raises InputError, naming both, when two of them give one thing two values.

        Within one role, a task that acts (a command, a gate, a service) may stand between two values: a move of data
        writes a file, acts, and writes it again. Of such values the last one is compared with those of other roles.
        """
        own = _owned(host, tasks)
        merged = {key: {**self.by_key.get(key, {}), **own.get(key, {})} for key in {**self.by_key, **own}}
        for key in own:
            for (first, its_value), (second, value) in itertools.combinations(merged[key].values(), 2):
                if its_value != value:
                    raise _conflict(host, key, first, second, _difference(its_value, value))
        for key in merged:
            if len(key) == 3:
                _refuse_parts(host, key, merged[key], merged.get(key[:2], {}))
        self.by_key = merged


def refuse_conflicts(host: str, tasks: Iterable[Task]) -> None:
    """Raise InputError when two tasks of one play undo each other; see `Owners.add`."""
    Owners().add(host, tasks)


def _owned(host: str, tasks: Iterable[Task]) -> dict[Key, dict[str, Owner]]:
    """Return the tasks that decide things: key → role → its last task. Raises InputError for two of one role."""
    owners: dict[Key, dict[str, Owner]] = {}
    recent: dict[str, dict[Key, Owner]] = {}  # by role, since its last task that acts
    for task in tasks:
        role, owned = _role_of(task), task.resource.owned() if task.when else {}
        since = recent.setdefault(role, {})
        for key, value in owned.items():
            _refuse_both(host, key, since, task, value)
            since[key] = owners.setdefault(key, {})[role] = (task, value)
        if isinstance(task.resource, Action) or task.resource.is_gate or any(key[0] in ACTING for key in owned):
            recent[role] = {key: since[key] for key in owned}
    return owners


def _refuse_both(host: str, key: Key, since: Mapping[Key, Owner], task: Task, value: object) -> None:
    """Raise InputError when an earlier task of the role gives a thing another value, or its file or a part of it."""
    if key in since and since[key][1] != value:
        first, its_value = since[key]
        raise _conflict(host, key, first, task, _difference(its_value, value))
    if len(key) == 3 and key[:2] in since and _is_file(since[key[:2]][1]):
        raise _conflict(host, key, since[key[:2]][0], task, WRITES_WHOLE)
    parts = [part for part in since if part[:2] == key] if len(key) == 2 and _is_file(value) else []
    for part in parts:
        if len(part) == 3:
            raise _conflict(host, part, task, since[part][0], WRITES_WHOLE)


def _refuse_parts(host: str, key: Key, by_role: Mapping[str, Owner], wholes: Mapping[str, Owner]) -> None:
    """Raise InputError when a role edits a part of a file that another role writes whole."""
    for role, (writer, whole) in wholes.items():
        for editor in [task for name, (task, _) in by_role.items() if name != role and _is_file(whole)]:
            raise _conflict(host, key, writer, editor, WRITES_WHOLE)


def _is_file(state: object) -> bool:
    return isinstance(state, Mapping) and state.get("type") == "file"


def _role_of(task: Task) -> str:
    """Return the name of the role, or application, that a planned task is of."""
    return task.id.partition("/")[0]


def _conflict(host: str, key: Key, first: Task, second: Task, why: str) -> InputError:
    kind = "task" if _role_of(first) == _role_of(second) else "role"
    return InputError(
        f"two {kind}s of {host} decide the {' '.join(key)}: {first.id} and {second.id}{why}",
        next_step=f"let one {kind} decide it: each would change it back in every run",
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
