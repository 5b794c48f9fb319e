"""A controller that is killed while it deploys: whatever was half done, the next run finishes it, restarts included."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess

import pytest

from tests.lab.call import Call
from tests.lab.cluster import LIVEKIT, SINGLE, Orchestr, caddy_configuration, wait_until
from tests.lab.conftest import ssh

NODES = ["lab1", "lab2", "lab5"]
pytestmark = pytest.mark.usefixtures("real_livekit")
KILLS_OF_A_FIRST_RUN = 8
KILLS_OF_A_CHANGE = 12
#: What a run left behind shows in: unfinished files, of ours and of Docker's, agents (a loader that reads fd 0), and
#: programs that agents start. Nobody else starts these on the nodes; dockerd and its own helpers are not among them.
LEFTOVERS = "find / -xdev -name '.orchestr-*' -not -path '/var/lib/docker/*' -not -path '/proc/*' 2>/dev/null || true"
PROGRAMS = r"os\.read\(0|docker (compose|load|pull|image|inspect)|docker-compose|apt-get|dpkg|systemd-run|(^|/)tar "
AGENTS = f"pgrep -af '{PROGRAMS}' | grep -v pgrep || true"


@pytest.fixture(scope="module")
def orchestr(tmp_path_factory: pytest.TempPathFactory, bare: list[str]) -> Orchestr:
    return Orchestr(tmp_path_factory.mktemp("state"))


def start(orchestr: Orchestr, *words: str) -> subprocess.Popen[str]:
    """Start a run and return once it has connected."""
    record = orchestr.state / "killed.jsonl"
    record.unlink(missing_ok=True)
    words = (*words, "--events", str(record))
    run = orchestr.start("run", SINGLE, *words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: record.exists() and "HostConnected" in record.read_text(), "the run does not begin")
    return run


def kill(run: subprocess.Popen[str]) -> None:
    """Kill a controller and assert that nothing of its run stays on the hosts."""
    run.kill()
    run.wait()
    wait_until(lambda: not found(AGENTS), "an agent, or what it started, outlives its controller by 10 s", 10)
    assert found(LEFTOVERS) == []


def found(command: str) -> list[str]:
    """Return what a command printed, from all nodes together."""
    return [line for node in NODES for line in ssh(node, command).splitlines()]


def assert_converged(orchestr: Orchestr, *words: str) -> None:
    """Assert that a plan finds nothing to do, and that LiveKit was started with what its file says now."""
    plan = orchestr("plan", SINGLE, *words)
    assert (plan.exit, plan.changes) == (0, []), plan.output
    inside = ssh("lab2", f"docker exec {LIVEKIT} cat /etc/livekit/livekit.yaml")
    assert inside == ssh("lab2", "cat /opt/livekit/livekit.yaml")  # the mount keeps the file there was at the start


def test_a_first_run_killed_again_and_again(orchestr: Orchestr) -> None:
    """From bare machines, killed at random moments until it is through: the last run finds its way from anywhere."""
    for _ in range(KILLS_OF_A_FIRST_RUN):
        run = start(orchestr)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(random.uniform(0, 8))
        kill(run)
    orchestr.succeed("run", SINGLE)
    assert_converged(orchestr)


def test_a_change_killed_at_any_moment(orchestr: Orchestr) -> None:
    """Killed between the writing of a configuration and the restart it needs, or the reload: the next run does it."""
    orchestr.succeed("run", SINGLE)
    for number in range(KILLS_OF_A_CHANGE):
        timeout_s, delay_s = 1000 + number, 2000 + number
        changed = ("-e", f"livekit_empty_timeout_s={timeout_s} caddy_stream_close_delay_s={delay_s}")
        run = start(orchestr, *changed)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(random.uniform(0, 2.5))
        kill(run)
        orchestr.succeed("run", SINGLE, *changed)
        assert_converged(orchestr, *changed)
        assert f"empty_timeout: {timeout_s}\n" in ssh("lab2", f"docker exec {LIVEKIT} cat /etc/livekit/livekit.yaml")
        assert f'"stream_close_delay": {delay_s}000000000' in json.dumps(caddy_configuration())


def test_killed_while_it_waits_for_a_call_to_end(orchestr: Orchestr) -> None:
    """The file is new, the old container drains: nobody is cut off by the kill, and the next run restarts it."""
    orchestr.succeed("run", SINGLE)
    changed = ("-e", "livekit_empty_timeout_s=777")
    with Call() as call:
        run = start(orchestr, *changed)
        draining = f"docker logs {LIVEKIT} 2>&1 | grep -c 'waiting for participants' || true"
        wait_until(lambda: int(ssh("lab2", draining)) > 0, "the node does not drain")
        kill(run)
        plan = orchestr("plan", SINGLE, *changed)
        assert (plan.exit, plan.changes) == (3, [("lab2", "compose_project", "livekit")])
        heard = call.is_heard_again()
        assert (heard.longest_gap_s < 1, heard.ended) == (True, []), heard
    orchestr.succeed("run", SINGLE, *changed)
    assert_converged(orchestr, *changed)
    assert "empty_timeout: 777\n" in ssh("lab2", f"docker exec {LIVEKIT} cat /etc/livekit/livekit.yaml")
