"""Services in containers, modelled once: `ContainerService`, checked, and rendered as a compose file.

    services = [ContainerService("caddy", "caddy:2.6.2", network_mode="host", volumes=("/opt/caddy/etc:/etc/caddy:ro",),
                                 reload=Reload(("/opt/caddy/etc/Caddyfile",), ("caddy", "reload", …)))]
    yield from compose_project("/opt/caddy", services)     # the compose file, then the project running

A file that is mounted alone goes stale in the container when it is replaced, since the mount holds the old file. Files
to be *reloaded* must be mounted by their directory. A stack file (swarm) is a second renderer of the same services.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestr.containers.checked import Checked
from orchestr.containers.compose_checks import check_services
from orchestr.containers.compose_yaml import compose_yaml
from orchestr.containers.model import HealthCheck, Limits, Logging, Mount, Network, Port, Reload, Volume
from orchestr.resources.compose.project import ComposeProject, ComposeService
from orchestr.resources.files import File

__all__ = [
    "ContainerService",
    "HealthCheck",
    "Limits",
    "Logging",
    "Mount",
    "Network",
    "Port",
    "Reload",
    "Volume",
    "compose_project",
    "compose_text",
    "definition_digest",
]


@dataclass(frozen=True)
class ContainerService(Checked):
    """One service: an image and how it runs.

    ``ports`` and ``volumes`` take compose's short forms as text. ``environment`` is for public values; secrets go into
    ``env_files`` or mounted files. ``config`` names host files whose change needs a restart, ``reload`` files that the
    running service can read again. ``depends_on`` names services, or pairs (name, ``service_healthy`` …).
    ``runs_once``: the service does one job and ends.
    """

    name: str
    image: str
    command: str | tuple[str, ...] = ()
    entrypoint: str | tuple[str, ...] = ()
    environment: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    env_files: tuple[str, ...] = ()
    volumes: tuple[str | Mount, ...] = ()
    ports: tuple[str | Port, ...] = ()
    network_mode: str = ""
    networks: tuple[str, ...] = ()
    user: str = ""
    healthcheck: HealthCheck | None = None
    restart: str = "unless-stopped"
    stop_grace_period_s: float = 10.0
    stop_signal: str = ""
    init: bool = False
    logging: Logging | None = field(default_factory=Logging)
    limits: Limits | None = None
    depends_on: tuple[str | tuple[str, str], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, int | tuple[int, int]] = field(default_factory=dict)
    sysctls: Mapping[str, str | int] = field(default_factory=dict)
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    hostname: str = ""
    working_dir: str = ""
    read_only: bool = False
    replicas: int = 1
    runs_once: bool = False
    config: tuple[str, ...] = ()
    reload: Reload | None = None

    @property
    def mounts(self) -> tuple[Mount, ...]:
        return tuple(Mount.parse(item) if isinstance(item, str) else item for item in self.volumes)

    @property
    def published(self) -> tuple[Port, ...]:
        return tuple(Port.parse(item) if isinstance(item, str) else item for item in self.ports)

    @property
    def dependencies(self) -> tuple[tuple[str, str], ...]:
        """(service, condition) of each service that must be up before this one starts."""
        return tuple((item, "service_started") if isinstance(item, str) else item for item in self.depends_on)


def compose_text(
    project: str,
    services: Sequence[ContainerService],
    networks: Iterable[Network] = (),
    volumes: Iterable[Volume] = (),
) -> str:
    """Return the compose file of a project. Raises InputError for settings that do not work or would show a secret."""
    check_services(project, services)
    document: dict[str, Any] = {"name": project}
    document["services"] = {service.name: service_entry(service) for service in services}
    known_networks = {item.name: network_entry(item) for item in networks}
    known_volumes = {item.name: volume_entry(item) for item in volumes}
    used_networks = {name: known_networks.get(name, {}) for service in services for name in service.networks}
    used_volumes = {name: known_volumes.get(name, {}) for service in services for name in _volume_names(service)}
    document.update({key: value for key, value in (("networks", used_networks), ("volumes", used_volumes)) if value})
    return compose_yaml(document)


def definition_digest(
    service: ContainerService, networks: Iterable[Network] = (), volumes: Iterable[Volume] = ()
) -> str:
    """Return a digest of all parts of the compose file that define a service's containers."""
    service = replace(service, replicas=1, depends_on=())  # number and order do not change a container
    used = [network_entry(item) for item in networks if item.name in service.networks]
    used += [volume_entry(item) for item in volumes if item.name in _volume_names(service)]
    text = json.dumps([service_entry(service), used], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def compose_project(
    directory: str,
    services: Sequence[ContainerService],
    *,
    project: str = "",
    networks: Sequence[Network] = (),
    volumes: Sequence[Volume] = (),
    image_ids: Mapping[str, str] | None = None,
    **options: Any,
) -> tuple[File, ComposeProject]:
    """Return the compose file and the running project as resources, in that order.

    ``image_ids``: reference → id (``sha256:…``) of the images pushed over SSH, which are never pulled. Further options
    are ComposeProject's own (``wait_s``, ``running``, …). Raises InputError as `compose_text` does.
    """
    ids = image_ids or {}
    name = project or directory.rstrip("/").rpartition("/")[2]
    text = compose_text(name, services, networks, volumes)
    if all(service.image in ids for service in services):
        options.setdefault("pull", "never")
    running = tuple(
        ComposeService(
            name=service.name,
            definition=definition_digest(service, networks, volumes),
            config=service.config,
            env_files=service.env_files,
            image=service.image,
            image_id=ids.get(service.image, ""),
            replicas=service.replicas,
            runs_once=service.runs_once,
            stop_grace_s=service.stop_grace_period_s,
            reload_files=service.reload.files if service.reload else (),
            reload_command=service.reload.command if service.reload else (),
        )
        for service in services
    )
    file = File(f"{directory.rstrip('/')}/compose.yaml", content=text, mode=0o644)
    return file, ComposeProject(directory, running, name=name, **options)


# -- one service, in the format of a compose file ---------------------------------------------------------------------
def service_entry(service: ContainerService) -> dict[str, Any]:
    """Return a service's entry without unset keys, in the usual order of compose files."""
    entry: dict[str, Any] = {
        "image": service.image,
        "entrypoint": _words(service.entrypoint),
        "command": _words(service.command),
        "init": service.init,
        "user": service.user,
        "hostname": service.hostname,
        "working_dir": service.working_dir,
        "read_only": service.read_only,
        "environment": {key: _text(value) for key, value in service.environment.items()},
        "env_file": list(service.env_files),
        "volumes": [_mount(mount) for mount in service.mounts],
        "ports": [str(port) for port in service.published],
        "network_mode": service.network_mode,
        "networks": list(service.networks),
        "extra_hosts": [f"{name}:{address}" for name, address in service.extra_hosts.items()],
        "depends_on": {name: {"condition": condition} for name, condition in service.dependencies},
        "healthcheck": _healthcheck(service.healthcheck) if service.healthcheck else {},
        "restart": "no" if service.runs_once else service.restart,
        "stop_signal": service.stop_signal,
        "stop_grace_period": duration_text(service.stop_grace_period_s),
        "logging": _logging(service.logging) if service.logging else {},
        "deploy": _deploy(service),
        "ulimits": {name: _ulimit(value) for name, value in service.ulimits.items()},
        "sysctls": {name: str(value) for name, value in service.sysctls.items()},
        "cap_add": list(service.cap_add),
        "cap_drop": list(service.cap_drop),
        "labels": dict(service.labels),
    }
    return {key: value for key, value in entry.items() if value not in ("", [], {}, False)}


def _words(command: str | tuple[str, ...]) -> str | list[str]:
    return command if isinstance(command, str) else list(command)


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mount(mount: Mount) -> dict[str, Any]:
    """Return the long form: the short form creates an empty directory where a bind's source is missing."""
    entry: dict[str, Any] = {"type": mount.type, "source": mount.source, "target": mount.target}
    if mount.type == "tmpfs":
        del entry["source"]
    if mount.read_only:
        entry["read_only"] = True
    if mount.type == "bind":
        entry["bind"] = {"create_host_path": False}
    return entry


def _healthcheck(check: HealthCheck) -> dict[str, Any]:
    words = ["CMD-SHELL", check.test] if isinstance(check.test, str) else ["CMD", *check.test]
    entry = {
        "test": words,
        "interval": duration_text(check.interval_s),
        "timeout": duration_text(check.timeout_s),
        "retries": check.retries,
    }
    return {**entry, "start_period": duration_text(check.start_period_s)} if check.start_period_s else entry


def _logging(logging: Logging) -> dict[str, Any]:
    return {"driver": logging.driver, "options": dict(logging.options)}


def duration_text(seconds: float) -> str:
    return f"{seconds:.0f}s" if float(seconds).is_integer() else f"{seconds * 1000:.0f}ms"


def _deploy(service: ContainerService) -> dict[str, Any]:
    limits = service.limits or Limits()
    most = {"cpus": _cpus(limits.cpus), "memory": limits.memory, "pids": limits.pids}
    least = {"cpus": _cpus(limits.reserved_cpus), "memory": limits.reserved_memory}
    resources = {
        key: {name: value for name, value in values.items() if value}
        for key, values in (("limits", most), ("reservations", least))
    }
    resources = {key: value for key, value in resources.items() if value}
    replicas = {"replicas": service.replicas} if service.replicas != 1 else {}
    return {**replicas, **({"resources": resources} if resources else {})}


def _cpus(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _ulimit(value: int | tuple[int, int]) -> int | dict[str, int]:
    return value if isinstance(value, int) else {"soft": value[0], "hard": value[1]}


def _volume_names(service: ContainerService) -> list[str]:
    return [mount.source for mount in service.mounts if mount.type == "volume"]


def network_entry(network: Network) -> dict[str, Any]:
    if network.external:
        return {"name": network.name, "external": True}
    entry = {"driver": network.driver, "internal": network.internal, "attachable": network.attachable}
    pools = {"ipam": {"config": [{"subnet": network.subnet}]}} if network.subnet else {}
    return {**{key: value for key, value in entry.items() if value}, **pools}


def volume_entry(volume: Volume) -> dict[str, Any]:
    if volume.external:
        return {"name": volume.name, "external": True}
    return {"labels": dict(volume.labels)} if volume.labels else {}
