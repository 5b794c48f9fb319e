"""A world: which resources the laws try, and on which hosts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task, class_of
from orchestr.transport.memory import MemoryHost, MemorySystem

#: Generators put it into every secret they make; no result of a run may hold it.
CANARY = "canary-4711"


def _nodes(double: Any) -> Any:
    return copy.deepcopy(double.nodes)


@dataclass(frozen=True)
class World:
    """Hosts with the tools that some kinds of resource need, and strategies that make resources of these kinds.

    ``kinds``: kind → strategy of its resources. ``hosts`` makes doubles: a MemoryHost (the default is an empty one), or
    an object with a MemoryHost as ``host``. ``state(double)`` returns a copy of all that a plan must leave as it is
    (default: the host's files). ``refusals`` are parts of error messages by which a resource rightly refuses.
    ``options(double)`` are further arguments of its System. ``never_done`` names kinds that no second run can find
    done, each with the reason. ``examples`` is how many resources and hosts each law tries.
    """

    name: str
    kinds: Mapping[str, st.SearchStrategy[Resource]]
    hosts: st.SearchStrategy[Any] = field(default_factory=lambda: st.builds(MemoryHost))
    state: Callable[[Any], Any] = _nodes
    refusals: tuple[str, ...] = ()
    options: Callable[[Any], Mapping[str, Any]] = field(default=lambda double: {})
    examples: int = 20
    never_done: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> settings:
        # Not shrunk: worlds are small, and to try a smaller host takes as long as to try another.
        phases = (Phase.explicit, Phase.reuse, Phase.generate)
        return settings(
            max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck), phases=phases
        )

    def is_gate(self, kind: str) -> bool:
        """Return True for a kind that only looks or waits."""
        return bool(class_of(kind).is_gate)  # type: ignore[attr-defined]

    def host(self, double: Any) -> MemoryHost:
        host = double if isinstance(double, MemoryHost) else double.host
        assert isinstance(host, MemoryHost)
        return host

    def system(self, double: Any, cls: type[MemorySystem] = MemorySystem, **options: Any) -> MemorySystem:
        return cls(self.host(double), run_id="r1", **{**self.options(double), **options})

    def settle(self, resource: Resource, double: Any) -> dict[str, Any]:
        """Converge the resource in a run of its own: nothing is remembered from earlier ones."""
        return converge(Task(resource), self.system(double), check=False, has_pending=False)

    def is_refused(self, result: Mapping[str, Any]) -> bool:
        """Return True for a failure whose message is one of ``refusals``."""
        return result["verdict"] == "failed" and any(word in result["error"]["message"] for word in self.refusals)


class Drawn:
    """A double that a failing example does not print as a whole."""

    def __init__(self, double: Any) -> None:
        self.double = double

    def __repr__(self) -> str:
        return "a host"
