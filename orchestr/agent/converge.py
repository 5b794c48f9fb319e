"""Bring one task about: observe, diff, (check mode stops here), apply, observe again."""

from __future__ import annotations

from orchestr.agent.resource import Action, Change, NotObservable, Resource, ResourceError, Task, differing
from orchestr.agent.secret import cut_tail
from orchestr.agent.system import CommandFailed, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

OK, CHANGED, FAILED, SKIPPED, UNKNOWN = "ok", "changed", "failed", "skipped", "unknown"
STDERR_LIMIT = 64 * 1024  # characters kept of a failed command's output until its secrets are redacted


class Unconverged(ResourceError):
    """After applying, something still differs."""


def converge(task: Task, system: System, check: bool, has_pending: bool) -> Dict[str, Any]:
    """Return the result of one task: ``verdict``, and where there is one ``diff``, ``error``, ``outcome``; ``begun``
    if it failed after it had begun to change the host.

    ``has_pending`` says that (in check mode) an earlier task of this host would change something, so that a thing that
    cannot be observed now may well be observable then: the verdict is ``unknown``, not ``failed``.
    """
    system.has_begun = False
    system.deadline = None if task.timeout_s is None else system.monotonic() + task.timeout_s
    attempts = 1 if check else 1 + max(0, task.retries)
    applied = ""
    for attempt in range(1, attempts + 1):
        try:
            result = _once(task, system, check)
            # A later attempt may find the work of an earlier one done: it was this task that changed it.
            if applied and result["verdict"] == OK:
                result = dict(result, verdict=CHANGED, diff=applied)
            return result
        except _AfterApply as wrapped:
            applied = applied or wrapped.diff
            error = wrapped.cause
        except NotObservable as missing:
            if check and has_pending:
                return {"verdict": UNKNOWN, "reason": str(missing)}
            error = missing
        except (Exception, SystemExit) as other:
            if check and has_pending:
                return {"verdict": UNKNOWN, "reason": str(other)}
            error = other
        if attempt < attempts:
            system.forget(("*",))
            if not _pause(system, task.delay_s):
                break
    failed = {"verdict": FAILED, "diff": applied, "error": describe(error)}
    return dict(failed, begun=True) if system.has_begun else failed


def _pause(system: System, delay_s: float) -> bool:
    """Wait before the next attempt; return False when the task's time is over then."""
    if system.deadline is not None and system.monotonic() + delay_s >= system.deadline:
        return False
    system.sleep(delay_s)
    return True


class _AfterApply(Exception):
    def __init__(self, cause: BaseException, diff: str) -> None:
        self.cause = cause
        self.diff = diff


def _once(task: Task, system: System, check: bool) -> Dict[str, Any]:
    resource = task.resource
    if resource.is_gate:
        return _gate(resource, system, check)
    change = _difference(resource, system)
    if change is None:
        return _with_outcome(resource, system, {"verdict": OK})
    resource.require(system, change)
    diff = resource.diff(system, change)
    if check:
        resource.predict(system, change)
        return {"verdict": CHANGED, "diff": diff}
    try:
        system.has_begun = True
        try:
            resource.apply(system, change)
        finally:
            system.forget(resource.touches)
        _assure(resource, system)
        if task.until is not None:
            _gate(task.until, system, check)
    except (Exception, SystemExit) as error:
        raise _AfterApply(error, diff) from error
    return _with_outcome(resource, system, {"verdict": CHANGED, "diff": diff})


def _difference(resource: Resource, system: System) -> Optional[Change]:
    before, after = resource.observe(system), resource.desired()
    for state in (before, after):
        if not (state is None or hasattr(state, "keys")):
            text = "the state of a resource is a dict, not %r" % (state,)
            raise ResourceError(text, "fix the class %s" % type(resource).__name__)
    names = differing(before, after)
    return Change(before, after, names) if names else None


def _assure(resource: Resource, system: System) -> None:
    if isinstance(resource, Action):
        return
    left = _difference(resource, system)
    if left is not None:
        raise Unconverged(
            "%s %s still differs after applying: %s" % (resource.kind, resource.label, ", ".join(left.differing)),
            stderr=resource.diff(system, left),
        )


def _gate(resource: Resource, system: System, check: bool) -> Dict[str, Any]:
    """A gate's apply waits and raises when its time is over; in check mode nothing waits."""
    change = _difference(resource, system)
    if change is None:
        return _with_outcome(resource, system, {"verdict": OK})
    if check:
        return {"verdict": SKIPPED, "reason": "checked after the changes, not in a plan"}
    resource.apply(system, change)
    system.forget(("*",))
    return _with_outcome(resource, system, {"verdict": OK})


def _with_outcome(resource: Resource, system: System, result: Dict[str, Any]) -> Dict[str, Any]:
    outcome = resource.outcome(system)
    return dict(result, outcome=dict(outcome)) if outcome else result


def describe(error: BaseException) -> Dict[str, str]:
    """Return ``message``, ``stderr`` (its tail) and ``next_step`` of an exception, for a person to read."""
    if isinstance(error, CommandFailed):
        output = error.completed.stderr.strip() or error.completed.stdout.strip()
        return {"message": str(error), "stderr": cut_tail(output, STDERR_LIMIT), "next_step": ""}
    if isinstance(error, ResourceError):
        return {"message": str(error), "stderr": cut_tail(error.stderr, STDERR_LIMIT), "next_step": error.next_step}
    if isinstance(error, OSError):
        step = "free some space on that disk and run again" if error.errno == 28 else getattr(error, "next_step", "")
        return {"message": str(error), "stderr": "", "next_step": step}
    import traceback

    trace = traceback.format_exception(type(error), error, error.__traceback__)
    return dict(
        _place_in_role(error),
        message="%s: %s" % (type(error).__name__, error),
        stderr=cut_tail("".join(trace), STDERR_LIMIT),
        next_step="this is a fault in orchestr itself; please report it with these lines",
    )


def _place_in_role(error: BaseException) -> Dict[str, str]:
    """Return ``module`` and ``line`` of the innermost call in a role's code; the controller knows the file."""
    location: Dict[str, str] = {}
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.startswith("orchestr_roles."):
            location = {"module": name, "line": str(trace.tb_lineno)}
        trace = trace.tb_next
    return location
