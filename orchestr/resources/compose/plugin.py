"""The compose v2 plugin, from wherever the host can have it."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import engine as docker
from orchestr.resources.package_backend import Backend, Wanted
from orchestr.resources.packages import backend_of, check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Optional, Tuple

LISTS_AGE_S = 86400.0


@record
@registered("compose_plugin")
class ComposePlugin(Resource):
    """``docker compose`` is there: any plugin will do, else the first of ``packages`` with version 2 or later.

    Observes: the directories Docker looks for plugins in. Changes: installs that package and its dependencies.
    Never touches: a plugin that is there already, nor packages of version 1, which Debian 12 calls docker-compose.
    """

    packages: Tuple[str, ...] = ()

    touches: ClassVar[Tuple[str, ...]] = ("packages", "docker", "files")

    def __post_init__(self) -> None:
        for name in self.packages:
            check_name(name)

    @property
    def label(self) -> str:
        return "docker compose"

    def desired(self) -> Optional[State]:
        return {"plugin": "present"}

    def observe(self, reader: Reader) -> Optional[State]:
        return {"plugin": "present" if docker.compose_plugin(reader) else "absent"}

    def apply(self, system: System, change: Change) -> None:
        backend = backend_of(system)
        backend.refresh(system, LISTS_AGE_S)
        chosen = self._chosen(backend, system)
        if not chosen:
            backend.refresh(system, 0.0)
            chosen = self._chosen(backend, system)
        if not chosen:
            raise ResourceError(
                "this host's package sources offer no compose v2 (looked for %s)" % ", ".join(self.packages),
                "add Docker's own package source, which has docker-compose-plugin: https://docs.docker.com/engine/install",
            )
        backend.install(system, [Wanted(chosen)])

    def _chosen(self, backend: Backend, reader: Reader) -> str:
        for name in self.packages:
            if docker.version_numbers(backend.candidate(reader, name).rpartition(":")[2]) >= (2,):
                return name
        return ""
