"""A stack's services as observed beside the desired ones: one line of text each, compared and shown."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.system import Reader
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.swarm import stack_state
from orchestr.resources.swarm.stack_state import Found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional

    from orchestr.resources.swarm.stack import Stack, StackService

COMPLETED, EVERYWHERE, ABSENT = "completed", "running on every node", "absent"


@record
class View:
    """One service. ``text`` is its state; a stale one is to be deployed, another one only to be waited for."""

    service: "StackService"
    found: Optional[Found]
    text: str
    is_stale: bool


def wanted(service: "StackService") -> str:
    """Return the text of a service that is as it should be."""
    if service.mode == "once":
        return COMPLETED
    return EVERYWHERE if service.mode == "global" else "%d running" % service.replicas


def views(reader: Reader, stack: "Stack") -> List[View]:
    """Return every service of the stack as found."""
    services, stamp = stack_state.services(reader, stack.name), stack_state.stamp(reader, stack.name)
    return [_view(reader, stack, service, services.get(service.name), stamp) for service in stack.services]


def _view(
    reader: Reader, stack: "Stack", service: "StackService", current: Optional[Found], stamp: Dict[str, str]
) -> View:
    if current is None:
        return View(service, None, ABSENT, True)
    text = progress(service, current)
    why = why_stale(stack.inputs_text(reader, service), service, current, stamp)
    return View(service, current, "%s, %s" % (text, why) if why else text, bool(why))


def why_stale(inputs: str, service: "StackService", current: Found, stamp: Dict[str, str]) -> str:
    """Return why a service is not the one that would be deployed now; empty when it is."""
    if not current.digest:
        return "not deployed by orchestr"
    if current.digest != inputs:
        changed = compose_inputs.changed_inputs(current.digest, inputs)
        return "deployed with other configuration (%s)" % ", ".join(changed)
    if current.mode == "Replicated" and service.mode == "replicated" and current.replicas != service.replicas:
        return "scaled to %d by hand" % current.replicas
    if stamp.get(service.name) != current.fingerprint:
        return "changed by hand, or its deployment was cut off"
    return "its last update was given up" if current.update in ("paused", "rollback_paused") else ""


def progress(service: "StackService", current: Found) -> str:
    """Return how far a service is, in the words of ``wanted`` when it is there."""
    if service.mode == "once":
        done = len(current.completed)
        return COMPLETED if done >= max(1, current.replicas) else _unfinished(current)
    goal = current.wanted_tasks if service.mode == "global" else service.replicas
    running = len(current.running)
    if running != goal or current.leftover or current.update in stack_state.UNDER_WAY:
        return "%d of %d running%s" % (running, goal, _waiting(current))
    return wanted(service)


def _unfinished(current: Found) -> str:
    states = sorted({task.state for task in current.tasks if task.is_current})
    return "not completed (%s)" % (", ".join(states) or "not started")


def _waiting(current: Found) -> str:
    """Return the reason why the service is not ready yet, "" if it is unknown."""
    if current.update in stack_state.UNDER_WAY:
        return ", updating" if current.update == "updating" else ", rolling back"
    states = sorted({t.state for t in current.tasks if t.is_current and t.wanted == "running" and t.state != "running"})
    return " (%s)" % ", ".join(states) if states else ""
