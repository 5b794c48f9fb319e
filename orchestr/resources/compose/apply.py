"""Applying a compose project: start, recreate, reload, stop and remove only the services that differ."""

from __future__ import annotations

import json
import re

from orchestr.agent.resource import ResourceError
from orchestr.agent.system import CommandFailed, Reader, System
from orchestr.resources.compose import containers as compose_containers
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.compose import wait as compose_wait
from orchestr.resources.compose.containers import Container
from orchestr.resources.compose.view import View, start_entry
from orchestr.resources.docker import engine as docker
from orchestr.resources.exposed import require_roots_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Sequence

    from orchestr.resources.compose.project import ComposeProject, ComposeService

OVERRIDE_HEADER = "# Written by orchestr, which replaces it; put your own settings into another file.\n"
ORPHAN_STOP_S = 86400.0  # the engine ends each at its own grace period, which may be hours
HALF_MADE = re.compile("[0-9a-f]{12}_")
UP_S, PULL_S = 300.0, 3600.0  # time for compose itself, beside waiting for containers to stop


def bring_about(system: System, project: "ComposeProject", views: Sequence[View]) -> None:
    """Make these services run with the current inputs, by a reload where that suffices. Raises ResourceError."""
    loaded = {view.service.name: _reload_digest(system, project, view.service) for view in views}
    starting = [view for view in views if not view.needs_reload]
    if starting:
        _start(system, project, starting)
    for view in views:
        if view.needs_reload:
            _reload(system, project, view)
    _stamp(system, project, loaded)


def stop(system: System, project: "ComposeProject") -> None:
    """Stop every container, each within its own grace period."""
    _compose(system, project, ["stop"], _stop_s(project.all_services), with_files=False)
    compose_wait.until_at_rest(system, project.project)


def remove(system: System, project: "ComposeProject") -> None:
    """Stop and remove containers, networks (not volumes) and orchestr's stamp."""
    words = ["down", "--remove-orphans"]
    _compose(system, project, words, UP_S + _stop_s(project.all_services), with_files=False)
    for path in (project.path(project.override), compose_inputs.stamp_path(project.project)):
        if system.stat(path) is not None:
            system.remove(path)


def remove_containers(system: System, containers: Sequence[Container]) -> None:
    """Stop and remove these containers."""
    if containers:
        names = [item.name for item in containers]
        system.run(["docker", "stop", *names], stream=True, timeout_s=ORPHAN_STOP_S)
        system.run(["docker", "rm", *names])


# -- starting ---------------------------------------------------------------------------------------------------------
def _start(system: System, project: "ComposeProject", views: Sequence[View]) -> None:
    services = [view.service for view in views]
    _require_inputs(system, project, services)
    _write_override(system, project)
    _lint(system, project)
    for view in views:
        _remove_half_made(system, view)
        _wake(system, view)
    names = [service.name for service in services]
    budget_s = UP_S + project.wait_s + _stop_s(services) + (0 if project.pull == "never" else PULL_S)
    try:
        _compose(system, project, ["up", "--detach", "--no-deps", *names], budget_s)
    except CommandFailed as failed:
        raise _up_failed(system, project, services, failed) from failed
    compose_wait.until_steady(system, project.project, services, project.wait_s, project.settle_s)


def _require_inputs(system: System, project: "ComposeProject", services: "Sequence[ComposeService]") -> None:
    """Docker would make a directory where a mounted file is missing; the compose file must be there anyway.

    Who writes one that compose reads for itself decides on what the engine, which is root, does.
    """
    names = [*project.files, *project.env_files, *project.config]
    names += [name for service in services for name in (*service.env_files, *service.config, *service.reload_files)]
    absent = compose_inputs.missing(system, [project.path(name) for name in names])
    if absent is not None:
        raise ResourceError(
            "%s, which the project %s reads, is not there" % (absent, project.project), "write it in a task before"
        )
    own = [*project.files, project.override, *(project.env_files or (".env",))]
    require_roots_files(system, [project.path(name) for name in own], "docker compose")


def override_text(reader: Reader, project: "ComposeProject") -> str:
    """Return the compose file that adds our label to every service; compose reads it after the others."""
    lines = [OVERRIDE_HEADER + "services:"]
    for service in project.all_services:
        text = project.inputs_text(reader, service).replace("$", "$$")
        lines += ["  %s:" % json.dumps(service.name), "    labels:"]
        lines.append("      %s: %s" % (compose_containers.DIGEST_LABEL, json.dumps(text)))
        if project.pull != "missing":
            lines.append("    pull_policy: %s" % project.pull)
    return "\n".join(lines) + "\n"


