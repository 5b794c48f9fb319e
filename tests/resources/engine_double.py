"""A Docker engine and a compose that exist only in memory, answering in the shapes of the real ones.

``answers(version)`` are real answers of real engines, collected in ``recorded/docker-VERSION/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from orchestr.resources.docker.engine import SOCKET
from orchestr.transport.memory import MemoryHost, MemorySystem

ENGINES = ("20.10", "26.1")
RECORDED = Path(__file__).parent / "recorded"
PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"


def answers(version: str) -> dict[str, Any]:
    """What a real engine of this version said."""
    found: dict[str, Any] = json.loads((RECORDED / f"docker-{version}" / "answers.json").read_text())
    return found


class _Answers(dict[str, Any]):
    def __init__(self, engine: EngineDouble) -> None:
        super().__init__()
        self._engine = engine

    def get(self, key: str, default: Any = None) -> Any:
        path = key.removeprefix(f"{SOCKET}:")
        if path == key or not self._engine.is_up:
            return default
        self._engine.asked.append(path)
        found = self._engine.answer(path.partition("?")[0], unquote(path.partition("?")[2]))
        return (404, b'{"message":"no such thing"}') if found is None else (200, json.dumps(found).encode())


class EngineDouble:
    """Containers by name; ``states`` says what a service's containers do once started (default: run).

    A container named in ``dying`` has died and been started again each time one looks at it. The list of containers
    shows what was ``outdated`` times more, as an engine's does for a moment after a container was stopped or started.
    """

    def __init__(self, version: str = "26.1") -> None:
        self.host = MemoryHost()
        self.host.http = _Answers(self)
        self.host.add_file("/usr/bin/docker", "", mode=0o755)
        self.host.add_file("/usr/sbin/dockerd", "", mode=0o755)
        self.host.add_file(PLUGIN, "", mode=0o755)
        self.is_up = True
        self.version = answers(version)["version"]
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: list[dict[str, Any]] = []
        self.details: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.states: dict[str, dict[str, Any]] = {}
        self.dying: set[str] = set()
        self.outdated = 0
        self._shown: list[dict[str, Any]] = []
        self.info: dict[str, Any] = {"DriverStatus": [["Backing Filesystem", "extfs"]]}
        self.asked: list[str] = []
        self._count = 0
        commands = self.host.commands
        commands[("docker", "compose")] = self._compose
        commands[("docker", "restart")] = self._restart
        commands[("docker", "stop")] = ""
        commands[("docker", "rm")] = self._remove
        commands[("docker", "unpause")] = self._restart

    @property
    def system(self) -> MemorySystem:
        return MemorySystem(self.host, run_id="r1")

    # -- the API ----------------------------------------------------------------------------------------------------
    def answer(self, path: str, query: str) -> Any:
        parts = path.strip("/").split("/")
        if path == "/version":
            return self.version
        if path == "/info":
            return self.info
        if path == "/images/json":
            return self.images
        if path == "/containers/json":
            assert "all=1" in query and "com.docker.compose.project" in query
            if self.outdated and self._shown:
                self.outdated -= 1
            else:
                self._shown = [self._listed(item) for item in self.containers.values()]
            return self._shown
        if parts[0] == "images":
            return self.details.get("/".join(parts[1:-1]))
        found = next((item for item in self.containers.values() if parts[1] in (item["Id"], item["Name"])), None)
        if found is None:
            return None
        if parts[2] == "logs":
            return self.logs.get(found["Name"], "")
        if found["Name"] in self.dying:
            found["State"] = {**found["State"], "StartedAt": self._now()}
            found["RestartCount"] += 1
        return found

    def _listed(self, item: dict[str, Any]) -> dict[str, Any]:
        state = item["State"]
        health = (state.get("Health") or {}).get("Status", "")
        words = {"running": "Up 5 seconds", "exited": f"Exited ({state['ExitCode']}) 5 seconds ago"}
        words["restarting"] = f"Restarting ({state['ExitCode']}) 1 second ago"
        status = words.get(state["Status"], "Created")
        if health and state["Status"] == "running":
            status += {"starting": " (health: starting)"}.get(health, f" ({health})")
        entry = {"Id": item["Id"], "Names": ["/" + item["Name"]], "ImageID": item["Image"], "Labels": item["Labels"]}
        return {**entry, "State": state["Status"], "Status": status}

    # -- compose ------------------------------------------------------------------------------------------------------
    def add(self, project: str, service: str, *, digest: str = "", config_hash: str = "h", number: int = 1) -> None:
        """Put a running container there, as compose would."""
        self._count += 1
        self.host.clock += 1
        name = f"{project}-{service}-{number}"
        labels = {"project": project, "service": service, "oneoff": "False", "config-hash": config_hash}
        self.containers[name] = {
            "Id": f"{self._count:064x}",
            "Name": name,
            "Image": "sha256:" + "a" * 64,
            "RestartCount": 0,
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": self._now(), **self.states.get(service, {})},
            "Labels": {f"com.docker.compose.{key}": value for key, value in labels.items()},
        }
        if digest:
            self.containers[name]["Labels"]["orchestr.digest"] = digest

    def _now(self) -> str:
        return f"1970-01-01T00:{int(self.host.clock) // 60:02d}:{self.host.clock % 60:012.9f}Z"

    def _compose(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        options = [words[index + 1] for index, word in enumerate(words) if word == "--file"]
        project = words[words.index("--project-name") + 1]
        if "config" in words:
            return None
        if "down" in words:
            self.containers.clear()
        if "stop" in words:
            for item in self.containers.values():
                item["State"] = {**item["State"], "Status": "exited"}
        if "up" in words:
            override = yaml.safe_load(self.host.text(options[-1]))
            for service in words[words.index("--no-deps") + 1 :]:
                self._up(project, service, override["services"][service]["labels"]["orchestr.digest"])
        return None

    def _up(self, project: str, service: str, digest: str) -> None:
        name = f"{project}-{service}-1"
        found = self.containers.get(name)
        if found is None or found["Labels"].get("orchestr.digest") != digest:
            self.add(project, service, digest=digest, config_hash="h:" + digest)
        else:
            started = {"Status": "running", "StartedAt": self._now()}
            found["State"] = {**found["State"], **started, **self.states.get(service, {})}

    def _restart(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        for name in words[2:]:
            service = self.containers[name]["Labels"]["com.docker.compose.service"]
            state = {"Status": "running", "ExitCode": 0, "StartedAt": self._now()}
            self.containers[name]["State"] = {**state, **self.states.get(service, {})}

    def _remove(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        for name in words[2:]:
            if not name.startswith("--"):
                del self.containers[name]

    def ran(self, *start: str) -> list[tuple[str, ...]]:
        """The commands run so far that begin with these words, compose's options left out."""
        return [words for words in map(_bare, self.host.log) if words[: len(start)] == start]


def _bare(words: tuple[str, ...]) -> tuple[str, ...]:
    if words[:2] != ("docker", "compose"):
        return words
    verb = next(index for index, word in enumerate(words) if word in ("up", "config", "down", "stop"))
    return ("compose", *words[verb:])
