"""A host in the middle of an application's way from compose to a swarm or back: cut off anywhere, or not begun."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import parse_qs, unquote

from hypothesis import strategies as st

from orchestr.agent.secret import Secret
from orchestr.resources.docker.engine import SOCKET
from orchestr.resources.moves.databases import (
    ApplicationLoaded,
    ApplicationSaved,
    Database,
    DowntimeEnded,
    MoveForgotten,
)
from orchestr.resources.moves.forms import (
    COMPOSE,
    SERVICE,
    STACK,
    FormRemoved,
    ServicesStopped,
    source_path,
    state_directory,
    stopped_at_path,
)
from orchestr.resources.moves.survey import ApplicationSurvey
from orchestr.testing import CANARY, World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node

NAME, DIRECTORY, NETWORKS = "chat", "/opt/chat", ("chat_back",)
MYSQL = Database(
    NAME, "mysql", "mysql:8.0", Secret(CANARY), NETWORKS[0], ("mysqldump",), ("mysql",), ("probe",), "Dump completed"
)
SERVERS = ("user_server", "gateway")
FORMS = st.sampled_from([COMPOSE, STACK])


class Machine(MemoryHost):
    """A manager's engine that has an application's containers or services, and a MySQL to be dumped and loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.containers: dict[str, str] = {}
        self.services: set[str] = set()
        self.network = True
        self.loaded = 0
        self.http = _Routes(self)
        self.commands[("sh", "-c")] = self.client
        self.commands[("docker", "compose")] = self.down
        self.commands[("docker", "stack", "rm")] = self.down
        self.commands[("tail",)] = self.tail
        self.commands[("mv",)] = self.move
        self.commands[("du",)] = "4096\t/data\n"

    def answer(self, method: str, path: str) -> Any:
        parts = path.partition("?")[0].strip("/").split("/")
        if parts == ["info"]:
            return {"Swarm": {"ControlAvailable": True, "LocalNodeState": "active"}}
        if parts[0] == "containers" and len(parts) == 2:
            return [{"Id": name, "State": state, "Labels": {SERVICE: name}} for name, state in self.containers.items()]
        if parts[0] == "containers":
            self.containers[parts[1]] = {"stop": "exited", "start": "running"}[parts[2]]
        elif parts == ["services"]:
            return [{"ID": name, "Spec": {"Name": f"chat_{name}"}} for name in sorted(self.services)]
        elif parts[0] == "services" and method == "DELETE":
            self.services.discard(parts[1])
        elif parts == ["tasks"]:
            wanted = parse_qs(unquote(path.partition("?")[2])).get("filters", [""])[0]
            return [{"Status": {"State": "running"}} for name in self.services if name in wanted]
        elif parts[0] == "networks":
            return {"Name": parts[1]} if self.network else None
        return {}

    def client(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        """Be MySQL's client: it answers, writes a dump to the path given, or takes one."""
        assert self.nodes[MYSQL.login_path].mode == 0o600 and CANARY not in str(words)
        path = words[4]
        if "mysqldump" in words:
            self.nodes[path] = Node("file", b"-- Dump completed\n", 0o600)
        elif path == MYSQL.dump:
            self.loaded += 1
        return ""

    def down(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        if words[1] == "compose":
            self.containers.clear()
        else:
            self.services.clear()
            self.network = False
        return ""

    def tail(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        return self.text(words[-1])

    def move(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        self.nodes[words[2]] = self.nodes.pop(words[1])
        return ""


class _Routes(dict[str, Any]):
    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    def get(self, key: str, default: Any = None) -> Any:
        path = key.removeprefix(f"{SOCKET}:")
        if path == key:
            return default

        def answer(method: str, body: bytes) -> tuple[int, bytes]:
            found = self.machine.answer(method, path)
            return (404, b'{"message":"not found"}') if found is None else (200, json.dumps(found).encode())

        return answer


KINDS = {
    "application_survey": st.just(ApplicationSurvey(NAME, (("mysql", "dump", "chat_mysql-data"),), ("/im/data",))),
    "application_saved": st.builds(
        ApplicationSaved, st.just(NAME), FORMS, *map(st.just, (DIRECTORY, NETWORKS, (MYSQL,), SERVERS))
    ),
    "application_services_stopped": st.builds(
        ServicesStopped, st.just(NAME), st.sampled_from([SERVERS, ("mysql",)]), FORMS
    ),
    "application_form_removed": st.builds(FormRemoved, st.just(NAME), FORMS, st.just(DIRECTORY), st.just(NETWORKS)),
    "application_loaded": st.just(ApplicationLoaded(MYSQL)),
    "application_move_forgotten": st.just(MoveForgotten(NAME, (MYSQL,))),
    "application_downtime": st.just(DowntimeEnded(NAME)),
}


@st.composite
def hosts(draw: st.DrawFn) -> Machine:
    machine = Machine()
    names = ["mysql", *SERVERS]
    for name in draw(st.sets(st.sampled_from(names))):
        machine.containers[name] = draw(st.sampled_from(["running", "exited"]))
    machine.services = draw(st.sets(st.sampled_from(names)))
    if draw(st.booleans()):
        system = MemorySystem(machine)
        system.make_directory(state_directory(NAME), mode=0o700)
        system.write_bytes(source_path(NAME), draw(FORMS).encode())
        if draw(st.booleans()):
            system.write_bytes(stopped_at_path(NAME), b"990.0")
            if draw(st.booleans()):
                system.write_bytes(MYSQL.dump, b"-- Dump completed\n")
        machine.writes = 0
    return machine


def state(machine: Machine) -> Any:
    return copy.deepcopy((machine.nodes, machine.containers, machine.services, machine.network, machine.loaded))


WORLD = World("moves", KINDS, hosts(), state)
