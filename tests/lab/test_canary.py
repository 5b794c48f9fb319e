"""Secrets of the inventory, looked for everywhere: each is in the files it belongs in, and nowhere else.

Where they belong: Redis' password in redis.conf and in livekit.yaml; LiveKit's secret in livekit.yaml and in the file
the application reads; a secret in the application's environment in its .env, and from there in what Docker itself
keeps of the container and in the environment of the container's own processes, which is what an environment is.
Nothing is kept of a file that is replaced. sudo's password is nowhere.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.cluster import SINGLE, WEBAPP, Orchestr, container
from tests.lab.conftest import ADDRESSES, LAB, ROOT, ssh

NODES = ["lab1", "lab2"]
REDIS_CONF, LIVEKIT_YAML = "/opt/redis/redis.conf", "/opt/livekit/livekit.yaml"
SECRET_FILE, ENVIRONMENT = "/opt/webapp/secrets/livekit_api_secret", "/opt/webapp/.env"
DOCKERS = (
    "/run/containerd/io.containerd.runtime.v2.task/moby/ID/config.json",
    "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db",
    "/var/lib/docker/containers/ID/config.v2.json",
)

#: Looks at all processes again and again until its input ends; the first line of it has what to look for.
SAMPLER = r"""
import json, os, sys, threading, time
needles = [needle.encode() for needle in json.loads(sys.stdin.readline())]
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
seen, rounds, own = set(), 0, os.getpid()
print("ready", flush=True)
while not ended.is_set():
    rounds += 1
    for pid in os.listdir("/proc"):
        for kind in ("cmdline", "environ") if pid.isdigit() and int(pid) != own else ():
            try:
                data = open("/proc/%s/%s" % (pid, kind), "rb").read()
                for needle in needles:
                    if needle in data:
                        words = open("/proc/%s/cmdline" % pid, "rb").read().replace(b"\0", b" ").decode()
                        cgroup = open("/proc/%s/cgroup" % pid).read().split("\n")[0]
                        seen.add((kind, needle.decode(), words[:200], cgroup))
            except OSError:
                pass
    time.sleep(0.001)
print(json.dumps({"rounds": rounds, "seen": sorted(seen)}))
"""


@dataclass(frozen=True)
class Canaries:
    """Words that occur nowhere else. The secrets are longer where they may be, by what every format has to quote."""

    redis: str = field(default_factory=lambda: f"canary-redis-{secrets.token_hex(8)}")
    livekit: str = field(default_factory=lambda: f"canary-livekit-{secrets.token_hex(16)}")
    environment: str = field(default_factory=lambda: f"canary-environment-{secrets.token_hex(8)}")
    sudo: str = field(default_factory=lambda: f"canary-sudo-{secrets.token_hex(8)}")

    @property
    def words(self) -> list[str]:
        return [self.redis, self.livekit, self.environment, self.sudo]

    @property
    def homes(self) -> dict[str, set[tuple[str, str]]]:
        """Node → (word, file) of all files they belong in, but for Docker's own."""
        return {
            "lab1": {(self.livekit, SECRET_FILE), (self.environment, ENVIRONMENT)},
            "lab2": {(self.redis, REDIS_CONF), (self.redis, LIVEKIT_YAML), (self.livekit, LIVEKIT_YAML)},
        }


