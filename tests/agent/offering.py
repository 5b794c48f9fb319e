"""An Action for tests alone: what a command writes goes to the controller."""

from __future__ import annotations

from dataclasses import dataclass

from orchestr.agent.offer import offer
from orchestr.agent.resource import Action, registered
from orchestr.agent.system import Reader, System


@dataclass(frozen=True)
@registered("offering_of_tests")
class Offering(Action):
    argv: tuple[str, ...]
    size_bytes: int = 0

    @property
    def label(self) -> str:
        return self.argv[-1]

    def is_done(self, reader: Reader) -> bool:
        return False

    def perform(self, system: System) -> None:
        sha256, size_bytes = offer(system, self.argv, self.size_bytes, 60.0)
        self.publish(system, {"sha256": sha256, "size_bytes": size_bytes})
