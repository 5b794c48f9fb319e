"""A project's services as observed: the condition of their containers, and why it differs from the desired one."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.system import Reader
from orchestr.resources.compose import containers as compose_containers
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.compose.containers import Container
from orchestr.resources.docker import engine as docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional, Sequence, Tuple

    from orchestr.resources.compose.project import ComposeProject, ComposeService

AT_WORK = (compose_containers.RUNNING, compose_containers.PAUSED)  # the unhealthy are restarted anyway
MISREAD = "may have read other configuration since it was restarted"


@record
class View:
    """One service as observed. ``text`` is its state as compared and shown; stale containers have to be replaced.

    ``misread`` are containers that are right but may have read files that were not, when others restarted them.
    """

    service: "ComposeService"
    containers: Tuple[Container, ...]
    text: str
    is_stale: bool = False
    needs_reload: bool = False
    misread: Tuple[Container, ...] = ()


def views(reader: Reader, project: "ComposeProject", containers: Sequence[Container]) -> List[View]:
    """Return every service of the project as observed."""
    stamp = compose_inputs.read_stamp(reader, project.project)
    result = []
    for service in project.all_services:
        mine = tuple(item for item in containers if item.service == service.name)
        if project.running:
            result.append(_view(reader, project, service, mine, stamp))
        else:
            result.append(View(service, mine, _stopped_text(mine)))
    return result


def _view(
    reader: Reader,
    project: "ComposeProject",
    service: "ComposeService",
    containers: Tuple[Container, ...],
    stamp: compose_inputs.Stamp,
) -> View:
    text = compose_containers.summary(containers, service.replicas, service.runs_once)
    if not containers:
        return View(service, containers, text)
    inputs = project.inputs_text(reader, service)
    for container in containers:
        why = _why_stale(container, inputs, stamp)
        if why:
            return View(service, containers, "%s, %s" % (text, why), is_stale=True)
    if service.image and _has_other_image(reader, service.image, containers):
        return View(service, containers, "%s, with another image than %s is now" % (text, service.image), is_stale=True)
    misread = tuple(item for item in containers if _has_misread(reader, project, service, item, stamp.get(item.id)))
    if misread:
        return View(service, containers, "%s, %s" % (text, MISREAD), misread=misread)
    is_steady = text == compose_containers.wanted(service.replicas, service.runs_once)
    if is_steady and service.reload_files:
        paths = [project.path(name) for name in service.reload_files]
        if not all(_has_loaded(reader, paths, container, stamp.get(container.id)) for container in containers):
            return View(service, containers, "%s, has not loaded its new configuration" % text, needs_reload=True)
    return View(service, containers, text)


def _why_stale(container: Container, inputs: str, stamp: compose_inputs.Stamp) -> str:
    """Return why a container is not the one that would be started now; empty when it is."""
    if not container.digest:
        return "not started by orchestr"
    if container.digest != inputs:
        changed = compose_inputs.changed_inputs(container.digest, inputs)
        return "started with other configuration (%s)" % ", ".join(changed)
    known = stamp.get(container.service, {})
    if known.get("digest") == container.digest and known != start_entry(container):
        return "started by hand with another definition or image"
    return ""


def _has_other_image(reader: Reader, reference: str, containers: Sequence[Container]) -> bool:
    """Return True if a container was made from another image than the reference now names (a pull moves it)."""
    image = docker.tagged(reader, reference)
    return image is not None and any(container.image_id != image["Id"] for container in containers)


def start_entry(container: Container) -> Dict[str, str]:
    """Return the stamp's entry on how a service was started."""
    return {"digest": container.digest, "config_hash": container.config_hash, "image": container.image_id}


def _has_misread(
    reader: Reader,
    project: "ComposeProject",
    service: "ComposeService",
    container: Container,
    entry: Optional[Mapping[str, str]],
) -> bool:
    """Return True if a running container was (re)started by others before its files had their present content."""
    paths = project.inputs_read_by_process(service)
    if not paths or service.runs_once or container.condition not in AT_WORK:
        return False
    started = compose_containers.started_at(reader, container.id)
    if not started or (entry is not None and entry.get("started") == started):
        return False
    return not compose_inputs.unchanged_since(reader, paths, compose_containers.nanoseconds(started))


def _has_loaded(reader: Reader, paths: Sequence[str], container: Container, entry: Optional[Mapping[str, str]]) -> bool:
    """Return True if a container runs with its current reloadable files: loaded since, or started after them.

    A reload by hand leaves no trace: that of an edited file, which is then repaired, is not seen.
    """
    started = compose_containers.started_at(reader, container.id)
    if entry is not None and entry.get("started") == started:
        return entry.get("loaded") == compose_inputs.combined_digest(reader, paths)
    return bool(started) and compose_inputs.unwritten_since(reader, paths, compose_containers.nanoseconds(started))


def _stopped_text(containers: Sequence[Container]) -> str:
    at_work = [item.condition for item in containers if not compose_containers.is_at_rest(item)]
    return at_work[0] if at_work else "stopped"
