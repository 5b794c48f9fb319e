"""What every law needs: a kind's generator, a run, a run that dies, and what a look must leave as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.transport.memory import MemoryHost, MemorySystem

#: In every secret that a generator makes; nothing that a run says may hold it.
CANARY = "canary-4711"


@dataclass(frozen=True)
class World:
    """A host that has tools on it, the kinds that can be brought about there, and how to look at all of it.

    ``hosts`` makes doubles: a MemoryHost, or something that has one as ``host``. ``state`` is all of a double that
    a look must leave alone. ``refusals`` are words of refusals that are not our fault. ``options`` are a System's.
    """

    name: str
    kinds: Mapping[str, st.SearchStrategy[Resource]]
    hosts: st.SearchStrategy[Any]
    state: Callable[[Any], Any]
    refusals: tuple[str, ...] = ()
    options: Callable[[Any], Mapping[str, Any]] = field(default=lambda double: {})
    examples: int = 20

    @property
    def examples_of(self) -> settings:
        # Not shrunk: worlds are small, and to try a smaller host takes as long as to try another.
        phases = (Phase.explicit, Phase.reuse, Phase.generate)
        return settings(
            max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck), phases=phases
        )

    def host(self, double: Any) -> MemoryHost:
        host = double if isinstance(double, MemoryHost) else double.host
        assert isinstance(host, MemoryHost)
        return host

    def system(self, double: Any, cls: type[MemorySystem] = MemorySystem, **options: Any) -> MemorySystem:
        return cls(self.host(double), run_id="r1", **{**self.options(double), **options})

    def settle(self, resource: Resource, double: Any) -> dict[str, Any]:
        """Run it, as one run of many: nothing is remembered."""
        return converge(Task(resource), self.system(double), check=False, has_pending=False)

    def is_refused(self, result: Mapping[str, Any]) -> bool:
        """Tell whether it was refused for a reason a person can act on, nothing being a fault of ours."""
        return result["verdict"] == "failed" and any(word in result["error"]["message"] for word in self.refusals)


class Drawn:
    """A host that a failing example does not print as a whole."""

    def __init__(self, double: Any) -> None:
        self.double = double

    def __repr__(self) -> str:
        return "a host"


@st.composite
def drawn_hosts(draw: st.DrawFn, world: World) -> Drawn:
    return Drawn(draw(world.hosts))


class Interrupted(BaseException):
    """The agent was killed."""


class InterruptedSystem(MemorySystem):
    """Dies before its write number ``left``, and writes nothing any more: what cleans up after it is dead too."""

    left = 0

    def _written(self) -> None:
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        super()._written()
