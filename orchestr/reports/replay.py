"""A recorded run, as the events and the result it had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from orchestr import events
from orchestr.errors import EXIT_INTERRUPTED
from orchestr.results import VERDICTS, HostResult, RunResult

_KINDS = {kind.__name__: kind for kind in events.Event.__subclasses__()}


def recorded_events(run: str) -> Iterator[events.Event]:
    """Yield the events of a run; RUN as `orchestr.engine.journal.find_run` takes it. Raises InputError."""
    from orchestr.engine.journal import events_of

    for record in events_of(run):
        event = from_json(record)
        if event is not None:
            yield event


def from_json(record: dict[str, Any]) -> events.Event | None:
    """Return the event that ``to_json`` wrote, None for a kind or a shape of another version."""
    kind = _KINDS.get(str(record.get("event")))
    if kind is None:
        return None
    types = {field.name: str(field.type) for field in fields(kind)}
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items() if name in types}
    if not all(_is_of(value, types[name]) for name, value in given.items()):
        return None
    if given.get("verdict", "ok") not in VERDICTS:
        return None
    try:
        return kind(**given)
    except TypeError:  # a field is missing
        return None


def _is_of(value: Any, annotation: str) -> bool:
    """Return True if a value is of the type that a field of an event has."""
    if annotation == "tuple[str, ...]":
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if annotation == "dict[str, str]":
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if annotation == "dict[str, dict[str, Any]]":
        return isinstance(value, dict) and all(_is_host(item) for item in value.values())
    if annotation == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value).__name__ == annotation


def _is_host(value: Any) -> bool:
    """Return True for the object of a host in RunFinished, as far as reports read it."""
    if not isinstance(value, dict) or not all(isinstance(value.get(verdict, 0), int) for verdict in VERDICTS):
        return False
    lists = [value.get(name, []) for name in ("changes", "errors")]
    return all(isinstance(items, list) and all(isinstance(item, dict) for item in items) for items in lists)


def recorded_result(happened: Iterable[events.Event]) -> RunResult:
    """Return the result these events add up to; the exit code is 130 when the run did not end.

    An upgrade has parts: departing hosts are added, the verify that closes it only its exit code.
    """
    happened = list(happened)
    result = RunResult("", "")
    is_check = False
    may_change: list[str] = []  # hosts of a run that is no dry run and has not ended
    for event in happened:
        if isinstance(event, events.RunStarted):
            is_check = result.verb not in ("", event.verb)
            result.run, result.verb = result.run or event.run, result.verb or event.verb
            for host in () if is_check else event.hosts:
                result.hosts.setdefault(host, HostResult())
            may_change = [] if event.check else list(event.hosts)
        elif isinstance(event, events.RunFinished):
            result.exit_code = result.exit_code or event.exit_code
            result.elapsed_s += 0.0 if is_check else event.elapsed_s
            may_change = [name for name, host in event.hosts.items() if host.get("may_have_changed") is True]
            _note_uncertain(result, may_change)
        elif not is_check:
            result.take(event)
    if not has_ended(happened):
        result.exit_code = EXIT_INTERRUPTED
        _note_uncertain(result, may_change)
    return result


def _note_uncertain(result: RunResult, hosts: Iterable[str]) -> None:
    for name in hosts:
        if name in result.hosts:
            result.hosts[name].may_have_changed = True


def has_ended(happened: Iterable[events.Event]) -> bool:
    """Return True if these are the events of a run that ended, with all its parts."""
    kinds = [type(event) for event in happened]
    return 0 < kinds.count(events.RunStarted) == kinds.count(events.RunFinished)
