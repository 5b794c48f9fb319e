"""What a run costs a real host, counted on its line: connections, channels, messages, turns and bytes, no seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

import orchestr
from orchestr.results import RunResult
from orchestr.transport.connect import connect
from tests.counting import Costs, CountingConnector
from tests.lab.conftest import ADDRESSES, LAB, ROOT, ssh
from tests.lab.counting_proxy import CountingProxy, Passed

NODE = "lab5"
NODES = [NODE]
TASKS = 40  # of benchmarks/project's role, all of them converged when it is counted

# Bounds: what was measured and a quarter. To the host go key exchange and login (3 kB), the agent's program (70 kB),
# the modules of the resources in use (60 to 100 kB, by whether they go compiled) and the forty tasks; from it come the
# login (2 kB), the facts, a few messages for all results. Lower them when a change makes a run cheaper; raise them only
# together with the reason why a run must cost more.
TO_HOST_BYTES = 240_000
FROM_HOST_BYTES = 9_000
PLAY_TO_HOST_BYTES = 12_000  # each further play: its forty tasks
PLAY_FROM_HOST_BYTES = 4_500  # most of it is slack for a slow host, whose results share fewer messages
WIRE_TURNS = 14  # changes of the line's direction: six until the login is over, then ours and sshd's window
PLAY_WIRE_TURNS = 3

BASE_BYTES, TOP_BYTES = 20_000_000, 500_000
ROLE = '''
"""An image of this machine's engine, sent."""
from orchestr.images.archive import open_image
from orchestr.planning.role import Params as Base

class Params(Base):
    image: str

def deploy(host, params):
    source = open_image(params.image)
    source.register(host.blobs)
    yield source.resource()
