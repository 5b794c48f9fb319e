"""The events of a run, as values: the engine emits them, reports consume them, nothing else prints.

Every text in an event has its secrets hidden already; an event can be written to a log as it is (``to_json``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

_SCALARS = frozenset((str, int, float, bool, type(None)))


@dataclass(frozen=True)
class Event:
    """Base: ``to_json`` gives ``{"event": name, ...fields}``."""

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"event": type(self).__name__}
        for name, value in vars(self).items():
            fields[name] = value if type(value) in _SCALARS else _plain(value)
        return fields


def _plain(value: Any) -> Any:
    """Return a copy made of JSON's types; most values are texts and numbers, which `asdict` would copy deeply."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else copy.deepcopy(value)


@dataclass(frozen=True)
class RunStarted(Event):
    run: str
    verb: str
    inventory: str
    playbook: str
    hosts: tuple[str, ...]
    check: bool
    previous: str = ""  # of an upgrade: the inventory it leaves
    chosen_playbook: str = ""  # of an upgrade: --playbook, when it was given
    extra_variables: tuple[str, ...] = ()  # the names of -e, never their values
    limit: str = ""
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostConnected(Event):
    host: str
    elapsed_s: float
    slow: str = ""  # the stage of the agent's start that took long, and why


@dataclass(frozen=True)
class HostUnreachable(Event):
    host: str
    message: str
    next_step: str = ""
    stderr: str = ""
    exit_code: int = 4


@dataclass(frozen=True)
class PlayStarted(Event):
    play: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class BatchStarted(Event):
    """Some hosts of a play, worked on together; ``number`` counts from 1."""

    play: str
    number: int
    total: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class TaskStarted(Event):
    host: str
    task: str
    name: str


@dataclass(frozen=True)
class TaskOutput(Event):
    """Live output of a long command."""

    host: str
    task: str
    text: str


@dataclass(frozen=True)
class TaskFinished(Event):
    """``verdict`` is ok, changed, failed, skipped or unknown; ``error`` has message, stderr, next_step when failed.

    ``begun``: it failed after it had begun to change the host.
    """

    host: str
    task: str
    resource: str
    name: str
    verdict: str
    diff: str = ""
    reason: str = ""
    error: dict[str, str] = field(default_factory=dict)
    elapsed_s: float = 0.0
    title: str = ""
    begun: bool = False


@dataclass(frozen=True)
class HostFailed(Event):
    """The host's part of a play could not be planned or its machinery broke."""

    host: str
    message: str
    next_step: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class PlayFinished(Event):
    play: str
    failed: tuple[str, ...]


@dataclass(frozen=True)
class RunStopped(Event):
    """The run ended before its last play, and why."""

    reason: str


@dataclass(frozen=True)
class Note(Event):
    """Something a person should know that is neither a change nor an error; ``level`` is info or warning."""

    message: str
    host: str = ""
    level: str = "info"


@dataclass(frozen=True)
class RunFinished(Event):
    run: str
    exit_code: int
    elapsed_s: float
    hosts: dict[str, dict[str, Any]]


Consumer = Callable[[Event], None]
