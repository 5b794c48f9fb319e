"""The Docker engine's API where it is written to: over its socket, so that no secret is ever an argument.

Reading is ``docker.get``, which a Reader can do; everything here takes a System and so only serves ``apply``.
Source: Docker Engine API, https://docs.docker.com/engine/api/.
"""

from __future__ import annotations

from orchestr.agent.light_json import dumps, loads
from orchestr.agent.resource import ResourceError
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import engine as docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional

OUT_OF_SEQUENCE = "update out of sequence"
UPDATE_TRIES = 5  # somebody else may write the same object between our reading and our writing


class Refused(ResourceError):
    """The engine refused a request; ``status`` is that of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("docker says %d: %s" % (status, message))
        self.status = status
        self.reason = message


def call(
    system: System,
    method: str,
    path: str,
    query: Optional[Mapping[str, Any]] = None,
    body: Optional[Mapping[str, Any]] = None,
    timeout_s: float = 60.0,
) -> Any:
    """Return the decoded answer (None when it is empty) to a request that changes something.

    Raises EngineSilent when there is no answer, Refused with the engine's own words.
    """
    data = b"" if body is None else dumps(body).encode("utf-8")
    url = path + docker.query_text(query)
    try:
        status, answer = system.http(
            url,
            socket_path=docker.SOCKET,
            method=method,
            headers={"Content-Type": "application/json"} if data else {},
            body=data,
            timeout_s=timeout_s,
        )
    except OSError as error:
        raise docker.silent(system, error) from error
    if status >= 400:
        raise Refused(status, docker.message_of(answer))
    try:
        return loads(answer.decode("utf-8")) if answer.strip() else None
    except ValueError:
        return None


def update(
    system: System, path: str, changed: Callable[[Dict[str, Any]], Optional[Dict[str, Any]]], description: str = ""
) -> None:
    """Write the object at ``path`` (a node, service, config …): ``changed`` makes its new Spec out of the object.

    ``changed`` may say None: nothing to write. Read and written again when somebody else was faster.
    Raises ResourceError when there is no such object.
    """
    for left in range(UPDATE_TRIES - 1, -1, -1):
        current = docker.get(system, path)
        if current is None:
            raise ResourceError("%s does not exist any more" % (description or path))
        spec = changed(current)
        if spec is None:
            return
        try:
            call(system, "POST", path + "/update", {"version": str(current["Version"]["Index"])}, spec)
            return
        except Refused as refused:
            if OUT_OF_SEQUENCE not in refused.reason or not left:
                raise


def listed(reader: Reader, path: str, filters: Mapping[str, List[str]]) -> List[Dict[str, Any]]:
    """Return a list of the engine's objects that the filters let through."""
    items: Optional[List[Dict[str, Any]]] = docker.get(reader, path, {"filters": dict(filters)})
    return items or []
