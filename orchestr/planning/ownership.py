"""Tasks that would undo each other: each run would change again the work of the other task."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
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

    def add(self, host: str, tasks: Sequence[Task]) -> None:
        """Add a play's tasks. Raises InputError, naming both, when two of them give one thing two values.

        Within one role, a task that acts (a command, a gate, a service) may stand between two values: a move of data
        writes a file, acts, and writes it again. Of such values the last one is compared with those of other roles.
        """
        if not self._add_distinct(tasks):
            self._add_compared(host, tasks)

    def _add_distinct(self, tasks: Sequence[Task]) -> bool:
        """Add tasks whose things no other task decides, as most do; return False, adding none, for any others."""
        new: dict[Key, dict[str, Owner]] = {}
        for task in tasks:
            for key, value in task.resource.owned().items() if task.when else ():
                if key in new or key in self.by_key:
                    return False
                new[key] = {_role_of(task): (task, value)}
        merged = {**self.by_key, **new}
        if any(len(key) == 3 and key[:2] in merged for key in merged):
            return False
        self.by_key = merged
        return True

    def _add_compared(self, host: str, tasks: Sequence[Task]) -> None:
        merged = dict(self.by_key)
        for key, by_role in _collect_owned(host, tasks).items():
            merged[key] = {**merged[key], **by_role} if key in merged else by_role
            for (first, its_value), (second, value) in itertools.combinations(merged[key].values(), 2):
                its_value, value = _made(its_value), _made(value)
                if its_value != value:
                    raise _conflict(host, key, first, second, _difference(its_value, value))
        for key in [key for key in merged if len(key) == 3]:
            _refuse_parts(host, key, merged[key], merged.get(key[:2], {}))
        self.by_key = merged


def refuse_conflicts(host: str, tasks: Sequence[Task]) -> None:
    """Raise InputError when two tasks of one play undo each other; see `Owners.add`."""
    Owners().add(host, tasks)


def _collect_owned(host: str, tasks: Iterable[Task]) -> dict[Key, dict[str, Owner]]:
    """Return the tasks that decide things: key → role → its last task. Raises InputError for two of one role."""
    owners: dict[Key, dict[str, Owner]] = {}
    recent: dict[str, _Recent] = {}  # by role, since its last task that acts
    for task in tasks:
        role, owned = _role_of(task), task.resource.owned() if task.when else {}
        since = recent.setdefault(role, _Recent(host))
        owned = {key: _made(value) for key, value in owned.items()}
        for key, value in owned.items():
            since.add(key, task, value)
            owners.setdefault(key, {})[role] = (task, value)
        if isinstance(task.resource, Action) or task.resource.is_gate or any(key[0] in ACTING for key in owned):
            recent[role] = _Recent(host)
            for key, value in owned.items():
                recent[role].add(key, task, value)
    return owners


class _Recent:
    """The things that the tasks of one role decide, between two of its tasks that act."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._owners: dict[Key, Owner] = {}
        self._parts: dict[Key, Key] = {}  # file → the first part of it that a task decides

    def add(self, key: Key, task: Task, value: object) -> None:
        """Add a thing. Raises InputError if an earlier task gives it another value, or its file or a part of it."""
        known, whole = self._owners.get(key), self._owners.get(key[:2]) if len(key) == 3 else None
        if known is not None and known[1] != value:
            raise _conflict(self._host, key, known[0], task, _difference(known[1], value))
        if whole is not None and _is_file(whole[1]):
            raise _conflict(self._host, key, whole[0], task, WRITES_WHOLE)
        if key in self._parts and _is_file(value):
            part = self._parts[key]
            raise _conflict(self._host, part, task, self._owners[part][0], WRITES_WHOLE)
        if len(key) == 3:
            self._parts.setdefault(key[:2], key)
        self._owners[key] = (task, value)


def _refuse_parts(host: str, key: Key, by_role: Mapping[str, Owner], wholes: Mapping[str, Owner]) -> None:
    """Raise InputError when a role edits a part of a file that another role writes whole."""
    for role, (writer, whole) in wholes.items():
        for editor in [task for name, (task, _) in by_role.items() if name != role and _is_file(_made(whole))]:
            raise _conflict(host, key, writer, editor, WRITES_WHOLE)


def _made(value: object) -> object:
    """Return a thing's value, made now where a resource left that for later."""
    return value() if callable(value) else value


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
