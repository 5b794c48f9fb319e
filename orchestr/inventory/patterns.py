"""Ansible's host patterns: ``web:&prod``, ``all,!db[0]``, ``~web\\d+``, ``*.example.org``, ``@hosts.txt`` in limits.

Source: docs.ansible.com, "Patterns: targeting hosts and groups". Unlike Ansible, an unknown plain name is an
error: a typing mistake in ``!web`` must not select the hosts it should exclude.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, input_error
from orchestr.inventory.ranges import is_address
from orchestr.inventory.topology import InventoryHost, Topology

_TERM = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_SUBSCRIPT = re.compile(r"^(.+)\[(?:(-?[0-9]+)|([0-9]+):([0-9]*))\]$")
_GLOB_MARKS = ".?*["

Hosts = dict[str, None]


def select(
    inventory: Topology,
    pattern: str | Sequence[str],
    limit: str | Sequence[str] | None = None,
    position: Position | None = None,
) -> list[InventoryHost]:
    """Return the hosts of ``pattern`` that are also in ``limit``; raises InputError for unknown plain names."""
    chosen = _evaluate(inventory, _some(split_pattern(pattern), "the host pattern", position), position)
    if limit is not None:
        allowed = _evaluate(inventory, _some(_limit_terms(limit), "--limit", None), None)
        chosen = {name: None for name in chosen if name in allowed}
    return [inventory.hosts[name] for name in chosen]


def _some(terms: list[str], what: str, position: Position | None) -> list[str]:
    """Refuse an empty pattern: an empty variable in a script must not mean every host."""
    if all(term in ("", "&", "!") for term in terms):
        raise input_error(position, f"{what} is empty", next_step="name hosts or groups; all is every host")
    return terms


def split_pattern(pattern: str | Sequence[str]) -> list[str]:
    """Split a pattern into its terms, at commas if it has any, else at the colons that no range or address holds.

    >>> split_pattern("web:&prod:!db[0:2]")
    ['web', '&prod', '!db[0:2]']
    >>> split_pattern("fe80::1")
    ['fe80::1']
    """
    if not isinstance(pattern, str):
        return [term for part in pattern for term in split_pattern(part)]
    if not ("," in pattern or is_address(pattern)):
        return _TERM.findall(pattern)
    terms = pattern.split(",")
    return [term.strip() for term in terms if term.strip()]


def _limit_terms(limit: str | Sequence[str]) -> list[str]:
    terms: list[str] = []
    for term in split_pattern(limit):
        terms.extend(_read_limit_file(Path(term[1:])) if term.startswith("@") else [term])
    return terms


def _read_limit_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        step = "--limit @FILE names a file with one pattern on each line"
        raise InputError(f"can't read the file of --limit: {reason}", file=path, next_step=step) from None
    return [line.strip() for line in lines if line.strip()]


def _evaluate(inventory: Topology, terms: list[str], position: Position | None) -> Hosts:
    """Add up the plain terms, then keep the hosts of every ``&``, then remove those of each ``!``."""
    plain = [term for term in terms if term[0] not in "&!"] or ["all"]
    chosen: Hosts = {}
    for term in plain:
        chosen.update(_match(inventory, term, position))
    for term in (term for term in terms if term[0] == "&"):
        wanted = _match(inventory, term[1:], position)
        chosen = {name: None for name in chosen if name in wanted}
    for term in (term for term in terms if term[0] == "!"):
        spared = _match(inventory, term[1:], position)
        chosen = {name: None for name in chosen if name not in spared}
    return chosen


def _match(inventory: Topology, term: str, position: Position | None) -> Hosts:
    if term in inventory.hosts:
        return {term: None}
    expression, subscript = _split_subscript(term)
    hosts = _matching_hosts(inventory, expression, position)
    return hosts if subscript is None else _apply_subscript(list(hosts), subscript, term, position)


def _split_subscript(term: str) -> tuple[str, tuple[int, int | None] | None]:
    """Return the expression and ``(index, None)`` or ``(first, last)``, the last included, -1 for the end."""
    match = None if term.startswith("~") else _SUBSCRIPT.match(term)
    if not match:
        return term, None
    expression, index, first, last = match.groups()
    return expression, ((int(index), None) if index is not None else (int(first), int(last) if last else -1))


def _apply_subscript(
    hosts: list[str], subscript: tuple[int, int | None], term: str, position: Position | None
) -> Hosts:
    first, last = subscript
    if last is not None:
        return dict.fromkeys(hosts[first:] if last == -1 else hosts[first : last + 1])
    try:
        return {hosts[first]: None}
    except IndexError:
        raise input_error(
            position,
            f"the host pattern {term!r} asks for more than the {len(hosts)} hosts there are",
            next_step="the first is [0], the last [-1]",
        ) from None


def _matching_hosts(inventory: Topology, expression: str, position: Position | None) -> Hosts:
    groups = _matching(inventory.groups, expression, position)
    hosts: Hosts = {host.name: None for group in groups for host in inventory.members(group)}
    if not groups or expression.startswith("~") or any(mark in expression for mark in _GLOB_MARKS):
        hosts.update(dict.fromkeys(_matching(inventory.hosts, expression, position)))
    if not hosts and not groups and _is_plain(expression):
        raise _unknown(inventory, expression, position)
    return hosts


def _matching(names: Iterable[str], expression: str, position: Position | None) -> list[str]:
    try:
        matcher = re.compile(expression[1:] if expression.startswith("~") else fnmatch.translate(expression))
    except re.error as problem:
        what = f"bad regular expression in the host pattern {expression!r}: {problem}"
        raise input_error(position, what, next_step="what follows '~' is one of Python's; names need no '~'") from None
    return [name for name in names if matcher.match(name)]


def _is_plain(expression: str) -> bool:
    return not expression.startswith("~") and not any(mark in expression for mark in "?*[")


def _unknown(inventory: Topology, name: str, position: Position | None) -> InputError:
    known = [*inventory.groups, *inventory.hosts]
    step = (
        f"orchestr inventory {inventory.path} --graph shows them" if len(known) > 20 else f"known: {', '.join(known)}"
    )
    return input_error(
        position,
        f"the host pattern {name!r} is neither a host nor a group of {inventory.path}",
        suggestion=closest(name, known),
        next_step=step,
    )
