"""In which form an application is on a host, for the plays after it."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Survey, registered
from orchestr.agent.system import Reader
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.names import check_project_name
from orchestr.resources.moves.databases import dump_path
from orchestr.resources.moves.forms import (
    COMPOSE,
    STACK,
    awaited_path,
    containers,
    source_path,
    stack_services,
    stopped_at_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Tuple

NODE_LABEL = "orchestr.role."


@record
@registered("application_survey")
class ApplicationSurvey(Survey):
    """In which form an application is on this host, and how much its databases hold.

    ``databases`` are service, suffix of its dump, and volume; ``container_paths`` are the paths at which services have
    directories of the host mounted. Outcome: ``form`` (compose, stack, ""), ``pending`` (the form that an unfinished
    move leaves), ``is_loaded``, ``is_stopped``, ``awaited`` (the trees it is about), ``database_bytes``, ``places``
    (the nodes that a swarm binds services to), ``mounted`` (container path → directory of the host). Observes: the
    engine's containers, services, nodes and volumes, an unfinished move. Changes: nothing.
    """

    name: str
    databases: Tuple[Tuple[str, str, str], ...] = ()
    container_paths: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_project_name(self.name)

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        import json

        pending = (reader.read_text(source_path(self.name)) or "").strip()
        try:
            form = COMPOSE if containers(reader, self.name) else STACK if stack_services(reader, self.name) else ""
            size = sum(_size_bytes(reader, volume) for _, _, volume in self.databases) if form else 0
            places = _places(reader) if form == STACK else {}
            mounted = self._read_mounts(reader) if self.container_paths else {}
        except docker.EngineSilent:  # none yet; a swarm that cannot answer is an error, not a host without anything
            form, size, places, mounted = "", 0, {}, {}
        # The databases have come over already: from here on those of the new form count.
        dumps = [dump_path(self.name, service, suffix) for service, suffix, _ in self.databases]
        is_loaded = bool(pending) and form not in ("", pending) and all(reader.stat(path) is None for path in dumps)
        return {
            "form": form,
            "pending": pending,
            "is_loaded": is_loaded,
            "is_stopped": reader.stat(stopped_at_path(self.name)) is not None,
            "awaited": json.loads(reader.read_text(awaited_path(self.name)) or "{}"),
            "database_bytes": size,
            "places": places,
            "mounted": mounted,
        }

    def _read_mounts(self, reader: Reader) -> Dict[str, str]:
        """Return container path → directory of this host, of the application's running containers."""
        directories: Dict[str, str] = {}
        for container in docker.get(reader, "/containers/json") or ():
            labels = container.get("Labels") or {}
            if self.name in (labels.get("com.docker.compose.project"), labels.get("com.docker.stack.namespace")):
                for mount in container.get("Mounts") or ():
                    if mount.get("Destination") in self.container_paths:
                        directories.setdefault(str(mount["Destination"]), str(mount.get("Source") or ""))
        return directories


def _places(reader: Reader) -> Dict[str, Tuple[str, str]]:
    """Return node label → (id, hostname) of the first node that carries it, as this host, a manager, knows them."""
    info = docker.get(reader, "/info") or {}
    nodes = docker_api.listed(reader, "/nodes", {}) if (info.get("Swarm") or {}).get("ControlAvailable") else []
    places: Dict[str, Tuple[str, str]] = {}
    for node in nodes:
        for label in (node.get("Spec") or {}).get("Labels") or {}:
            name = str((node.get("Description") or {}).get("Hostname") or "")
            places.setdefault(label.partition(NODE_LABEL)[2], (str(node["ID"]), name))
    return places


def _size_bytes(reader: Reader, volume: str) -> int:
    details = docker.get(reader, "/volumes/" + volume) or {}
    done = reader.query(["du", "-s", "-B1", details["Mountpoint"]]) if details.get("Mountpoint") else None
    return int(done.stdout.split()[0]) if done is not None and done.ok else 0
