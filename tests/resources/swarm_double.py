"""A swarm that exists only in memory, answering one node's engine in the shapes of a real one (26.1).

``swarm_answers()`` are real answers, collected from three lab nodes with a stack of a web service and a job on them.
"""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import parse_qs, unquote

from orchestr.resources.docker.engine import SOCKET
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.engine_double import RECORDED, answers

MANAGER, WORKER = "4n6epqtmn4znw8nhprasc6upc", "d9o5ievpkdgntfz0ivx9672ho"
CLUSTER = "l6k9wzkb3qrhwptux0bwbhmji"
Answer = tuple[int, Any]


def swarm_answers(version: str = "26.1") -> dict[str, Any]:
    """What a real manager's engine said, and a worker's and an inactive one's account of itself."""
    found: dict[str, Any] = json.loads((RECORDED / f"docker-{version}" / "swarm.json").read_text())
    return found


class _Routes(dict[str, Any]):
    def __init__(self, double: SwarmDouble) -> None:
        super().__init__()
        self._double = double

    def get(self, key: str, default: Any = None) -> Any:
        path = key.removeprefix(f"{SOCKET}:")
        if path == key or not self._double.is_up:
            return default

        def answer(method: str, body: bytes) -> tuple[int, bytes]:
            where, _, query = path.partition("?")
            parsed = {name: values[0] for name, values in parse_qs(unquote(query)).items()}
            status, found = self._double.answer(method, where, parsed, json.loads(body) if body else {})
            return status, json.dumps(found).encode()

        return answer


