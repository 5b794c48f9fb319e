"""A resource whose functions import what it could be observed without."""

from __future__ import annotations

from dataclasses import dataclass

from orchestr.agent.resource import Change, Resource, State, registered
from orchestr.agent.system import Reader, System


@dataclass(frozen=True)
@registered("late_imports")
class LateImports(Resource):
    """A file with the name of a module in it that only `apply` imports."""

    path: str
    way: str = "known"

    @property
    def label(self) -> str:
        return self.path

    def desired(self) -> State | None:
        if self.way == "package":
            return {"text": "orchestr.resources.compose.containers"}
        return {"text": "orchestr.resources.env_grammars"}

    def observe(self, reader: Reader) -> State | None:
        return {"text": reader.read_text(self.path)}

    def apply(self, system: System, change: Change) -> None:
        if self.way == "absent":
            __import__("orchestr.resources.nothing_of_the_kind")
        if self.way == "not ours":
            __import__("orchestr.resources.swarm.stack_apply")  # there is such a module, and nothing sent speaks of it
        if self.way == "package":
            from orchestr.resources.compose import containers as module
        else:
            from orchestr.resources import env_grammars as module  # type: ignore[no-redef]

        with open(self.path, "w", encoding="utf-8") as stream:
            stream.write(module.__name__)
