"""Stacks: services that run on a swarm as their file says, followed until they do.

``docker stack deploy`` returns before anything runs, and reports nothing of a failed update. Here only the services
that differ are deployed, and then watched until their tasks run, or swarm gives up, or nothing moves any more.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, State, registered
from orchestr.agent.system import Reader, System
from orchestr.agent.watch import LONGEST_S
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.docker.names import check_object_name, check_project_name
from orchestr.resources.names import check_paths
from orchestr.resources.swarm import stack_state, stack_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, List, Mapping, Optional, Tuple

ORPHANS = "orphans"
MODES = ("replicated", "global", "once")


@record
@registered("stack_service")
class StackService:
    """The desired state of one service of a stack: ``replicas`` tasks, one on each node (global), or end well (once).

    ``definition`` is a digest of its entry in the stack file; ``env_files`` are read by the deployment, on the manager.
    """

    name: str
    definition: str
    replicas: int = 1
    mode: str = "replicated"
    env_files: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_object_name("service", self.name)
        check_paths(self.env_files, "an env file of %s," % self.name)
        if self.mode not in MODES:
            raise ValueError("the mode of a stack's service is one of %s, not %r" % (", ".join(MODES), self.mode))


@record
@registered("stack")
class Stack(Resource):
    """A stack on the swarm that the host manages: every service as its file says, all its tasks running.

    ``document`` is the whole stack file as JSON. ``wait_s`` is how long it may be without progress.
    Observes: services and tasks over the engine's socket, the last deployment's stamp. Changes: deploys services that
    differ, images never looked up in a registry; waits; removes services that are no more. An update that swarm pauses
    or rolls back fails, with the tasks' own errors. Never touches: volumes, networks, other stacks, images.
    """

    name: str
    services: Tuple[StackService, ...] = ()
    document: str = ""
    prune: bool = True
    wait_s: float = 180.0
    settle_s: float = 2.0
    present: bool = True

    longest_s: ClassVar[float] = LONGEST_S  # an update goes on while old tasks drain
    touches: ClassVar[Tuple[str, ...]] = ("stack", "swarm", "containers", "networks")

    def __post_init__(self) -> None:
        check_project_name(self.name)
        if self.present and not self.services:
            raise ValueError("a stack is told its services: any other service of it would be an orphan")

    @property
    def label(self) -> str:
        return self.name

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return {("stack", self.name): (self.document, self.present, self.services)}

    def desired(self) -> Optional[State]:
        if not self.present:
            return None
        state = {service.name: stack_view.wanted(service) for service in self.services}
        return dict(state, **({ORPHANS: "none"} if self.prune else {}))

    def observe(self, reader: Reader) -> Optional[State]:
        services = stack_state.services(reader, self.name)
        if not self.present and not services:
            return None
        state = {view.service.name: view.text for view in stack_view.views(reader, self)}
        return dict(state, **{ORPHANS: ", ".join(self.orphans(reader)) or "none"})

    def orphans(self, reader: Reader) -> List[str]:
        """Return services of the stack that are not in its file."""
        names = {service.name for service in self.services}
        return sorted(name for name in stack_state.services(reader, self.name) if name not in names)

    def apply(self, system: System, change: Change) -> None:
        # Not needed, nor compiled, when nothing differs.
        from orchestr.resources.swarm import stack_apply

        if not self.present:
            stack_apply.remove(system, self)
            return
        stack_apply.bring_about(system, self)
        if self.prune:
            stack_apply.remove_services(system, self, self.orphans(system))

    def inputs_text(self, reader: Reader, service: StackService) -> str:
        """Return the inputs with which a service would be deployed now, in the form of its label."""
        inputs = {"definition": service.definition[: compose_inputs.DIGEST_LENGTH]}
        for path in service.env_files:
            inputs[path] = compose_inputs.combined_digest(reader, [path])
        return compose_inputs.label_text(inputs)
