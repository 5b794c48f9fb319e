"""Checks of services before they reach a swarm: settings that swarm ignores, refuses or reads differently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestr.containers.compose_checks import check_services
from orchestr.errors import InputError
from orchestr.inventory.closest import closest

if TYPE_CHECKING:
    from orchestr.containers.model import Network
    from orchestr.containers.stack_model import MountedFile, SwarmService

LONGEST_NAME = 63  # of a service in swarm's own DNS, its stack's name included
LONGEST_OBJECT = 64
LARGEST_CONTENT = 500_000  # bytes of a config or a secret
_OBJECT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*[a-zA-Z0-9]")
_CONSTRAINT = re.compile(
    r"(node\.(id|hostname|role|ip|platform\.(os|arch)|labels\.[^=! ]+)|engine\.labels\.[^=! ]+)\s*(==|!=)\s*\S.*"
)
_PINNING = re.compile(r"node\.(id|hostname|labels\.[^=! ]+)\s*==")
_DURATION_LIMIT = 24 * 3600.0

Problems = Iterator[tuple[str, str]]


def check_stack(name: str, services: Sequence[SwarmService], networks: Iterable[Network] = ()) -> None:
    """Raise InputError for the first setting that has another meaning on a swarm than on one machine."""
    for service in services:
        for check in (_ignored, _ports, _placement, _updates, _names(name), _contents(name)):
            for problem, next_step in check(service):
                raise InputError(f"stack {name}, service {service.name!r}: {problem}", next_step=next_step)
    # On a swarm several replicas may publish one port; settings of compose alone were checked above.
    check_services(name, [replace(service.service, replicas=1) for service in services])
    _networks(name, services, list(networks))


def _ignored(service: SwarmService) -> Problems:
    container = service.service
    if container.network_mode:
        yield (
            f"swarm ignores network_mode: {container.network_mode}",
            'join a network instead: Network("host", external=True) is the network of the node',
        )
    if container.depends_on:
        yield (
            "swarm ignores depends_on: all services start at once, and again after every failure",
            "make the service itself wait for the services it needs, and leave depends_on out",
        )
    if container.config or container.reload:
        setting = "config" if container.config else "reload"
        yield (
            f"{setting} names files of one host, and its tasks run on any node",
            "pass the file with files=(MountedFile(target, content),): changed content updates the service",
        )
    for path in container.env_files:
        if not path.startswith("/"):
            yield f"the env file {path} is not an absolute path", "write its absolute path on the managers"


def _ports(service: SwarmService) -> Problems:
    published, deploy = service.service.published, service.deploy
    for port in published:
        if port.address:
            yield (
                f"swarm ignores the address of {port}, and publishes the port on all addresses",
                "leave the port out and reach it over a network of the stack, or filter it with the role firewall",
            )
    if published and deploy.publish == "ingress" and deploy.endpoint_mode == "dnsrr":
        yield (
            "the ingress mesh needs a virtual address, which dnsrr does not have",
            'set publish="host", or endpoint_mode="vip"',
        )
    if published and deploy.publish == "host" and "start-first" in (deploy.update.order, deploy.rollback.order):
        yield (
            "start-first needs its port twice on one node for a moment, and publish=host has it once",
            'set order="stop-first", or publish="ingress"',
        )
    if published and deploy.publish == "host" and deploy.max_per_node > 1:
        yield "two tasks on one node cannot have the same port", "set max_per_node=1"


def _placement(service: SwarmService) -> Problems:
    container, deploy = service.service, service.deploy
    for constraint in deploy.constraints:
        if not _CONSTRAINT.fullmatch(constraint):
            yield (
                f"{constraint!r} is not a placement constraint",
                "write it like node.labels.disk==ssd or node.role==worker",
            )
    kept = [mount for mount in container.mounts if mount.type != "tmpfs"]
    is_pinned = deploy.mode == "global" or any(_PINNING.match(constraint) for constraint in deploy.constraints)
    if kept and not is_pinned and not deploy.keeps_anywhere:
        first = kept[0]
        problem = (
            f"{first.source} must be on every node it may run on"
            if first.type == "bind"
            else f"the volume {first.source} is another, empty one on every node it may move to"
        )
        yield problem, 'pin it: constraints=("node.labels.NAME==VALUE",), or allow it: keeps_anywhere=True'
    if deploy.mode == "global" and (deploy.replicas is not None or container.replicas != 1):
        yield "a global service has one task on each node, not a number of replicas", "leave replicas out"
    if deploy.mode == "global" and container.runs_once:
        yield "it cannot both run once and run on every node", "drop runs_once or mode"
    if service.replicas < 0:
        yield "its number of replicas is negative", "set replicas to 0 to stop it"


def _updates(service: SwarmService) -> Problems:
    for word, change in (("update", service.deploy.update), ("rollback", service.deploy.rollback)):
        if change.parallelism < 0 or not 0 <= change.max_failure_ratio <= 1:
            yield (
                f"its {word} has an impossible parallelism or failure ratio",
                "set parallelism=1 and max_failure_ratio=0.0 for a careful one",
            )
        if not (0 <= change.delay_s <= _DURATION_LIMIT and 0 < change.monitor_s <= _DURATION_LIMIT):
            yield f"its {word} has an impossible delay or monitor time", "give them in seconds, at most a day"
    if service.deploy.rollback.on_failure == "rollback":
        yield "a rollback cannot be rolled back", 'set rollback=Change(on_failure="pause")'


def _names(stack: str) -> Callable[[SwarmService], Problems]:
    def check(service: SwarmService) -> Problems:
        full = f"{stack}_{service.name}"
        if len(full) > LONGEST_NAME:
            yield f"its name in the swarm, {full}, is longer than {LONGEST_NAME} characters", "shorten one of the two"
        for label in (*service.deploy.labels, *service.service.labels):
            if label.startswith(("orchestr.", "com.docker.stack.")):
                yield f"the label {label} is reserved", "choose another name"

    return check


def _contents(stack: str) -> Callable[[SwarmService], Problems]:
    def check(service: SwarmService) -> Problems:
        targets = [file.target for file in service.files] + [mount.target for mount in service.service.mounts]
        for file in service.files:
            yield from _content(stack, file)
            if targets.count(file.target) > 1:
                yield f"two files or mounts are at {file.target}", "keep one"

    return check


def _content(stack: str, file: MountedFile) -> Problems:
    from orchestr.secret import reveal

    name = f"{stack}_{file.base}-{'0' * 12}"
    if not file.target.startswith("/"):
        yield f"the file {file.target} is not an absolute path", "write the absolute path in the container"
    if not _OBJECT_NAME.fullmatch(name) or len(name) > LONGEST_OBJECT:
        yield f"{file.base!r} cannot name a config or secret", f"give it a name, {LONGEST_OBJECT} characters in all"
    size = len(str(reveal(file.content)).encode())
    if not 0 < size <= LARGEST_CONTENT:
        yield f"{file.target} has {size} bytes; swarm takes 1 to {LARGEST_CONTENT}", "put it into the image"


def _networks(name: str, services: Sequence[SwarmService], networks: Sequence[Network]) -> None:
    known = {network.name for network in networks}
    for network in networks:
        if not network.external and network.driver not in ("", "overlay"):
            raise InputError(
                f"stack {name}: the network {network.name} has the driver {network.driver}, which spans only one node",
                next_step="leave the driver out: a swarm's networks are overlay",
            )
    for service in services:
        for used in service.service.networks:
            if used not in known and known:
                raise InputError(
                    f"stack {name}, service {service.name!r}: the stack has no network {used!r}",
                    suggestion=closest(used, known),
                )
