"""Compose projects: services that run, with the configuration that is there now.

A container's inputs are in its label ``orchestr.digest``: digests of its definition, its image and the
files it reads. The label gets in by a generated ``compose.override.yaml``, which compose reads by itself, so that a
``docker compose up`` by hand in the directory changes nothing. Only services whose inputs changed are recreated.

A single file mounted into a container goes stale there when it is replaced (the mount holds the old inode), so
configuration that is *reloaded* has to be mounted by its directory.
"""

from __future__ import annotations

import os

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.compose import containers as compose_containers
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.compose import view as compose_view
from orchestr.resources.compose.containers import Container
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.names import check_object_name, check_project_name, check_reference
from orchestr.resources.names import check_choice, check_line, check_path, check_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, List, Mapping, Optional, Sequence, Tuple, Union

ORPHANS = "orphans"
PULLS = ("missing", "always", "never", "build", "if_not_present", "policy")  # of docker compose up --pull


@record
@registered("compose_service")
class ComposeService:
    """The desired state of one service of a project, and its inputs.

    ``definition`` is a digest of its definition; without one the whole compose files count. ``env_files`` are read
    when a container is made, ``config`` (files and directories, relative to the project's directory) each time it
    starts: a change of either recreates the service, as does another image under the reference ``image`` or another
    ``image_id`` (known before it is there). A change of ``reload_files`` runs ``reload_command`` in its containers
    instead. ``runs_once``: it should end with status 0.
    """

    name: str
    definition: str = ""
    config: Tuple[str, ...] = ()
    image: str = ""
    image_id: str = ""
    replicas: int = 1
    runs_once: bool = False
    stop_grace_s: float = 10.0
    reload_files: Tuple[str, ...] = ()
    reload_command: Tuple[str, ...] = ()
    env_files: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_object_name("service", self.name)
        for name in (*self.config, *self.reload_files, *self.env_files):
            check_line(name, "a file of the service %s," % self.name)
        check_words(self.reload_command, self.name)
        if self.image:
            check_reference(self.image)


@record
@registered("compose_project")
class ComposeProject(Resource):
    """A compose project in ``directory``: every service running, healthy, and started with the current inputs.

    Observes: the project's containers over the engine's socket, the files they were started with (no process).
    Changes: only services that differ: starts, recreates, restarts (unhealthy ones) or reloads them, then waits until
    they are steady; removes containers of services that are no more. Never touches: volumes, other projects, images.
    """

    directory: str
    services: Tuple[Union[str, ComposeService], ...] = ()
    name: str = ""
    files: Tuple[str, ...] = ("compose.yaml",)
    env_files: Tuple[str, ...] = ()
    config: Tuple[str, ...] = ()
    pull: str = "missing"
    remove_orphans: bool = True
    wait_s: float = 120.0
    settle_s: float = 1.5
    running: bool = True
    present: bool = True
    override: str = "compose.override.yaml"

    touches: ClassVar[Tuple[str, ...]] = ("containers", "images")

    @property
    def longest_s(self) -> float:  # type: ignore[override]
        """Return the time with two stops of each service, as long as these may take."""
        return Resource.longest_s + 2 * sum(service.stop_grace_s for service in self.all_services)

    def __post_init__(self) -> None:
        check_path(self.directory, "the directory of the project")
        check_project_name(self.project)
        for name in (*self.files, *self.env_files, *self.config, self.override):
            check_line(name, "a file of the project %s," % self.project)
        for service in self.services:
            check_object_name("service", service if isinstance(service, str) else service.name)
        check_choice(self.pull, PULLS, "pull of the project %s," % self.project)
        if self.present and not self.services:
            raise ValueError("a compose project is told its services: any other container of it would be an orphan")

    @property
    def label(self) -> str:
        return self.project

    @property
    def project(self) -> str:
        """Return the project's name, as compose makes it from the directory when none is given."""
        base = os.path.basename(self.directory.rstrip("/")).lower()
        return self.name or "".join(char for char in base if char.isalnum() or char in "-_").lstrip("-_")

    @property
    def all_services(self) -> List[ComposeService]:
        """The services; a name alone becomes a ComposeService."""
        return [ComposeService(item) if isinstance(item, str) else item for item in self.services]

    def path(self, name: str) -> str:
        """Return the whole path of a file named relative to the project's directory."""
        return os.path.normpath(os.path.join(self.directory, name))

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return {("compose project", self.project): (self.directory, self.present, self.running, self.all_services)}

    def desired(self) -> Optional[State]:
        if not self.present:
            return None
        if not self.running:
            return {service.name: "stopped" for service in self.all_services}
        state = {item.name: compose_containers.wanted(item.replicas, item.runs_once) for item in self.all_services}
        return dict(state, **({ORPHANS: "none"} if self.remove_orphans else {}))

    def observe(self, reader: Reader) -> Optional[State]:
        containers = compose_containers.project_containers(reader, self.project)
        if not self.present and not containers:
            return None
        orphans = ", ".join(item.name for item in self._orphans(containers))
        state = {view.service.name: view.text for view in compose_view.views(reader, self, containers)}
        return dict(state, **{ORPHANS: orphans or "none"})

    def apply(self, system: System, change: Change) -> None:
        # Not needed, nor compiled, when nothing differs.
        from orchestr.resources.compose import apply as compose_apply

        docker.require_compose(system)
        containers = compose_containers.project_containers(system, self.project)
        if not self.present:
            compose_apply.remove(system, self)
        elif not self.running:
            compose_apply.stop(system, self)
        else:
            views = compose_view.views(system, self, containers)
            compose_apply.bring_about(system, self, [view for view in views if change.touches(view.service.name)])
            if self.remove_orphans:
                compose_apply.remove_containers(system, self._orphans(containers))

    def _orphans(self, containers: Sequence[Container]) -> List[Container]:
        names = {service.name for service in self.all_services}
        return [item for item in containers if item.service not in names]

    def inputs_text(self, reader: Reader, service: ComposeService) -> str:
        """Return the inputs with which a service would be started now, in the form of its container's label."""
        inputs = {}
        if service.definition:
            inputs["definition"] = service.definition[: compose_inputs.DIGEST_LENGTH]
        if service.image_id:
            inputs["image"] = service.image_id.partition(":")[2][: compose_inputs.DIGEST_LENGTH]
        for name in self._read_at_start(service):
            inputs[name] = compose_inputs.combined_digest(reader, [self.path(name)])
        return compose_inputs.label_text(inputs)

    def inputs_read_by_process(self, service: ComposeService) -> List[str]:
        """Return the paths that a container's process reads again at every start."""
        return [self.path(name) for name in (*self.config, *service.config)]

    def _read_at_start(self, service: ComposeService) -> Tuple[str, ...]:
        """Return the files whose change recreates the service; ``.env`` is read by compose unasked."""
        interpolated = self.env_files or (() if service.definition else (".env",))
        files = () if service.definition else self.files
        return tuple(dict.fromkeys((*files, *interpolated, *self.config, *service.env_files, *service.config)))
