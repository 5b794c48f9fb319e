"""Services on a swarm: the same `ContainerService` as for compose, with its placement and its number of replicas.

    web = SwarmService(
        ContainerService("web", "shop/web:7", ports=("8080:80",)),
        Deploy(replicas=3, constraints=("node.role==worker",)),
        files=(MountedFile("/etc/web.conf", text), MountedFile("/run/secrets/key", secret)),
    )
    yield from stack("shop", [web])  # the stack file, its configs and secrets, the stack running, old contents gone

Settings that swarm ignores or refuses are refused here, before a host is contacted (`stack_checks`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestr.agent.resource import Resource
from orchestr.containers.compose import ContainerService, duration_text, network_entry, service_entry, volume_entry
from orchestr.containers.compose_yaml import compose_yaml, escape
from orchestr.containers.model import Network, Volume
from orchestr.containers.stack_model import Change, Deploy, MountedFile, Restart, SwarmService
from orchestr.resources.compose import inputs as compose_inputs
from orchestr.resources.files import Directory, File
from orchestr.resources.swarm import stack_state
from orchestr.resources.swarm.objects import SwarmConfig, SwarmLeftovers, SwarmSecret
from orchestr.resources.swarm.stack import Stack, StackService
from orchestr.secret import Secret

__all__ = ["Change", "Deploy", "MountedFile", "Restart", "SwarmService", "stack", "stack_document"]

#: The newest format that Docker 20.10 reads; newer ones read it as well.
VERSION = "3.9"
_MEANINGLESS = ("restart", "network_mode", "depends_on", "deploy", "ports", "volumes", "logging")


def stack(
    name: str,
    services: Sequence[SwarmService | ContainerService],
    *,
    networks: Sequence[Network] = (),
    volumes: Sequence[Volume] = (),
    image_ids: Mapping[str, str] | None = None,
    directory: str = "",
    **options: Any,
) -> Iterator[Resource]:
    """Yield the resources of a stack, for a manager: stack file, configs and secrets, stack, removal of old contents.

    ``image_ids``: reference → id (``sha256:…``) of images that were pushed to the nodes; exactly those run, and no node
    asks a registry. Further options are Stack's (``wait_s``, ``settle_s``, ``prune``). Raises InputError for settings
    that swarm ignores, refuses or reads differently.
    """
    entries = [item if isinstance(item, SwarmService) else SwarmService(item) for item in services]
    document = stack_document(name, entries, networks, volumes, image_ids or {})
    contents = list(_contents(name, entries))
    directory = directory or f"/opt/{name}"
    yield Directory(directory, mode=0o750)
    yield File(f"{directory}/stack.yaml", content=compose_yaml(document), mode=0o644)
    yield from contents
    yield Stack(
        name,
        tuple(
            StackService(
                entry.name,
                definition=_digest(document, entry.name),
                replicas=entry.replicas,
                mode=entry.mode,
                env_files=entry.service.env_files,
            )
            for entry in entries
        ),
        document=json.dumps(escape(document), sort_keys=True),
        **options,
    )
    yield SwarmLeftovers(name, tuple(content.name for content in contents))


def stack_document(
    name: str,
    services: Sequence[SwarmService],
    networks: Iterable[Network] = (),
    volumes: Iterable[Volume] = (),
    image_ids: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the stack file of these services as plain values. Raises InputError as `stack` does."""
    from orchestr.containers.stack_checks import check_stack

    check_stack(name, services, networks)
    document: dict[str, Any] = {"version": VERSION}
    document["services"] = {service.name: _entry(name, service, image_ids or {}) for service in services}
    for service in services:  # a person may deploy the file by hand: it has the same label that a run would set
        entry = document["services"][service.name]
        labels = {stack_state.DIGEST: compose_inputs.label_text({"definition": _digest(document, service.name)[:16]})}
        if not service.service.env_files:
            entry["deploy"]["labels"] = {**entry["deploy"].get("labels", {}), **labels}
    known_networks = {item.name: _network(item) for item in networks}
    known_volumes = {item.name: volume_entry(item) for item in volumes}
    names = [name for service in services for name in service.service.networks]
    used = {name: known_networks.get(name, {"driver": "overlay"}) for name in names}
    kept = {mount.source: known_volumes.get(mount.source, {}) for service in services for mount in _volumes_of(service)}
    parts = {"networks": used, "volumes": kept, **_top_level_contents(name, services)}
    document.update({key: value for key, value in parts.items() if value})
    return document


def _digest(document: Mapping[str, Any], service: str) -> str:
    """Return a digest of a service's entry without the label that holds it."""
    entry = json.loads(json.dumps(document["services"][service]))
    entry.get("deploy", {}).get("labels", {}).pop(stack_state.DIGEST, None)
    if not entry.get("deploy", {}).get("labels", True):
        del entry["deploy"]["labels"]
    entry.get("deploy", {}).pop("replicas", None)  # the number of replicas is compared separately
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