'''


class Line:
    """Runs on the node through the proxy; each leaves what it cost."""

    def __init__(self, proxy: CountingProxy, directory: Path) -> None:
        self._proxy = proxy
        self._directory = directory
        self._known_hosts = directory / "known_hosts"
        self._known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {_host_key()}\n")
        self.channels: list[str] = []
        self.costs = Costs()

    @property
    def passed(self) -> Passed:
        return self._proxy.passed

    def run(self, project: Path, plays: int = 1, **variables: str) -> RunResult:
        """Run a project's only role in as many plays and count it."""
        role = next((project / "roles").iterdir()).name
        common = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(LAB / "id_ed25519"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self._known_hosts}",
            **variables,
        }
        hosts = {NODE: {"ansible_host": "127.0.0.1", "ansible_port": self._proxy.port}}
        (project / "inventory.yml").write_text(json.dumps({"all": {"vars": common, "hosts": hosts}}))
        (project / "plays.yml").write_text(f"- {{hosts: all, roles: [{role}]}}\n" * plays)
        inventory = orchestr.load_inventory(project / "inventory.yml")
        counting = CountingConnector(connect)
        self._proxy.begin()
        self.channels.clear()
        result = orchestr.run(inventory, playbook=project / "plays.yml", connector=counting)
        self.costs = counting.costs["127.0.0.1"]
        return result


def _host_key() -> str:
    for line in (LAB / "known_hosts").read_text().splitlines():
        names, _, key = line.partition(" ")
        if ADDRESSES[NODE] in names.split(","):
            return key
    raise AssertionError(f"{LAB / 'known_hosts'} has no key of {NODE}")


@pytest.fixture
def line(bare: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    with CountingProxy(ADDRESSES[NODE]).serving() as proxy:
        line = Line(proxy, tmp_path)
        open_channel = paramiko.Transport.open_channel

        def noted(transport: paramiko.Transport, kind: str, *details: object, **options: object) -> object:
            line.channels.append(kind)
            return open_channel(transport, kind, *details, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(paramiko.Transport, "open_channel", noted)
        yield line


@pytest.fixture
def bench(line: Line, tmp_path: Path) -> Path:
    """The benchmark's project, converged on the node with its firewall on, as the benchmark measures it."""
    project = tmp_path / "bench"
    shutil.copytree(ROOT / "benchmarks/project", project, ignore=shutil.ignore_patterns("inventories", "__pycache__"))
    ssh(NODE, "ufw allow 22/tcp && ufw --force enable")
    result = line.run(project)
    assert result.exit_code == 0, result.hosts[NODE].errors
    return project


def counted(line: Line, project: Path, plays: int) -> Passed:
    """Run plays of forty converged tasks and return what passed on the line."""
    (host,) = line.run(project, plays).hosts.values()
    assert (host.ok, host.changed, host.failed) == (TASKS * plays, 0, 0)
    return line.passed


@pytest.mark.parametrize("plays", [1, 3])
def test_a_converged_run_costs_one_of_everything(line: Line, bench: Path, plays: int) -> None:
    """One TCP connection, one SSH channel, one agent start; per play one request; results come back together."""
    passed, costs = counted(line, bench, plays), line.costs
    assert (passed.connections, line.channels, costs.agent_starts) == (1, ["session"], 1)
    assert costs.to_host == {"program": 1, "modules": 1, "tasks": plays, "stop": 1}
    # How many share a message depends on how fast the host is; none has one of its own for being ok.
    assert costs.from_host.pop("fine") + costs.from_host.pop("started", 0) <= 2 * TASKS * plays
    assert costs.from_host == {"hello": 1, "done": plays}


@pytest.mark.parametrize("plays", [1, 3])
def test_a_converged_run_is_three_round_trips_after_the_login(line: Line, bench: Path, plays: int) -> None:
    """The channel's opening, the agent's start and a play's results are waited for; each more play is one more."""
    passed = counted(line, bench, plays)
    assert len(line.channels) + line.costs.turns == 2 + plays
    assert passed.turns <= WIRE_TURNS + PLAY_WIRE_TURNS * (plays - 1)


@pytest.mark.parametrize("plays", [1, 3])
def test_a_converged_run_moves_few_bytes(line: Line, bench: Path, plays: int) -> None:
    """What passes on the line stays below what was measured and a quarter, for one play and for each more."""
    passed = counted(line, bench, plays)
    assert passed.to_host_bytes <= TO_HOST_BYTES + PLAY_TO_HOST_BYTES * (plays - 1)
    assert passed.from_host_bytes <= FROM_HOST_BYTES + PLAY_FROM_HOST_BYTES * (plays - 1)


# -- images -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def image(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an image of two layers, built here and gone afterwards on both machines."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"run-costs-{os.getpid()}:1"
    (tmp_path / "image").mkdir()
    (tmp_path / "image/base").write_bytes(os.urandom(BASE_BYTES))
    (tmp_path / "image/Dockerfile").write_text('FROM scratch\nCOPY base /base\nCOPY top /top\nCMD ["/none"]\n')
    build(tmp_path, name)
    yield name
    built = (tmp_path / "built").read_text().split()
    subprocess.run(["docker", "image", "rm", "--force", *built], check=True, capture_output=True)
    ssh(NODE, "docker", "image", "rm", "--force", *built)


def build(directory: Path, name: str) -> None:
    """Build the image with a new top layer, and note its id."""
    (directory / "image/top").write_bytes(os.urandom(TOP_BYTES))
    command = ["docker", "build", "--quiet", "--tag", name, str(directory / "image")]
    with (directory / "built").open("a") as built:
        subprocess.run(command, check=True, stdout=built)


def test_a_new_top_layer_is_all_that_is_sent(line: Line, image: str, tmp_path: Path) -> None:
    """An image's first push costs its bytes once, the next with a new top layer at most 5 % of them and a login."""
    project = tmp_path / "push"
    (project / "roles/push").mkdir(parents=True)
    (project / "roles/push/__init__.py").write_text(ROLE)
    size_bytes = BASE_BYTES + TOP_BYTES
    assert line.run(project, push_image=image).hosts[NODE].changed == 1
    assert size_bytes <= line.passed.to_host_bytes <= size_bytes * 1.01 + TO_HOST_BYTES
    build(tmp_path, image)
    assert line.run(project, push_image=image).hosts[NODE].changed == 1
    assert line.passed.to_host_bytes <= size_bytes * 0.05 + TO_HOST_BYTES
    assert line.run(project, push_image=image).hosts[NODE].ok == 1
    assert line.passed.to_host_bytes <= TO_HOST_BYTES
