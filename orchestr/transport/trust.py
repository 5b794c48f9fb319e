"""The keys that hosts offer beside those on record, and recording them: the library behind ``orchestr trust``."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from orchestr.errors import HostError
from orchestr.transport import host_key_records
from orchestr.transport.known_hosts import OfferedKey, RecordedKey
from orchestr.transport.openssh_config import target_of

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings, Inventory

KeyState = Literal["on record", "new", "CHANGED"]


@dataclass(frozen=True)
class HostKeys:
    """A host's keys: ``offered`` by the server that answers now, ``recorded`` in known_hosts.

    ``error``: no server answers, or there is no file to record its keys in.
    """

    host: str
    settings: ConnectionSettings = field(repr=False)
    known_as: str = ""
    offered: tuple[OfferedKey, ...] = ()
    recorded: tuple[RecordedKey, ...] = ()
    error: HostError | None = None

    def _is_recorded(self, key: OfferedKey) -> bool:
        return any(old.base64 == key.base64 for old in self.recorded)

    @property
    def _has_lost_all(self) -> bool:
        """Whether a known host offers none of its recorded keys: then a key of another type is no proof either."""
        return bool(self.recorded) and not any(map(self._is_recorded, self.offered))

    def state_of(self, key: OfferedKey) -> KeyState:
        """Return the state of an offered key.

        ``CHANGED`` is a key whose type is recorded with another key, and any key of a known host that offers none of
        its recorded ones, as OpenSSH has it.
        """
        if self._is_recorded(key):
            return "on record"
        is_contradicting = self._has_lost_all or any(old.type == key.type for old in self.recorded)
        return "CHANGED" if is_contradicting else "new"

    def _with_state(self, state: KeyState) -> list[OfferedKey]:
        return [key for key in self.offered if self.state_of(key) == state]

    @property
    def changed(self) -> list[OfferedKey]:
        """The offered keys that contradict recorded ones."""
        return self._with_state("CHANGED")

    @property
    def contradicted(self) -> list[RecordedKey]:
        """The recorded keys that the offered ones contradict."""
        if self._has_lost_all:
            return list(self.recorded)
        types = {key.type for key in self.changed}
        return [old for old in self.recorded if old.type in types]

    @property
    def is_trusted(self) -> bool:
        """Whether a run would connect: a key on record is offered, and none contradicts."""
        return bool(self._with_state("on record")) and not self.changed

    def to_record(self, fingerprints: Collection[str] = (), *, replace: bool = False) -> tuple[OfferedKey, ...]:
        """Return the keys to record, of these fingerprints where any are given; none of a changed host by default.

        With ``replace`` a changed host's offered keys take the place of all its recorded ones.
        """
        if self.error is not None or (self.changed and not replace):
            return ()
        keys = self.offered if self.changed else self._with_state("new")
        return tuple(key for key in keys if not fingerprints or key.fingerprint in fingerprints)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of one host in ``trust --json``."""
        offered = [
            {"type": key.type, "fingerprint": key.fingerprint, "state": self.state_of(key).lower()}
            for key in self.offered
        ]
        recorded = [{"type": key.type, "fingerprint": key.fingerprint, "place": key.location} for key in self.recorded]
        message = self.error.message if self.error is not None else None
        return {"offered": offered, "recorded": recorded, "error": message}


def look(inventory: Inventory, limit: str | None = None, *, forks: int = 32) -> list[HostKeys]:
    """Ask every host reached over ssh for its keys, without logging in. Raises InputError."""
    settings = {host.name: inventory.connection(host.name) for host in inventory.select("all", limit)}
    names = [name for name, connection in settings.items() if connection.connection == "ssh"]
    with ThreadPoolExecutor(forks) as pool:
        return list(pool.map(lambda name: _look(name, settings[name]), names))


def _look(host: str, settings: ConnectionSettings) -> HostKeys:
    try:
        target = target_of(settings)
        recorded = tuple(host_key_records.recorded(settings))
        keys = HostKeys(host, settings, target.known_as, tuple(host_key_records.scan(settings)), recorded)
        has_no_file = not target.user_known_hosts_files and keys.to_record(replace=True)
        return replace(keys, error=host_key_records.no_file(target)) if has_no_file else keys
    except HostError as error:
        return HostKeys(host, settings, error=error)


def record(keys: HostKeys, fingerprints: Collection[str] = (), *, replace: bool = False) -> str:
    """Record the keys that ``to_record`` returns; return the known_hosts file. Raises HostKeyError."""
    is_replacing = replace and bool(keys.changed)
    chosen = keys.to_record(fingerprints, replace=replace)
    return str(host_key_records.record(keys.settings, chosen, replace=is_replacing))
