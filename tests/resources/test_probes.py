"""Gates: wait until something answers, say what was last seen when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.resources.probes import HttpAnswer, TcpAnswer
from orchestr.transport.memory import MemoryHost, MemorySystem

URL = "http://127.0.0.1:7880/"


class LaterSystem(MemorySystem):
    """A host on which something comes up at a moment of its clock."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.host.clock >= 1005:
            self.host.ports.add(("127.0.0.1", 80))
            self.host.http[URL] = (200, b"all is well")


def run(system: MemorySystem, resource: Resource, check: bool = False, **policy: Any) -> dict[str, Any]:
    return converge(Task(resource, **policy), system, check, False)


@pytest.mark.parametrize("gate", [TcpAnswer(port=80), HttpAnswer(URL, contains="well")])
def test_a_gate_waits_and_is_never_a_change(gate: Resource) -> None:
    """It passes when the thing comes up after five seconds of the host's clock, without having written anything."""
    host = MemoryHost()
    system = LaterSystem(host, read_only=True)
    assert run(system, gate)["verdict"] == "ok" and 1005 <= host.clock < 1006
    assert run(system, gate)["verdict"] == "ok" and host.clock < 1006


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (TcpAnswer("10.0.0.9", 7, timeout_s=3), "10.0.0.9:7: no connection after 3 s"),
        (TcpAnswer("::1", 7, timeout_s=3), "[::1]:7: no connection after 3 s"),
        (HttpAnswer("http://x/", timeout_s=3), "http://x/: no answer (Connection refused) after 3 s"),
        (HttpAnswer(URL, 204, timeout_s=3), f"{URL}: status 503 instead of 204 after 3 s"),
        (HttpAnswer(URL, 503, "well", timeout_s=3), f"{URL}: an answer without 'well' after 3 s"),
    ],
)
def test_a_gate_that_stays_shut_says_what_it_saw(gate: Resource, message: str) -> None:
    """When its time is over the error has the last answer, and no more time has passed than allowed."""
    host = MemoryHost(http={URL: (503, b"starting")})
    result = run(MemorySystem(host, read_only=True), gate)
    assert (result["verdict"], result["error"]["message"]) == ("failed", message)
    assert host.clock == pytest.approx(1003)


def test_a_plan_does_not_wait() -> None:
    """In check mode a shut gate is skipped at once."""
    host = MemoryHost()
    assert run(MemorySystem(host, read_only=True), TcpAnswer(port=80), check=True)["verdict"] == "skipped"
    assert host.clock == 1000


def test_the_tasks_own_time_out_counts_too() -> None:
    """A task that may take two seconds does not wait for sixty."""
    host = MemoryHost()
    result = run(MemorySystem(host), TcpAnswer(port=80), timeout_s=2)
    assert result["error"]["message"] == "127.0.0.1:80: no connection after 2 s"
    assert host.clock == pytest.approx(1002)


def test_a_task_is_held_by_its_gate() -> None:
    """`until` of a task is such a gate: the task fails when it stays shut after the change."""
    from orchestr.resources.files import File

    host = MemoryHost()
    result = run(MemorySystem(host), File("/etc/x", "x"), until=TcpAnswer(port=80, timeout_s=1))
    assert result["verdict"] == "failed" and "no connection" in result["error"]["message"] and result["diff"]
