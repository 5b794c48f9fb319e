"""Applying a stack: deploy services that differ, follow them, record them, remove services no longer listed."""

from __future__ import annotations

from orchestr.agent.light_json import dumps, loads
from orchestr.agent.resource import ResourceError
from orchestr.agent.system import CommandFailed, System
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.swarm import stack_state, stack_view, stack_wait
from orchestr.resources.swarm.stack_view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Sequence

    from orchestr.resources.swarm.stack import Stack

DEPLOY_S, REMOVE_S = 120.0, 180.0
JOBS_SINCE = (23,)  # older clients read no job out of a stack file
NO_SUCH_FLAG = "unknown flag: --detach"


def bring_about(system: System, stack: "Stack") -> None:
    """Deploy the stale services, then follow all until they are as wanted. Raises ResourceError."""
    stale = [view for view in stack_view.views(system, stack) if view.is_stale]
    began = stack_wait.seen_failures(system, stack)
    if stale:
        _require(system, stack, stale)
        _replace_modes(system, stack, stale)
        _deploy(system, stack, [view.service.name for view in stale])
    stack_wait.until_steady(system, stack, began)
    _stamp(system, stack)


def _require(system: System, stack: "Stack", stale: Sequence[View]) -> None:
    paths = [path for view in stale for path in view.service.env_files]
    absent = compose_inputs.missing(system, paths)
    if absent is not None:
        raise ResourceError("%s, which the stack %s reads, is not there" % (absent, stack.name), "write it before")
    once = [view.service.name for view in stale if view.service.mode == "once"]
    version = docker.engine_version(system)
    if once and docker.version_numbers(version) < JOBS_SINCE:
        raise ResourceError(
            "%s runs once, which stacks can do from Docker 23 on; here is %s" % (once[0], version),
            "install a newer Docker on the managers",
        )


def _replace_modes(system: System, stack: "Stack", stale: Sequence[View]) -> None:
    """Remove services that change between replicated, global and once: swarm cannot change that in place."""
    modes = {"replicated": "Replicated", "global": "Global", "once": "ReplicatedJob"}
    others = [v.service.name for v in stale if v.found is not None and v.found.mode != modes[v.service.mode]]
    remove_services(system, stack, others)


def _deploy(system: System, stack: "Stack", names: Sequence[str]) -> None:
    words = ["docker", "stack", "deploy", "--resolve-image", "never", "--compose-file", "-"]
    text = document_text(system, stack, names).encode("utf-8")
    done = system.run([*words, "--detach=true", stack.name], input=text, check=False, timeout_s=DEPLOY_S)
    if not done.ok and NO_SUCH_FLAG in done.stderr:
        done = system.run([*words, stack.name], input=text, check=False, timeout_s=DEPLOY_S)
    system.forget(("stack",))
    if not done.ok:
        message = done.stderr.strip()
        raise ResourceError(
            "docker stack deploy refused %s: %s" % (stack.name, message.rpartition("\n")[2] or "exit %d" % done.exit),
            "docker stack config, where the client has it, shows the mistake in the stack file",
            message,
        )


def document_text(system: System, stack: "Stack", names: Sequence[str]) -> str:
    """Return the stack file (JSON, which is YAML) of these services alone, with the label that says their inputs."""
    document = loads(stack.document)
    document["services"] = {name: document["services"][name] for name in names}
    for service in stack.services:
        if service.name in document["services"]:
            labels = document["services"][service.name].setdefault("deploy", {}).setdefault("labels", {})
            labels[stack_state.DIGEST] = stack.inputs_text(system, service).replace("$", "$$")
    return dumps(document)


def _stamp(system: System, stack: "Stack") -> None:
    """Remember each service's whole definition, so that a change by hand is seen."""
    import base64

    system.forget(("stack",))
    names = [service.name for service in stack.services]
    services = stack_state.services(system, stack.name)
    labels: Dict[str, str] = {"orchestr.stack": stack.name}
    labels.update({"spec.%s" % name: services[name].fingerprint for name in names if name in services})
    known = stack_state.read_stamp(system, stack.name)
    if known is None:
        data = base64.b64encode(b"what orchestr deployed last is in the labels\n").decode("ascii")
        body = {"Name": stack_state.stamp_name(stack.name), "Labels": labels, "Data": data}
        docker_api.call(system, "POST", "/configs/create", body=body)
    elif known["Spec"]["Labels"] != labels:
        docker_api.update(system, "/configs/%s" % known["ID"], lambda config: dict(config["Spec"], Labels=labels))


# -- removing --------------------------------------------------------------------------------------------------------
def remove_services(system: System, stack: "Stack", names: Sequence[str]) -> None:
    """Remove services and wait until their tasks are gone."""
    services = stack_state.services(system, stack.name)
    ids = [services[name].id for name in names if name in services]
    for service_id in ids:
        docker_api.call(system, "DELETE", "/services/%s" % service_id)
    if ids:
        system.forget(("stack",))
        stack_wait.until_gone(system, ids)


def remove(system: System, stack: "Stack") -> None:
    """Remove the stack: services, then networks, and the record of its deployment. Volumes stay."""
    ids = [service.id for service in stack_state.services(system, stack.name).values()]
    try:
        system.run(["docker", "stack", "rm", stack.name], timeout_s=REMOVE_S)
    except CommandFailed as failed:
        raise ResourceError(
            "the stack %s could not be removed" % stack.name, "docker stack ps %s" % stack.name, failed.completed.stderr
        ) from failed
    system.forget(("stack",))
    stack_wait.until_gone(system, ids)
    known = stack_state.read_stamp(system, stack.name)
    if known is not None:
        docker_api.call(system, "DELETE", "/configs/%s" % known["ID"])