class Deployment:
    """The cluster with canaries for secrets; every text that a run gave out is in ``said``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.orchestr = Orchestr(root / "state")
        self.canaries = Canaries()
        self.said: list[str] = []
        self.seen: dict[str, Any] = {}

    def inventory(self, **webapp: Any) -> Path:
        """Write the inventory, with secrets as plain text and out of a file; ``webapp`` are more of its parameters."""
        found = yaml.safe_load(SINGLE.read_text())["all"]
        del found["hosts"]["lab5"]
        common, groups = found["vars"], found["children"]
        common["ansible_user"] = "operator"
        common["ansible_become_password"] = self.canaries.sudo
        common["ansible_ssh_private_key_file"] = str(LAB / "id_ed25519")
        common["ansible_ssh_common_args"] = f"-o UserKnownHostsFile={LAB / 'known_hosts'}"
        common["orchestr_playbook"] = str(ROOT / "playbooks/livekit.yml")
        common["livekit_api_secret"] = self.canaries.livekit + '"\\$x'
        groups["redis"]["vars"]["redis_password"] = self.canaries.redis
        groups["webapp"]["vars"].update(webapp)
        groups["webapp"]["vars"]["webapp_env"]["TOKEN"] = "TAKE FILE"
        (self.root / "token").write_text(self.canaries.environment + "'\"$x #")
        path = self.root / "canary.yml"
        path.write_text(json.dumps({"all": found}).replace('"TAKE FILE"', f'!file "{self.root / "token"}"'))
        return path

    def run(self, verb: str, *words: str, **webapp: Any) -> int:
        """Run a command as loudly as it gets, for people and recording all events; return its exit code."""
        record = self.root / f"events-{len(self.said)}.jsonl"
        loud = ("-vvv", *words, "--events", str(record))
        inventory = self.inventory(**webapp)
        with self.orchestr.start(verb, inventory, *loud, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            output, _ = process.communicate(timeout=240)
        self.said += [output, record.read_text()]
        return process.returncode

    def given_out(self) -> Iterator[tuple[str, str]]:
        """Yield (where, text) of everything orchestr wrote on this machine: output, events, journal, fault reports."""
        for number, text in enumerate(self.said):
            yield f"output {number}", text
        for path in self.orchestr.state.rglob("*"):
            if path.is_file():
                yield str(path), path.read_text(errors="replace")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, bare: list[str]) -> Deployment:
    found = Deployment(tmp_path_factory.mktemp("canary"))
    for node in NODES:
        ssh(node, "chpasswd", input=f"operator:{found.canaries.sudo}\n")
    with watched(found.canaries.words) as found.seen:
        assert found.run("run") == 0, found.said[-2][-4000:]
        assert found.run("verify") == 0, found.said[-2][-4000:]
    return found


@contextmanager
def watched(words: list[str]) -> Iterator[dict[str, Any]]:
    """Watch every process of the nodes meanwhile; node → how often one looked, and what was seen."""
    watchers = {}
    for node in NODES:
        command = ["ssh", "-i", str(LAB / "id_ed25519"), "-o", f"UserKnownHostsFile={LAB / 'known_hosts'}"]
        program = f"exec 3<<'END'\n{SAMPLER}\nEND\nexec python3 /dev/fd/3"
        command += ["-o", "BatchMode=yes", f"root@{ADDRESSES[node]}", "--", program]
        watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert watcher.stdin and watcher.stdout
        watcher.stdin.write(json.dumps(words) + "\n")
        watcher.stdin.flush()
        assert watcher.stdout.readline() == "ready\n"
        watchers[node] = watcher
    report: dict[str, Any] = {}
    try:
        yield report
    finally:
        for node, watcher in watchers.items():
            report[node] = json.loads(watcher.communicate(timeout=30)[0])


def places(node: str, words: list[str]) -> set[tuple[str, str]]:
    """Return (word, file) of all files of a node that hold one, and of the system's log."""
    search = "grep -rohaHF -D skip -f - --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev / 2>/dev/null | sort -u"
    lines = ssh(node, search, input="\n".join(words) + "\n", check=False).splitlines()
    found = {(word, _general(path)) for path, _, word in (line.rpartition(":") for line in lines)}
    log = ssh(node, "journalctl --no-pager --all --output=verbose")
    return found | {(word, "journalctl") for word in words if word in log}


def _general(path: str) -> str:
    """Return a path without what changes from one container or run to the next."""
    path = re.sub(r"[0-9a-f]{64}", "ID", path)
    return re.sub(r"\d{8}-\d{6}-[0-9a-f]+", "RUN", path)


def assert_silent(deployment: Deployment, *canaries: Canaries) -> None:
    """Assert that nothing orchestr wrote on this machine has one of the words."""
    words = [word for each in canaries for word in each.words]
    told = [(where, word) for where, text in deployment.given_out() for word in words if word in text]
    assert told == []


def test_no_process_shows_a_secret(deployment: Deployment) -> None:
    """While a run and a verify go on, no process has a secret in its arguments or environment, but the container's."""
    webapp = container("lab1", WEBAPP).id
    strange = [(node, *seen) for node, report in deployment.seen.items() for seen in report["seen"]]
    own = [seen for seen in strange if seen[1:3] == ("environ", deployment.canaries.environment) and webapp in seen[4]]
    assert own, "the watcher does not even see the environment of the application"
    assert [seen for seen in strange if seen not in own] == []
    assert all(report["rounds"] > 100 for report in deployment.seen.values())


def test_secrets_are_in_their_files_and_in_no_other(deployment: Deployment) -> None:
    """On the hosts each secret is in exactly the files it belongs in, sudo's password in none."""
    for node, homes in deployment.canaries.homes.items():
        found = places(node, deployment.canaries.words)
        docker = {(deployment.canaries.environment, path) for path in DOCKERS}
        assert found - docker == homes


def test_no_output_has_a_secret(deployment: Deployment) -> None:
    """What a run and a verify said at -vvv, their events and their journal have no secret."""
    assert "requirepass ‹secret›" in deployment.said[1]
    assert_silent(deployment, deployment.canaries)


def test_rotated_secrets_do_not_show_in_diffs(deployment: Deployment) -> None:
    """New secrets for old ones: neither is in the diffs of plan and run, and the old ones are gone."""
    old = deployment.canaries
    deployment.canaries = new = replace(Canaries(), sudo=old.sudo)
    assert deployment.run("plan") == 3
    assert deployment.run("run", "--diff") == 0, deployment.said[-2][-4000:]
    assert_silent(deployment, old, new)
    for node, homes in new.homes.items():
        docker = {(word, path) for word in (old.environment, new.environment) for path in DOCKERS}
        assert places(node, old.words + new.words) - docker == homes


def test_a_failure_tells_no_secret(deployment: Deployment) -> None:
    """An application that logs its secret and dies: its log is shown as the reason, without the secret."""
    command = ["sh", "-c", 'echo "dying with $TOKEN"; exit 1']
    assert deployment.run("run", webapp_command=command) == 1
    assert "dying with ‹secret›" in deployment.said[-2]
    assert_silent(deployment, deployment.canaries)