# -- one service, in the format of a stack file -----------------------------------------------------------------------
def _entry(stack_name: str, service: SwarmService, image_ids: Mapping[str, str]) -> dict[str, Any]:
    container = service.service
    common = service_entry(replace(container, replicas=1, depends_on=()))
    entry = {key: value for key, value in common.items() if key not in _MEANINGLESS}
    entry["image"] = image_ids.get(container.image, container.image)
    if "logging" in common:
        entry["logging"] = common["logging"]
    entry["volumes"] = [_mount(mount) for mount in container.mounts]
    entry["ports"] = [port for port in _ports(service)]
    entry["configs"] = [_render_mount(stack_name, file) for file in service.files if not file.is_secret]
    entry["secrets"] = [_render_mount(stack_name, file) for file in service.files if file.is_secret]
    entry["deploy"] = _deploy(service, common.get("deploy", {}).get("resources", {}), image_ids)
    return {key: value for key, value in entry.items() if value not in ("", [], {}, False)}


def _mount(mount: Any) -> dict[str, Any]:
    entry = {"type": mount.type, "source": mount.source, "target": mount.target, "read_only": mount.read_only}
    return {key: value for key, value in entry.items() if value}


def _ports(service: SwarmService) -> Iterator[dict[str, Any]]:
    """Yield compose's long form, one entry per port: the short form has no mode."""
    for port in service.service.published:
        for offset in range(port.count):
            yield {
                "target": port.target[0] + offset,
                "published": port.published[0] + offset,
                "protocol": port.protocol,
                "mode": service.deploy.publish,
            }


def _deploy(service: SwarmService, resources: Mapping[str, Any], image_ids: Mapping[str, str]) -> dict[str, Any]:
    deploy, is_job = service.deploy, service.service.runs_once
    placement = {
        "constraints": list(deploy.constraints),
        "preferences": [{"spread": label} for label in deploy.spread_over],
        "max_replicas_per_node": deploy.max_per_node,
    }
    labels = dict(deploy.labels)
    if service.service.image in image_ids:
        labels["orchestr.image"] = service.service.image
    entry: dict[str, Any] = {
        "mode": "replicated-job" if is_job else deploy.mode,
        "replicas": service.replicas if deploy.mode == "replicated" else None,
        "endpoint_mode": deploy.endpoint_mode if deploy.endpoint_mode != "vip" else None,
        "placement": {key: value for key, value in placement.items() if value},
        "update_config": {} if is_job else _change(deploy.update),
        "rollback_config": {} if is_job else _change(deploy.rollback, is_rollback=True),
        "restart_policy": _restart(service),
        "resources": dict(resources),
        "labels": labels,
    }
    return {key: value for key, value in entry.items() if value not in (None, {})}


def _change(change: Change, is_rollback: bool = False) -> dict[str, Any]:
    entry = {
        "parallelism": change.parallelism,
        "delay": duration_text(change.delay_s),
        "failure_action": change.on_failure,
        "monitor": duration_text(change.monitor_s),
        "max_failure_ratio": change.max_failure_ratio,
        "order": change.order,
    }
    if is_rollback and change.on_failure == "rollback":
        entry["failure_action"] = "pause"  # swarm does not roll back a rollback
    return entry


def _restart(service: SwarmService) -> dict[str, Any]:
    """Return the restart policy; compose's `restart` wins where it differs from the default."""
    policy, word = service.deploy.restart, service.service.restart
    if service.service.runs_once:
        policy = replace(policy, condition="on-failure", max_attempts=policy.max_attempts or 3)
    elif word == "no" or word.startswith("on-failure"):
        most = int(word.partition(":")[2] or 0)
        policy = replace(policy, condition="none" if word == "no" else "on-failure", max_attempts=most)
    entry: dict[str, Any] = {"condition": policy.condition, "delay": duration_text(policy.delay_s)}
    if policy.max_attempts:
        entry["max_attempts"] = policy.max_attempts
    if policy.window_s:
        entry["window"] = duration_text(policy.window_s)
    return entry


# -- networks, configs and secrets ------------------------------------------------------------------------------------
def _network(network: Network) -> dict[str, Any]:
    entry = network_entry(network)
    return entry if network.external else {"driver": "overlay", **entry}


def _volumes_of(service: SwarmService) -> list[Any]:
    return [mount for mount in service.service.mounts if mount.type == "volume"]


def _contents(name: str, services: Sequence[SwarmService]) -> Iterator[SwarmConfig | SwarmSecret]:
    """Yield each content once, however many services use it."""
    seen: set[str] = set()
    for file in (file for service in services for file in service.files):
        object_name = file.object_name(name)
        if object_name in seen:
            continue
        seen.add(object_name)
        if isinstance(file.content, Secret):
            yield SwarmSecret(object_name, file.content, name)
        else:
            yield SwarmConfig(object_name, file.content, name)


def _render_mount(stack_name: str, file: MountedFile) -> dict[str, Any]:
    name = file.object_name(stack_name)
    return {"source": name, "target": file.target, "uid": str(file.uid), "gid": str(file.gid), "mode": file.mode}


def _top_level_contents(name: str, services: Sequence[SwarmService]) -> dict[str, Any]:
    files = [(file.is_secret, file.object_name(name)) for service in services for file in service.files]
    contents: dict[str, Any] = {}
    for key, is_secret in (("configs", False), ("secrets", True)):
        names = [file for secret, file in files if secret == is_secret]
        contents[key] = {file: {"name": file, "external": True} for file in dict.fromkeys(names)}
    return contents
