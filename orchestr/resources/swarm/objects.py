"""Files that reach the tasks of a swarm's services wherever they run: configs and secrets.

Configs and secrets cannot be changed: another content is another object, its name ending in a digest of the content.
The old one is collected when no service uses it, nor would after a rollback.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.secret import Secret, reveal
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.names import check_object_name, check_project_name
from orchestr.resources.swarm import state as swarm_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, Iterator, List, Optional, Set, Tuple, Union

STACK_LABEL = "orchestr.stack"  # on configs and secrets: their stack; those with it are ours to collect
CONTENT_LABEL = "orchestr.content"


class _Content(Resource):
    """Base of configs and secrets: there or not, under a name that says the content."""

    plural: ClassVar[str] = ""
    touches: ClassVar[Tuple[str, ...]] = ("swarm_contents",)
    name: str
    content: Union[str, Secret]
    stack: str

    def __post_init__(self) -> None:
        check_object_name(self.plural[:-1], self.name)
        if self.stack:
            check_project_name(self.stack)

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        return {"ours": True}

    def observe(self, reader: Reader) -> Optional[State]:
        swarm_state.require_manager(reader)
        match = next(
            (content for content in _contents(reader, self.plural) if content["Spec"]["Name"] == self.name), None
        )
        return None if match is None else {"ours": CONTENT_LABEL in (match["Spec"].get("Labels") or {})}

    def apply(self, system: System, change: Change) -> None:
        import base64

        if not change.is_creation:
            raise ResourceError(
                "%s is there, but was not made by orchestr" % self.name,
                "remove it when no service uses it: docker %s rm %s" % (self.plural[:-1], self.name),
            )
        data = base64.b64encode(str(reveal(self.content)).encode("utf-8")).decode("ascii")
        labels = {STACK_LABEL: self.stack, CONTENT_LABEL: self.name.rpartition("-")[0]}
        body = {"Name": self.name, "Labels": labels, "Data": data}
        docker_api.call(system, "POST", "/%s/create" % self.plural, body=body)

    def diff(self, reader: Reader, change: Change) -> str:
        return "- absent\n+ present"


@record
@registered("swarm_config")
class SwarmConfig(_Content):
    """A config of the swarm; anyone with access to a manager's engine can read it.

    Observes: its name, which says its content. Changes: creates it. Never touches: another config.
    """

    name: str
    content: Union[str, Secret]
    stack: str = ""

    plural: ClassVar[str] = "configs"


@record
@registered("swarm_secret")
class SwarmSecret(_Content):
    """A secret of the swarm: kept encrypted by the managers, in memory where a task has it; nobody can read it back.

    Observes: its name, which says its content. Changes: creates it. Never touches: another secret.
    """

    name: str
    content: Secret
    stack: str = ""

    plural: ClassVar[str] = "secrets"


@record
@registered("swarm_leftovers")
class SwarmLeftovers(Resource):
    """No config or secret of the stack that is not among ``keep`` and that no service uses.

    Objects that a service would use after a rollback count as used. Those in use are left, for a later run to collect.
    Observes: configs, secrets and services. Changes: removes unused ones that orchestr made for this stack.
    Never touches: anybody else's.
    """

    stack: str
    keep: Tuple[str, ...] = ()

    touches: ClassVar[Tuple[str, ...]] = ("swarm_contents",)

    def __post_init__(self) -> None:
        check_project_name(self.stack)

    @property
    def label(self) -> str:
        return self.stack

    def desired(self) -> Optional[State]:
        return {"unused": ()}

    def observe(self, reader: Reader) -> Optional[State]:
        return {"unused": tuple(name for name, _ in self._list_unused(reader))}

    def _list_unused(self, reader: Reader) -> List[Tuple[str, str]]:
        """Return (name, path) of the objects to remove."""
        swarm_state.require_manager(reader)
        candidates = []
        for plural in ("configs", "secrets"):
            for content in _contents(reader, plural):
                labels = content["Spec"].get("Labels") or {}
                if CONTENT_LABEL in labels and labels.get(STACK_LABEL) == self.stack:
                    candidates.append((content["Spec"]["Name"], "/%s/%s" % (plural, content["ID"]), content["ID"]))
        candidates = [content for content in candidates if content[0] not in self.keep]
        used = _find_used(reader) if candidates else set()
        return sorted((name, path) for name, path, content_id in candidates if content_id not in used)

    def apply(self, system: System, change: Change) -> None:
        for _, path in self._list_unused(system):
            docker_api.call(system, "DELETE", path)


def _contents(reader: Reader, plural: str) -> List[Dict[str, Any]]:
    key = ("swarm_contents", plural)
    contents: List[Dict[str, Any]] = reader.once(key, lambda: docker.get(reader, "/" + plural) or [])
    return contents


def _find_used(reader: Reader) -> Set[str]:
    """Return the ids of configs and secrets that services use now, or would after a rollback."""
    return {content_id for service in docker.get(reader, "/services") or [] for content_id in _used_by(service)}


def _used_by(service: Dict[str, Any]) -> Iterator[str]:
    for spec in (service.get("Spec"), service.get("PreviousSpec")):
        container = ((spec or {}).get("TaskTemplate") or {}).get("ContainerSpec") or {}
        for reference in container.get("Configs") or ():
            yield reference["ConfigID"]
        for reference in container.get("Secrets") or ():
            yield reference["SecretID"]
