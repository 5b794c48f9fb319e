"""A stack's services as found beside what they should be: one line of text each, compared and shown."""

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
    found, stamp = stack_state.services(reader, stack.name), stack_state.stamp(reader, stack.name)
    return [_view(reader, stack, service, found.get(service.name), stamp) for service in stack.services]


def _view(
    reader: Reader, stack: "Stack", service: "StackService", found: Optional[Found], stamp: Dict[str, str]
) -> View:
    if found is None:
        return View(service, None, ABSENT, True)
    text = progress(service, found)
    why = why_stale(stack.inputs_text(reader, service), service, found, stamp)
    return View(service, found, "%s, %s" % (text, why) if why else text, bool(why))


def why_stale(inputs: str, service: "StackService", found: Found, stamp: Dict[str, str]) -> str:
    """Return why a service is not the one that would be deployed now; empty when it is."""
    if not found.digest:
        return "not deployed by orchestr"
    if found.digest != inputs:
        changed = compose_inputs.changed_inputs(found.digest, inputs)
        return "deployed with other configuration (%s)" % ", ".join(changed)
    if found.mode == "Replicated" and service.mode == "replicated" and found.replicas != service.replicas:
        return "scaled to %d by hand" % found.replicas
    if stamp.get(service.name) != found.fingerprint:
        return "changed by hand, or its deployment was cut off"
    return "its last update was given up" if found.update in ("paused", "rollback_paused") else ""


def progress(service: "StackService", found: Found) -> str:
    """Return how far a service is, in the words of ``wanted`` when it is there."""
    if service.mode == "once":
        done = len(found.completed)
        return COMPLETED if done >= max(1, found.replicas) else _unfinished(found)
    goal = found.wanted_tasks if service.mode == "global" else service.replicas
    running = len(found.running)
    if running != goal or found.leftover or found.update in stack_state.UNDER_WAY:
        return "%d of %d running%s" % (running, goal, _waiting(found))
    return wanted(service)


def _unfinished(found: Found) -> str:
    states = sorted({task.state for task in found.tasks if task.is_current})
    return "not completed (%s)" % (", ".join(states) or "not started")


def _waiting(found: Found) -> str:
    """Return what the service is waiting for, where that can be told."""
    if found.update in stack_state.UNDER_WAY:
        return ", updating" if found.update == "updating" else ", rolling back"
    states = sorted({t.state for t in found.tasks if t.is_current and t.wanted == "running" and t.state != "running"})
    return " (%s)" % ", ".join(states) if states else ""
