"""Which keys hosts offer, which are on record, and recording them: what is behind ``orchestr trust``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from orchestr.errors import HostError
from orchestr.transport import known_hosts
from orchestr.transport.known_hosts import OfferedKey, RecordedKey

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings, Inventory

KeyState = Literal["on record", "new", "CHANGED"]


@dataclass(frozen=True)
class HostKeys:
    """A host's keys: ``offered`` by what answers now, ``recorded`` in known_hosts; ``error`` when nothing answered."""

    host: str
    settings: ConnectionSettings = field(repr=False)
    known_as: str = ""
    offered: tuple[OfferedKey, ...] = ()
    recorded: tuple[RecordedKey, ...] = ()
    error: HostError | None = None

    def state_of(self, key: OfferedKey) -> KeyState:
        """Return whether a key is recorded, contradicts a recorded one of its type, or is new."""
        if any(old.base64 == key.base64 for old in self.recorded):
            return "on record"
        return "CHANGED" if any(old.type == key.type for old in self.recorded) else "new"

    def _with_state(self, state: KeyState) -> list[OfferedKey]:
        return [key for key in self.offered if self.state_of(key) == state]

    @property
    def fresh(self) -> list[OfferedKey]:
        """The offered keys that contradict nothing and are not recorded; none while another one contradicts."""
        return [] if self.changed else self._with_state("new")

    @property
    def changed(self) -> list[OfferedKey]:
        return self._with_state("CHANGED")

    @property
    def contradicted(self) -> list[RecordedKey]:
        """The recorded keys that what answers now does not have."""
        types = {key.type for key in self.changed}
        return [old for old in self.recorded if old.type in types]

    @property
    def is_trusted(self) -> bool:
        """Tell whether a run would connect: something answered and a key of it is on record, none contradicts."""
        return bool(self._with_state("on record")) and not self.changed

    def only(self, fingerprints: Sequence[str]) -> HostKeys:
        """Return these keys without the offered ones that have none of the fingerprints."""
        return replace(self, offered=tuple(key for key in self.offered if key.fingerprint in fingerprints))

    def to_json(self) -> dict[str, Any]:
        offered = [
            {"type": key.type, "fingerprint": key.fingerprint, "state": self.state_of(key).lower()}
            for key in self.offered
        ]
        recorded = [{"type": key.type, "fingerprint": key.fingerprint, "place": key.place} for key in self.recorded]
        message = self.error.message if self.error is not None else None
        return {"offered": offered, "recorded": recorded, "error": message}


def look(inventory: Inventory, limit: str | None = None, *, forks: int = 32) -> list[HostKeys]:
    """Ask every host reached over ssh for its keys, without logging in. Raises InputError."""
    settings = {host.name: inventory.connection(host.name) for host in inventory.select("all", limit)}
    names = [name for name, each in settings.items() if each.connection == "ssh"]
    with ThreadPoolExecutor(forks) as pool:
        return list(pool.map(lambda name: _look(name, settings[name]), names))


def _look(host: str, settings: ConnectionSettings) -> HostKeys:
    from orchestr.transport.openssh_config import target_of

    try:
        known_as = target_of(settings).known_as
        recorded = tuple(known_hosts.recorded(settings))
        return HostKeys(host, settings, known_as, tuple(known_hosts.scan(settings)), recorded)
    except HostError as error:
        return HostKeys(host, settings, error=error)


def record(keys: HostKeys, *, replace: bool = False) -> str:
    """Record a host's offered keys; return the known_hosts file. Raises HostKeyError when they contradict others."""
    return str(known_hosts.record(keys.settings, keys.offered, replace=replace and bool(keys.changed)))
