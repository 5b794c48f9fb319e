"""What is wrong with services before a swarm sees them: what it would ignore, refuse, or do something else with."""

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
    """Raise InputError for the first thing that would not be on a swarm what it is on one machine."""
    for each in services:
        for check in (_ignored, _ports, _placement, _updates, _names(name), _contents(name)):
            for problem, next_step in check(each):
                raise InputError(f"stack {name}, service {each.name!r}: {problem}", next_step=next_step)
    # Several replicas may well publish one port here, and what compose alone reads was dealt with above.
    check_services(name, [replace(each.service, replicas=1) for each in services])
    _networks(name, services, list(networks))


def _ignored(each: SwarmService) -> Problems:
    service = each.service
    if service.network_mode:
        yield (
            f"swarm ignores network_mode: {service.network_mode}",
            'join a network instead: Network("host", external=True) is the nodes\' own',
        )
    if service.depends_on:
        yield (
            "swarm ignores depends_on: all services start at once, and again after every failure",
            "let it wait for what it needs by itself, and leave depends_on out",
        )
    if service.config or service.reload:
        what = "config" if service.config else "reload"
        yield (
            f"{what} names files of one host, and its tasks run on any node",
            "give it the file with files=(MountedFile(target, content),): a changed content rolls the service",
        )
    for path in service.env_files:
        if not path.startswith("/"):
            yield f"the env file {path} is not an absolute path", "write its whole path on the managers"


def _ports(each: SwarmService) -> Problems:
    published, deploy = each.service.published, each.deploy
    for port in published:
        if port.address:
            yield (
                f"swarm ignores the address of {port}, and publishes on all of them",
                "leave the port out and reach it over a network of the stack, or filter it with the role firewall",
            )
    if published and deploy.publish == "ingress" and deploy.endpoint_mode == "dnsrr":
        yield "the ingress mesh needs a virtual address, which dnsrr has not", 'publish="host", or endpoint_mode="vip"'
    if published and deploy.publish == "host" and "start-first" in (deploy.update.order, deploy.rollback.order):
        yield (
            "start-first needs its port twice on one node for a moment, and publish=host has it once",
            'order="stop-first", or publish="ingress"',
        )
    if published and deploy.publish == "host" and deploy.max_per_node > 1:
        yield "two tasks on one node cannot have the same port", "max_per_node=1"


def _placement(each: SwarmService) -> Problems:
    service, deploy = each.service, each.deploy
    for constraint in deploy.constraints:
        if not _CONSTRAINT.fullmatch(constraint):
            yield f"{constraint!r} is no placement constraint", "node.labels.disk==ssd, node.role==worker"
    kept = [mount for mount in service.mounts if mount.type != "tmpfs"]
    is_pinned = deploy.mode == "global" or any(_PINNING.match(each) for each in deploy.constraints)
    if kept and not is_pinned and not deploy.keeps_anywhere:
        first = kept[0]
        what = (
            f"{first.source} must be on every node it may run on"
            if first.type == "bind"
            else (f"the volume {first.source} is another, empty one on every node it may move to")
        )
        yield (
            what,
            'pin it: constraints=("node.labels.NAME==VALUE",), or say that it may: keeps_anywhere=True',
        )
    if deploy.mode == "global" and (deploy.replicas is not None or service.replicas != 1):
        yield "a global service has one task on each node, not a number of replicas", "leave replicas out"
    if deploy.mode == "global" and service.runs_once:
        yield "it cannot both run once and run on every node", "keep one"
    if each.replicas < 0:
        yield "it has fewer than no replicas", "0 stops it"


def _updates(each: SwarmService) -> Problems:
    for word, change in (("update", each.deploy.update), ("rollback", each.deploy.rollback)):
        if change.parallelism < 0 or not 0 <= change.max_failure_ratio <= 1:
            yield f"its {word} has an impossible parallelism or failure ratio", "1 and 0.0 are the careful ones"
        if not (0 <= change.delay_s <= _DURATION_LIMIT and 0 < change.monitor_s <= _DURATION_LIMIT):
            yield f"its {word} has an impossible delay or monitor time", "seconds, at most a day"
    if each.deploy.rollback.on_failure == "rollback":
        yield "a rollback cannot be rolled back", 'rollback=Change(on_failure="pause")'


def _names(stack: str) -> Callable[[SwarmService], Problems]:
    def check(each: SwarmService) -> Problems:
        full = f"{stack}_{each.name}"
        if len(full) > LONGEST_NAME:
            yield f"its name in the swarm, {full}, is longer than {LONGEST_NAME} characters", "shorten one of the two"
        for label in (*each.deploy.labels, *each.service.labels):
            if label.startswith(("orchestr.", "com.docker.stack.")):
                yield f"the label {label} is not yours to set", "choose another name"

    return check


def _contents(stack: str) -> Callable[[SwarmService], Problems]:
    def check(each: SwarmService) -> Problems:
        targets = [file.target for file in each.files] + [mount.target for mount in each.service.mounts]
        for file in each.files:
            yield from _content(stack, file)
            if targets.count(file.target) > 1:
                yield f"two files or mounts are at {file.target}", "keep one"

    return check


def _content(stack: str, file: MountedFile) -> Problems:
    from orchestr.secret import reveal

    name = f"{stack}_{file.base}-{'0' * 12}"
    if not file.target.startswith("/"):
        yield f"the file {file.target} is not an absolute path", "write the whole path in the container"
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
                f"stack {name}: the network {network.name} has the driver {network.driver}, which stays on one node",
                next_step="leave the driver out: a swarm's networks are overlay",
            )
    for each in services:
        for used in each.service.networks:
            if used not in known and known:
                raise InputError(
                    f"stack {name}, service {each.name!r}: the network {used!r} is not among the stack's",
                    suggestion=closest(used, known),
                )
