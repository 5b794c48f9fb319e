"""The lab's Caddy and LiveKit cluster: driven by the command line, as a user does; looked at with tools not ours."""

from __future__ import annotations

import functools
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
from typing import Any

from tests.lab.conftest import ROOT, ssh

SINGLE = ROOT / "inventories/lab/livekit-single.yml"
DISTRIBUTED = ROOT / "inventories/lab/livekit-distributed.yml"
SITE = "live.lab.test"
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
    return _authority(ssh("lab1", "cat /opt/caddy/data/caddy/pki/authorities/local/root.crt"))


def wait_until(condition: Callable[[], bool], otherwise: str, seconds: float = 30) -> None:
    """Wait for a condition; fail with ``otherwise`` when it does not come."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.1)


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
