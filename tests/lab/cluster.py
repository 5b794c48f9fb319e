"""The lab's Caddy and LiveKit cluster: driven by the command line, as a user does; looked at with tools not ours."""

from __future__ import annotations

import functools
import importlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestr.planning.role import load_role
from tests.lab.conftest import ROOT, ssh

SINGLE = ROOT / "inventories/lab/livekit-single.yml"
DISTRIBUTED = ROOT / "inventories/lab/livekit-distributed.yml"
SITE = "live.lab.test"
REDIS_PASSWORD = "lab-only-redis-password"
CADDY, WEBAPP, LIVEKIT, REDIS = "caddy-caddy-1", "webapp-webapp-1", "livekit-livekit-1", "redis-redis-1"


@dataclass(frozen=True)
class Done:
    """What a command came to: exit code, what it wrote, and the events as they came."""

    exit: int
    output: str
    errors: str
    events: list[dict[str, Any]]

    @property
    def result(self) -> dict[str, Any]:
        """The object that ``--json`` printed."""
        found: dict[str, Any] = json.loads(self.output)
        return found

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """(host, kind, name) of everything that changed, or would."""
        hosts = self.result["hosts"].items()
        return [(name, each["resource"], each["name"]) for name, host in hosts for each in host["changes"]]

    @property
    def trouble(self) -> list[tuple[str, str]]:
        """(host, message → next step) of every failure."""
        hosts = self.result["hosts"].items()
        return [(name, f"{e['message']} → {e['next_step']}") for name, host in hosts for e in host["errors"]]

    def finished(self, *verdicts: str, resource: str) -> list[tuple[str, str]]:
        """(host, name) of tasks of one kind with these verdicts, in the order they finished."""
        found = [event for event in self.events if event["event"] == "TaskFinished" and event["resource"] == resource]
        return [(event["host"], event["name"]) for event in found if event["verdict"] in verdicts]


class Orchestr:
    """The command line with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def command(self, verb: str, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "orchestr", verb, *map(str, words)]

    def start(self, verb: str, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command and return at once."""
        self.state.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "ORCHESTR_STATE": str(self.state)}
        return subprocess.Popen(
            self.command(verb, *words), cwd=ROOT, env=environment, text=True, stdin=subprocess.DEVNULL, **options
        )

    def __call__(self, verb: str, *words: str | Path, timeout_s: float = 240) -> Done:
        """Run a command with ``--json`` to its end."""
        self.state.mkdir(parents=True, exist_ok=True)
        record = self.state / "events.jsonl"
        record.unlink(missing_ok=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(verb, *words, "--json", "--events", str(record), **pipes) as process:
            output, errors = process.communicate(timeout=timeout_s)
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return Done(process.returncode, output, errors, [json.loads(line) for line in lines])

    def succeed(self, verb: str, *words: str | Path) -> Done:
        """Run a command that has to end with 0."""
        done = self(verb, *words)
        assert done.exit == 0, f"orchestr {verb}: exit {done.exit}\n{done.errors}\n{done.output[-6000:]}"
        return done


@dataclass(frozen=True)
class Container:
    """A container as its engine sees it; the same id and start mean that it was left alone."""

    id: str
    started_at: str
    status: str
    digest: str


def container(node: str, name: str) -> Container:
    """Look at one container."""
    shape = '{{.Id}} {{.State.StartedAt}} {{.State.Status}} {{json (index .Config.Labels "orchestr.digest")}}'
    words = ssh(node, f"docker inspect --format '{shape}' {name}").strip().split(" ", 3)
    return Container(words[0], words[1], words[2], json.loads(words[3]))


def caddy_configuration() -> Any:
    """Return the configuration Caddy runs with now, not the one in its file, from its control socket."""
    process = f"$(docker inspect --format '{{{{.State.Pid}}}}' {CADDY})"
    ask = f"curl --silent --unix-socket /proc/{process}/root/run/caddy-admin.sock http://localhost/config/"
    return json.loads(ssh("lab1", ask))


def upstreams() -> set[str]:
    """Return host:port of the LiveKit nodes Caddy knows now."""
    return {address for address in _dials(caddy_configuration()) if address.endswith(":7880")}


def _dials(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "dial" in value:
            yield value["dial"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _dials(each)


@functools.cache
def _authority(certificate: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate)


def authority() -> ssl.SSLContext:
    """Return a TLS context that trusts Caddy's own authority and nobody else."""
    return _authority(authority_certificate())


def authority_certificate() -> str:
    """Return the certificate of Caddy's own authority, as PEM text."""
    return ssh("lab1", "cat /opt/caddy/data/caddy/pki/authorities/local/root.crt")


def wait_until(condition: Callable[[], bool], otherwise: str, seconds: float = 30) -> None:
    """Wait for a condition; fail with ``otherwise`` when it does not come."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.1)


def requests_in_progress() -> dict[str, int]:
    """Return how many requests and WebSockets Caddy carries to each upstream now: host:port → number."""
    process = f"$(docker inspect --format '{{{{.State.Pid}}}}' {CADDY})"
    socket = f"--unix-socket /proc/{process}/root/run/caddy-admin.sock"
    told = json.loads(ssh("lab1", f"curl --silent {socket} http://localhost/reverse_proxy/upstreams"))
    return {upstream["address"]: upstream["num_requests"] for upstream in told}


def home_of(room: str) -> str:
    """Return the address of the node that a room is on, from LiveKit's own records in Redis; "" for none."""
    ask = f"docker exec -e REDISCLI_AUTH={REDIS_PASSWORD} {REDIS} redis-cli HGET room_node_map {room}"
    home = ssh("lab2", ask).strip()
    return next((node.address for node in livekit_nodes() if node.id == home), "")


def livekit_nodes() -> list[Any]:
    """Return LiveKit's list of nodes, those heard from last at its end."""
    parse_nodes = livekit_module("verify").parse_nodes
    return sorted(parse_nodes(list_of_nodes()), key=lambda node: node.updated_at)


def livekit_module(name: str) -> ModuleType:
    """Return a module of the role livekit, under the name that it has in a run."""
    load_role("livekit", ROOT)
    return importlib.import_module(f"orchestr_roles.livekit.{name}")


def list_of_nodes() -> str:
    """Return the table that ``livekit-server list-nodes`` prints."""
    return ssh("lab2", f"docker exec {LIVEKIT} /livekit-server --config /etc/livekit/livekit.yaml list-nodes")


@contextmanager
def listener(node: str, port: int) -> Iterator[None]:
    """Let another program listen on a port of a node meanwhile."""
    name = f"squatter-{port}"
    program = f'import socket,time; s=socket.create_server(("",{port})); time.sleep(600)'
    ssh(node, f"systemd-run --quiet --unit={name} python3 -c '{program}'")
    wait_until(lambda: f":{port} " in ssh(node, "ss -Hltn"), f"nothing listens on {port}")
    try:
        yield
    finally:
        ssh(node, f"systemctl stop {name}")