def _write_override(system: System, project: "ComposeProject") -> None:
    path, text = project.path(project.override), override_text(system, project)
    text_before = system.read_text(path)
    if text_before is not None and not text_before.startswith(OVERRIDE_HEADER):
        raise ResourceError(
            "%s is not one that orchestr wrote" % path,
            "rename it and name it in `files`, after compose.yaml; that name is needed for what orchestr adds",
        )
    if text_before != text:
        system.write_bytes(path, text.encode("utf-8"), mode=0o644)


def _lint(system: System, project: "ComposeProject") -> None:
    try:
        _compose(system, project, ["config", "--quiet"], 60.0)
    except CommandFailed as failed:
        raise ResourceError(
            "the compose files of %s are not valid" % project.project,
            "docker compose --project-directory %s config shows where" % project.directory,
            failed.completed.stderr,
        ) from failed


def _remove_half_made(system: System, view: View) -> None:
    """Remove the leftovers of an interrupted recreation: a container not yet started, under its predecessor's id.

    Compose, which makes ``<id>_project-service-1`` first and renames it last, then stumbles over that name itself.
    """
    for container in view.containers:
        if container.condition == "created" and HALF_MADE.match(container.name):
            system.run(["docker", "rm", "--force", container.name])


def _wake(system: System, view: View) -> None:
    """Repair beyond ``compose up``: unpause, and restart containers that are unhealthy or may have read other files."""
    for container in view.containers:
        if container.condition == compose_containers.PAUSED:
            system.run(["docker", "unpause", container.name])
        is_unhealthy = container.condition == compose_containers.UNHEALTHY and not view.is_stale
        if is_unhealthy or container in view.misread:
            system.run(["docker", "restart", container.name], timeout_s=120.0 + view.service.stop_grace_s)


def _up_failed(
    system: System, project: "ComposeProject", services: "Sequence[ComposeService]", failed: CommandFailed
) -> ResourceError:
    """Return compose's last word, with the log of the container that made it fail where there is one."""
    system.forget(("containers",))
    message = failed.completed.stderr.strip()
    names = {service.name for service in services if not service.runs_once}
    containers = compose_containers.project_containers(system, project.project)
    fine = (compose_containers.RUNNING, "created")
    broken = [item for item in containers if item.service in names and item.condition not in fine]
    logs = ["%s (%s):\n%s" % (c.name, c.condition, docker.log_tail(system, c.id)) for c in broken]
    return ResourceError(
        "docker compose could not start %s: %s" % (project.project, message.rpartition("\n")[2] or failed),
        "docker compose --project-directory %s ps --all" % project.directory,
        "\n".join([message, *logs]),
    )


# -- reloading --------------------------------------------------------------------------------------------------------
def _reload_digest(reader: Reader, project: "ComposeProject", service: "ComposeService") -> str:
    return compose_inputs.combined_digest(reader, [project.path(name) for name in service.reload_files])


def _reload(system: System, project: "ComposeProject", view: View) -> None:
    for container in view.containers:
        done = system.run(["docker", "exec", container.name, *view.service.reload_command], check=False)
        if not done.ok:
            raise ResourceError(
                "%s did not accept its new configuration (exit status %d); the old one keeps serving"
                % (view.service.name, done.exit),
                "correct it and run again: " + ", ".join(map(project.path, view.service.reload_files)),
                done.stderr.strip() or done.stdout.strip(),
            )


def _stamp(system: System, project: "ComposeProject", loaded: Mapping[str, str]) -> None:
    """Write the stamp: how the services just deployed were started, and the files each container has loaded."""
    system.forget(("containers",))
    old = compose_inputs.read_stamp(system, project.project)
    new: Dict[str, Mapping[str, str]] = {}
    for item in compose_containers.project_containers(system, project.project):
        if item.service in loaded:
            new[item.service] = start_entry(item)
            started = compose_containers.started_at(system, item.id)
            new[item.id] = {"started": started, "loaded": loaded[item.service]}
        else:
            new.update({key: old[key] for key in (item.service, item.id) if key in old})
    compose_inputs.write_stamp(system, project.project, new)


# -- compose itself ---------------------------------------------------------------------------------------------------
def _compose(
    system: System, project: "ComposeProject", words: Sequence[str], timeout_s: float, with_files: bool = True
) -> None:
    argv: List[str] = ["docker", "compose", "--ansi", "never", "--project-name", project.project]
    if with_files:
        argv += ["--project-directory", project.directory]
        argv += [word for name in (*project.files, project.override) for word in ("--file", project.path(name))]
        argv += [word for name in project.env_files for word in ("--env-file", project.path(name))]
    system.run([*argv, *words], timeout_s=timeout_s, stream=words[0] != "config")


def _stop_s(services: "Sequence[ComposeService]") -> float:
    return 60.0 + sum(service.stop_grace_s for service in services)