class SwarmDouble:
    """``fate`` says what becomes of a deployed service: runs, rolled back, ended (and so rolled back), paused, …"""

    def __init__(self, role: str = "manager") -> None:
        known = swarm_answers()
        self.host = MemoryHost()
        self.host.http = _Routes(self)
        self.host.add_file("/usr/sbin/dockerd", "", mode=0o755)
        self.host.commands[("docker", "stack", "deploy")] = self._deploy
        self.host.commands[("docker", "stack", "rm")] = self._remove_stack
        self.is_up = True
        self.version = answers("26.1")["version"]
        self.live_restore = False
        self.info: dict[str, Any] = known[f"{role}_info"]
        self.swarm: dict[str, Any] = known["swarm"]
        self.nodes: list[dict[str, Any]] = known["nodes"]
        self.services: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.objects: dict[str, list[dict[str, Any]]] = {"configs": [], "secrets": []}
        self.networks: dict[str, dict[str, Any]] = {}
        self.fate: dict[str, str] = {}
        self.written: list[tuple[str, str, dict[str, Any]]] = []
        self.documents: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.other_writers = 0
        self.demoted_in = 0  # after so many looks the engine knows that it is no manager any more
        self._count = 0

    @property
    def system(self) -> MemorySystem:
        return MemorySystem(self.host, run_id="r1", on_output=self.said.append)

    # -- the API ----------------------------------------------------------------------------------------------------
    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        if method != "GET":
            self.written.append((method, path, body))
        parts = path.strip("/").split("/")
        if path == "/version":
            return 200, self.version
        if path == "/info":
            if self.demoted_in:
                self.demoted_in -= 1
                self.info["ControlAvailable"] = self.demoted_in > 0
            return 200, {"Swarm": self.info, "LiveRestoreEnabled": self.live_restore}
        if parts[0] == "swarm":
            return self._swarm(method, parts[1:], query, body)
        if parts[0] == "networks":
            return self._network(method, parts[1], body)
        if not self.info["ControlAvailable"]:
            return 503, {"message": "This node is not a swarm manager."}
        lists = {"nodes": self.nodes, "services": self.services, "tasks": self.tasks, **self.objects}
        return self._listed(method, lists[parts[0]], parts, query, body)

    def _listed(
        self, method: str, things: list[dict[str, Any]], parts: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> Answer:
        if len(parts) == 1:
            return 200, [each for each in things if self._passes(each, json.loads(query.get("filters", "{}")))]
        if parts[1] == "create":
            created = {"ID": self._id(), "Version": {"Index": 1}, "Spec": {k: body[k] for k in ("Name", "Labels")}}
            things.append({**created, "Data": body["Data"]})
            return 201, {"ID": created["ID"]}
        found = next((each for each in things if each["ID"] == parts[1]), None)
        if found is None:
            return 404, {"message": "no such thing"}
        if method == "DELETE":
            things.remove(found)
            self.tasks = [task for task in self.tasks if task["ServiceID"] != found["ID"]]
            return 200, None
        if parts[-1] == "update":
            return self._updated(found, query, body)
        return (200, "") if parts[-1] == "logs" else (200, found)

    def _passes(self, thing: dict[str, Any], filters: dict[str, list[str]]) -> bool:
        ways = {"service": thing.get("ServiceID"), "node": thing.get("NodeID")}
        ways["name"] = thing.get("Spec", {}).get("Name")
        return all(ways[key] in values for key, values in filters.items() if key in ways)

    def _updated(self, found: dict[str, Any], query: dict[str, str], body: dict[str, Any]) -> Answer:
        if self.other_writers:
            self.other_writers -= 1
            found["Version"]["Index"] += 1
        if query["version"] != str(found["Version"]["Index"]):
            return 500, {"message": "rpc error: code = Unknown desc = update out of sequence"}
        found["Spec"], found["Version"] = body, {"Index": found["Version"]["Index"] + 1}
        if "Description" in found:
            is_manager = body["Role"] == "manager"
            found["ManagerStatus"] = found.get("ManagerStatus") or {"Reachability": "reachable"} if is_manager else None
        return 200, None

    def _swarm(self, method: str, parts: list[str], query: dict[str, str], body: dict[str, Any]) -> Answer:
        if not parts:
            return 200, self.swarm
        if parts[0] == "leave":
            self.info = swarm_answers()["inactive_info"]
        elif parts[0] == "update":
            rotated = {"rotateWorkerToken": "Worker", "rotateManagerToken": "Manager"}
            for key in rotated.keys() & query.keys():
                self.swarm["JoinTokens"][rotated[key]] = "SWMTKN-new"
        elif parts[0] == "join" and body["JoinToken"] not in self.swarm["JoinTokens"].values():
            return 500, {"message": "rpc error: code = InvalidArgument desc = A valid join token is necessary"}
        else:
            self.info = copy.deepcopy(swarm_answers()["manager_info" if parts[0] == "init" else "worker_info"])
            self.info["NodeAddr"] = body["AdvertiseAddr"]
            self.info["NodeID"] = self._id() if parts[0] == "join" else MANAGER
        return 200, None

    def _network(self, method: str, name: str, body: dict[str, Any]) -> Answer:
        if method == "POST":
            ipam = body.get("IPAM", {"Config": [{"Subnet": "10.0.9.0/24"}]})
            self.networks[body["Name"]] = {**body, "IPAM": ipam}
            return 201, {"Id": self._id()}
        if name not in self.networks:
            return 404, {"message": "network not found"}
        return 200, self.networks.pop(name) if method == "DELETE" else self.networks[name]

    def _id(self) -> str:
        self._count += 1
        return f"id{self._count:023d}"

    # -- stacks -------------------------------------------------------------------------------------------------------
    def _deploy(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        document = json.loads(input)
        self.documents.append(document)
        for name, entry in document["services"].items():
            self.put(words[-1], name, entry)
        return None

    def _remove_stack(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        self.services.clear()
        self.tasks.clear()

    def put(self, stack: str, name: str, entry: dict[str, Any]) -> None:
        """Do with a service what its fate is."""
        template = {"ContainerSpec": {"Image": entry["image"]}, "ForceUpdate": 0}
        replicas = entry["deploy"].get("replicas", 1)
        modes = {"replicated": {"Replicated": {"Replicas": replicas}}, "global": {"Global": {}}}
        modes["replicated-job"] = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
        spec = {"Name": f"{stack}_{name}", "Labels": entry["deploy"].get("labels", {}), "TaskTemplate": template}
        spec["Mode"] = modes[entry["deploy"].get("mode", "replicated")]
        found = next((each for each in self.services if each["Spec"]["Name"] == spec["Name"]), None)
        fate = self.fate.get(name, "runs")
        if found is None:
            found = {"ID": self._id(), "Version": {"Index": 1}, "Spec": spec}
            found["ServiceStatus"] = {"DesiredTasks": 3}
            self.services.append(found)
        elif fate not in ("rolled back", "ended"):
            found.update(PreviousSpec=found["Spec"], Spec=spec)
        words = {"rolled back": "rollback_completed", "ended": "rollback_completed", "paused": "paused"}
        found["UpdateStatus"] = {"State": words[fate], "Message": "update paused"} if fate in words else {}
        self._start(found, fate)

    def _start(self, service: dict[str, Any], fate: str) -> None:
        if fate in ("rolled back", "paused"):
            self._task(service, 1, "failed", "shutdown", "task: non-zero exit (1): dockerexec: unhealthy container")
            return
        if fate == "ended":
            self._task(service, 1, "complete", "shutdown")
            return
        self.tasks = [task for task in self.tasks if task["ServiceID"] != service["ID"]]
        mode = service["Spec"]["Mode"]
        count = 3 if "Global" in mode else mode.get("Replicated", {}).get("Replicas", 1)
        for slot in range(1, count + 1):
            if "ReplicatedJob" in mode:
                self._task(service, slot, "complete", "complete")
            elif fate == "rejected":
                self._task(service, slot, "rejected", "shutdown", "No such image: app:1")
                self._task(service, slot, "rejected", "shutdown", "No such image: app:1")
            elif fate == "pending":
                self._task(service, slot, "pending", "running", "no suitable node (constraints not satisfied)")
            else:
                self._task(service, slot, "running", "running")

    def _task(self, service: dict[str, Any], slot: int, state: str, wanted: str, error: str = "") -> None:
        self.host.clock += 1
        at = f"2026-11-23T02:00:{self.host.clock:09.3f}Z"
        status = {"State": state, "Err": error, "Timestamp": at}
        task = {"ID": self._id(), "ServiceID": service["ID"], "Slot": slot}
        task["NodeID"] = "" if state == "pending" else WORKER
        self.tasks.append({**task, "Status": status, "DesiredState": wanted, "Spec": service["Spec"]["TaskTemplate"]})
