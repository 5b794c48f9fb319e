"""The settings that a swarm adds to a container service: placement, replicas, updates, mounted files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestr.containers.checked import Checked
from orchestr.containers.compose import ContainerService
from orchestr.resources.modes import mode_bits
from orchestr.secret import Secret

HASH_LENGTH = 12


@dataclass(frozen=True)
class Change(Checked):
    """How an update or a rollback replaces a service's tasks.

    ``delay_s``: seconds between two tasks. With 0, swarm may stop the next task of the version that works before it has
    seen that the new one failed: its updater asks for the next task and for failures at once, and takes either.
    """

    parallelism: int = 1
    delay_s: float = 1.0
    on_failure: Literal["rollback", "pause", "continue"] = "rollback"
    monitor_s: float = 5.0
    max_failure_ratio: float = 0.0
    order: Literal["stop-first", "start-first"] = "stop-first"


@dataclass(frozen=True)
class Restart(Checked):
    """When swarm restarts a task that ended: always, after a failure, never."""

    condition: Literal["any", "on-failure", "none"] = "any"
    delay_s: float = 5.0
    max_attempts: int = 0
    window_s: float = 0.0


@dataclass(frozen=True)
class Deploy(Checked):
    """Where and how a service's tasks run.

    ``replicas``: how many (default: the service's own). ``publish``: "ingress" answers on every node and needs IPVS;
    "host" only where a task runs, and keeps the client's address. ``keeps_anywhere``: its volumes and mounted paths are
    the same on all nodes (or may be empty), so ``constraints`` need not pin it to some nodes.
    """

    mode: Literal["replicated", "global"] = "replicated"
    replicas: int | None = None
    constraints: tuple[str, ...] = ()
    spread_over: tuple[str, ...] = ()
    max_per_node: int = 0
    update: Change = field(default_factory=Change)
    rollback: Change = field(default_factory=lambda: Change(on_failure="pause"))
    restart: Restart = field(default_factory=Restart)
    endpoint_mode: Literal["vip", "dnsrr"] = "vip"
    publish: Literal["ingress", "host"] = "ingress"
    labels: Mapping[str, str] = field(default_factory=dict)
    keeps_anywhere: bool = False


@dataclass(frozen=True)
class MountedFile(Checked):
    """A file that swarm mounts into a service's tasks: a swarm secret if its content is a Secret, else a config."""

    target: str
    content: str | Secret
    name: str = ""
    mode: int | str = 0o444
    uid: int = 0
    gid: int = 0

    def _complete(self) -> None:
        object.__setattr__(self, "mode", mode_bits(self.mode))

    @property
    def is_secret(self) -> bool:
        return isinstance(self.content, Secret)

    @property
    def base(self) -> str:
        """The name without stack and digest: by default the last part of the target."""
        return self.name or self.target.rstrip("/").rpartition("/")[2].replace(" ", "_")

    def object_name(self, stack: str) -> str:
        """Return its name in the swarm: stack, base, and a digest of the content.

        A secret's digest is scrypt's, salted by the name: swarm shows names to everyone, and a plain hash of a short
        password can be reversed.
        """
        start = f"{stack}_{self.base}"
        if isinstance(self.content, Secret):
            return f"{start}-{_slow_digest(self.content.reveal(), start)}"
        return f"{start}-{hashlib.sha256(self.content.encode()).hexdigest()[:HASH_LENGTH]}"


@functools.lru_cache(maxsize=256)
def _slow_digest(text: str, name: str) -> str:
    """Return scrypt's digest, computed once per run: it is slow on purpose."""
    salt = f"orchestr {name}".encode()
    return hashlib.scrypt(text.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=HASH_LENGTH // 2).hex()


@dataclass(frozen=True)
class SwarmService(Checked):
    """A service and how a swarm runs it."""

    service: ContainerService
    deploy: Deploy = field(default_factory=Deploy)
    files: tuple[MountedFile, ...] = ()

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def replicas(self) -> int:
        return self.service.replicas if self.deploy.replicas is None else self.deploy.replicas

    @property
    def mode(self) -> str:
        return "once" if self.service.runs_once else self.deploy.mode
