"""A compromised host fails alone: its messages neither end the run, nor exhaust this machine, nor hide other hosts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

import orchestr
from orchestr.agent import wire
from orchestr.engine.messages import MOST_CONTAINERS, read_message
from orchestr.results import HostResult, RunResult
from orchestr.transport.memory import memory_connector
from tests.unit.engine.conftest import Project
from tests.unit.engine.hostile import HostileHost, Script, hello, message


def run_with(project: Project, hostile: HostileHost) -> RunResult:
    """Run the project with ``a`` hostile and the others honest."""
    honest = memory_connector(project.hosts)
    return project.run(connector=lambda settings: hostile if settings.address == "a" else honest(settings))


def refused(project: Project, script: Script) -> HostResult:
    """Return what the hostile host came to; the others are done as ever."""
    result = run_with(project, HostileHost(script))
    assert [result.hosts[name].changed for name in "bcd"] == [3, 3, 3]
    assert result.exit_code == 1
    return result.hosts["a"]


BAD: dict[str, Any] = {
    "a secret that is a number": {"type": "result", "verdict": "ok", "outcome": {"x": {"$s": 5}}},
    "an outcome that is a number": {"type": "result", "verdict": "ok", "outcome": 7},
    "an outcome with a resource in it": {
        "type": "result", "verdict": "ok", "outcome": {"x": {"$k": "command", "argv": ["true"]}},
    },
    "an unknown verdict": {"type": "result", "verdict": "exit_code"},
    "a verdict of another type": {"type": "result", "verdict": ["ok"]},
    "an error that is a text": {"type": "result", "verdict": "failed", "error": "x"},
    "an error with numbers": {"type": "result", "verdict": "failed", "error": {"message": 5}},
    "a time that never was": {"type": "result", "verdict": "ok", "elapsed_s": float("nan")},
    "a number that is no float": {"type": "result", "verdict": "ok", "elapsed_s": 10**400},
    "an unknown field": {"type": "result", "verdict": "ok", "host": "b"},
    "an unknown type": {"type": "confirm", "reached": True},
    "a second hello": {"type": "hello", "protocol": 1, "facts": {"time": 1}},
    "output that is no text": {"type": "output", "text": {"a": 1}},
    "a result without a verdict": {"type": "result"},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_no_agent_sends_is_refused(project: Project, name: str) -> None:
    """It is the failure of that host, said as such."""

    def script(tasks: list[str]) -> Iterator[bytes]:
        fields = {"task": tasks[0], **BAD[name]} if BAD[name]["type"] in ("result", "output") else BAD[name]
        yield message(fields.pop("type"), **fields) if "type" in fields else b""

    host = refused(project, script)
    assert host.errors[0]["message"].startswith("the agent's output broke: ")


def test_messages_about_tasks_that_do_not_run(project: Project) -> None:
    """One result per task: a host cannot fill the record of the run."""

    def again(tasks: list[str]) -> Iterator[bytes]:
        for _ in range(2):
            yield message("result", task=tasks[0], verdict="ok")

    assert "second result" in refused(project, again).errors[0]["message"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (message("offer", transfer=1, size_bytes=5), "no task asked for"),
        (message("fine", first=0, elapsed_s=[0.0] * 9), "more tasks than were sent"),
        (message("fine", first=-1, elapsed_s=[0.0]), "more tasks than were sent"),
        (message("result", task="nowhere", verdict="ok"), "was not sent"),
        (message("output", task="nowhere", text="x"), "does not run"),
        (message("reachable", window_s=1e12), "a window of"),
        (message("need", digest="x", transfer=-1), "impossible number"),
        (wire.frame(b"B", b"\0"), "no task asked for"),
        (wire.frame(b"J", b"[" * 100_000), "not a message"),
        (wire.frame(b"J", b'{"type":"result","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), "not a message"),
        (wire.frame(b"J", b"[" + b"[]," * MOST_CONTAINERS + b"[]]"), "too many values"),
    ],
)
def test_what_a_host_may_not_ask_or_say_now(project: Project, said: bytes, why: str) -> None:
    """The state of a session decides what may come next."""
    assert why in refused(project, lambda tasks: iter([said])).errors[0]["message"]


def test_content_of_another_host_is_not_given_away(project: Project) -> None:
    """A host gets the content its own tasks refer to; any other digest is answered as unknown."""
    (project.root / "image.bin").write_bytes(b"of b only")
    project.write(
        "roles/big/__init__.py",
        "from orchestr.resources.files import File\n\n"
        "def deploy(host, params):\n"
        "    blob = host.file('image.bin')\n"
        "    yield File('/opt/x', content=blob if host.name == 'b' else blob.sha256)\n",
    )
    project.write("playbooks/site.yml", "- {name: big, hosts: 'a:b', roles: [big]}\n")
    digest = hashlib.sha256(b"of b only").hexdigest()

    def script(tasks: list[str]) -> Iterator[bytes]:
        yield message("need", digest=digest, transfer=1)
        yield message("done")

    hostile = HostileHost(script)
    result = run_with(project, hostile)
    chunks = [payload for kind, payload in hostile.channels[0].heard if kind == b"B"]
    assert chunks == [b"\0\0\0\1"]  # the transfer's number and no content
    assert result.hosts["b"].changed == 1


@pytest.mark.parametrize(
    "first",
    [
        message("beat") + hello(),
        message("result", task="x", verdict="ok"),
        hello(facts={}),
        hello(facts={"time": "now"}),
        hello(facts={"time": 1.0, "disk_free_bytes": "much"}),
        hello(facts={"time": 1.0, "hostname": {"$s": "x"}}),
        wire.frame(b"B", b"\0\0\0\1x"),
    ],
)
def test_a_first_message_that_is_no_hello(project: Project, first: bytes) -> None:
    """Nothing comes before the hello, and its facts have the types that later plays count on."""
    result = run_with(project, HostileHost(first=first))
    assert result.hosts["a"].errors[0]["message"].startswith("the agent's output broke: ")
    assert [result.hosts[name].changed for name in "bcd"] == [3, 3, 3]


@pytest.mark.parametrize("outcome", [{}, {"exit": "0"}, {"exit": True}, {"exit": 0, "stdout": 5, "stderr": ["x"]}])
def test_exec_believes_only_an_exit_status(project: Project, outcome: dict[str, Any]) -> None:
    """A command of which the host does not say how it ended has not ended well; the other hosts' are told."""
    inventory = orchestr.load_inventory(project.root / "inventories/all.yml")

    def script(tasks: list[str]) -> Iterator[bytes]:
        yield message("result", task=tasks[0], verdict="ok", outcome=outcome)
        yield message("done")

    hostile = HostileHost(script)
    result = orchestr.execute(inventory, "a", ["true"], connector=lambda settings: hostile)
    host = result.hosts["a"]
    assert (host.failed, host.stdout, host.stderr) == (int(type(outcome.get("exit")) is not int), "", "")
    json.dumps(result.to_json())


def test_honest_messages_pass() -> None:
    """The largest honest outcome is far below the limits."""
    text = '{"x": [1, 2]}, ' * (4 * 1024 * 1024 // 15)
    payload = json.dumps({"type": "result", "task": "t", "verdict": "ok", "outcome": {"stdout": text}}).encode()
    assert read_message(payload)["outcome"]["stdout"] == text
