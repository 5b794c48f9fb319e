"""Which hosts a play is for: its pattern, within --limit, in its order; absent groups match no host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.inventory.patterns import split_pattern

if TYPE_CHECKING:
    from orchestr.inventory import Inventory
    from orchestr.planning.playbook import Play, Playbook


class PlayHosts:
    """The hosts of each play of a playbook, by the number of the play: ``all`` of them, and those ``limited``.

    Raises InputError for a pattern that names an unknown host or group, except a group that other inventories have.
    """

    def __init__(self, inventory: Inventory, playbook: Playbook, limit: str | None) -> None:
        self._inventory = inventory
        self._plays = playbook.plays
        self.all = {number: self._hosts_of(play) for number, play in enumerate(self._plays)}
        self.limited = self.all if limit is None else self._within(limit)
        self._plays_of: dict[str, list[int]] = {}
        for number, names in self.limited.items():
            for name in names:
                self._plays_of.setdefault(name, []).append(number)

    def _within(self, limit: str) -> dict[int, list[str]]:
        within = {host.name for host in self._inventory.select("all", limit)}
        return {number: [name for name in names if name in within] for number, names in self.all.items()}

    def plays_of(self, host: str) -> list[int]:
        """Return the numbers of the plays that are for a host, within the limit."""
        return self._plays_of.get(host, [])

    def hosts(self) -> list[str]:
        """Return the hosts of any play, within the limit, in inventory order."""
        return [name for name in self._inventory.hosts if name in self._plays_of]

    def _hosts_of(self, play: Play) -> list[str]:
        """Return the play's hosts; a group that this inventory lacks matches none, unless it looks misspelt."""
        written = split_pattern(play.hosts)
        terms = [term for term in written if not self._is_absent(term, play)]
        # The rest of "web:!db" in an inventory without web must not become everything but db.
        is_empty = _only_narrows(terms) and not _only_narrows(written)
        selected = [] if is_empty else self._inventory.select(terms, position=play.hosts_position)
        names = [host.name for host in selected]
        if play.order in ("sorted", "reverse_sorted"):
            names.sort()
        return names[::-1] if play.order.startswith("reverse") else names

    def _is_absent(self, term: str, play: Play) -> bool:
        """Return True if a plain name is no host and no group here. Raises InputError if a similar name exists."""
        if not term.replace("_", "").replace("-", "").isalnum():
            return False
        try:
            self._inventory.select(term, position=play.hosts_position)
        except InputError as error:
            if error.suggestion and error.suggestion not in self._names_in_patterns():
                raise
            return True
        return False

    def _names_in_patterns(self) -> set[str]:
        """Return the names in all plays' patterns: of two that the playbook tells apart, neither is a misspelling."""
        return {term for play in self._plays for term in split_pattern(play.hosts)}


def _only_narrows(terms: list[str]) -> bool:
    """Return True if a pattern only narrows (``&``, ``!``), which Ansible reads as narrowing all hosts."""
    return all(term[:1] in "&!" for term in terms)


def check_limit(inventory: Inventory, limit: str, hosts: Iterable[str], playbook: Playbook) -> None:
    """Raise InputError for a host or group that --limit adds, of which no play has a host."""
    in_plays = set(hosts)
    for term in split_pattern(limit):
        if term[:1] in "&!@" or in_plays.intersection(host.name for host in inventory.select("all", term)):
            continue
        raise InputError(
            f"--limit {term}: no play of the playbook has a host of it",
            file=playbook.path,
            next_step=f"leave it out, or add it to the hosts of a play; orchestr inventory {inventory.path} --graph",
        )
