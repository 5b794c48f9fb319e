"""What an agent must bear: output of any size and kind, results too large to send, a line that takes nothing."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import process, wire
from orchestr.agent.resource import Action, Task, registered
from orchestr.agent.serve import Agent
from orchestr.agent.system import CommandFailed, System
from orchestr.engine.session import Session, SessionOptions
from orchestr.errors import AgentError
from orchestr.inventory import ConnectionSettings
from orchestr.resources.commands import Command
from orchestr.secret import Secret
from orchestr.transport.local import LocalConnection
from tests.waiting import HANG_S

LOCAL = ConnectionSettings(address="localhost", connection="local")
CANARY = "canary-in-two-halves"
KEY = "-----BEGIN KEY-----\nMIIcanaryFirst\nMIIcanarySecond\n-----END KEY-----\n"


@dataclass(frozen=True)
@registered("test_saying")
class Saying(Action):
    """Say something when done: an outcome, or the failure of a command that printed it."""

    outcome_text: str = ""
    times: int = 1
    stderr: str = ""
    hides: Secret | None = None

    @property
    def label(self) -> str:
        return "saying"

    def is_done(self, reader: Any) -> bool:
        return bool(self.outcome_text)

    def perform(self, system: Any) -> None:
        from orchestr.agent.system import Completed

        raise CommandFailed(Completed(("say",), 1, "", self.stderr))

    def outcome(self, reader: Any) -> dict[str, Any]:
        return {"text": self.outcome_text * self.times}


@pytest.fixture
def messages() -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Run tasks on this machine through a real agent; give all messages that came back."""
    session = Session("here", LOCAL, lambda settings: LocalConnection(), SessionOptions("run"))
    session.open()

    def run(*tasks: Task) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        session.run_tasks(tasks, check=False, on_message=found.append)
        return found

    yield run
    session.close()


def shell(text: str, **options: Any) -> Task:
    return Task(Command(("sh", "-c", text), **options), id="t")


def output(found: list[dict[str, Any]]) -> str:
    return "".join(message["text"] for message in found if message["type"] == "output")


def test_a_secret_printed_in_two_halves_is_hidden(messages: Any) -> None:
    """A command's output arrives in pieces; a secret that is cut by one is hidden all the same."""
    found = messages(shell("read s; printf %s ${s%halves}; sleep 0.3; echo halves", input=Secret(CANARY)))
    assert output(found) == "‹secret›\n"


def test_a_character_printed_in_two_halves_is_whole(messages: Any) -> None:
    """The bytes of one character may arrive apart."""
    assert output(messages(shell(r"printf '\303'; sleep 0.3; printf '\251\n'"))) == "é\n"


def test_bytes_that_are_no_text_do_no_harm(messages: Any) -> None:
    """Output in no known encoding is shown as well as can be, and the result arrives."""
    found = messages(shell(r"printf 'a\377\376b\n'"))
    assert output(found) == "a\ufffd\ufffdb\n"
    assert [message["verdict"] for message in found if message["type"] == "result"] == ["changed"]


def test_a_key_is_hidden_line_by_line(messages: Any) -> None:
    """A secret of several lines is not shown by what prints its lines apart."""
    said = output(messages(shell("sed 's/^/> /'", input=Secret(KEY))))
    assert "canary" not in said
    assert said.count("‹secret›") == 4


@pytest.mark.parametrize("encode", ["base64", "od -An -vtx1 | tr -d ' \\n'", 'sed \'s/.*/{"x": "&"}/\''])
def test_an_encoded_secret_is_hidden(messages: Any, encode: str) -> None:
    """What a command prints of a secret in base64 or hexadecimal is no more readable than the secret itself."""
    said = output(messages(shell(f"(printf user:; cat) | {encode}", input=Secret(CANARY))))
    assert "‹secret›" in said
    for known in (CANARY, base64.b64encode(b"user:" + CANARY.encode()).decode()[8:-4], CANARY.encode().hex()):
        assert known not in said


def test_a_secret_at_the_end_of_what_is_kept_is_hidden(messages: Any) -> None:
    """Output beyond the limit is dropped; half a secret just before it is redacted."""
    script = "read s; head -c 4194290 /dev/zero | tr '\\0' y >&2; echo $s >&2; exit 3"
    (result,) = [message for message in messages(shell(script, input=Secret(CANARY))) if "verdict" in message]
    assert "canary" not in result["error"]["stderr"]
    assert result["error"]["stderr"].endswith("‹secret›…")


def test_the_tail_of_an_error_does_not_begin_within_a_secret() -> None:
    """What a failed command said is cut after its secrets are hidden, not before."""
    for length in range(1980, 2001):
        text = CANARY + "x" * length
        (result,) = _results(Task(Saying(stderr=text, hides=Secret(CANARY)), id="t"))
        assert "halves" not in json.dumps(result)
        assert len(result["error"]["stderr"]) <= 2000


def test_fifty_megabytes_of_output(messages: Any) -> None:
    """A command may print without end: it is passed on, and what is kept of it is bounded."""
    size = 0

    def count(message: dict[str, Any]) -> None:
        nonlocal size
        size += len(message.get("text", ""))

    session = Session("here", LOCAL, lambda settings: LocalConnection(), SessionOptions("run"))
    session.open()
    results: list[dict[str, Any]] = []
    task = shell("head -c 50000000 /dev/zero | tr '\\0' 'y'")
    session.run_tasks([task], check=False, on_message=lambda m: results.append(m) if "verdict" in m else count(m))
    session.close()
    assert size == 50_000_000
    assert len(results[0]["outcome"]["stdout"]) == 4 * 1024 * 1024


def test_an_outcome_too_large_to_send_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task keeps its verdict, the tasks after it are done, and the agent lives on."""
    monkeypatch.setattr(wire, "MESSAGE_LIMIT", 100_000)
    large, after = Task(Saying(outcome_text="x", times=200_000), id="1"), Task(Saying(outcome_text="small"), id="2")
    first, second = _results(large, after)
    assert (first["verdict"], "outcome" in first, "100000" in first["reason"]) == ("ok", False, True)
    assert second["outcome"] == {"text": "small"}


def test_tasks_too_large_to_send_are_refused_in_words(messages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into one message names its size and the way that has no limit."""
    monkeypatch.setattr(wire, "MESSAGE_LIMIT", 100_000)
    with pytest.raises(AgentError, match="over the limit of 100000") as caught:
        messages(Task(Command(("true", "x" * 200_000)), id="t"))
    assert "host.file" in caught.value.next_step


def test_an_agent_that_could_not_read_is_quoted(messages: Any) -> None:
    """When resources cannot be loaded on the host, that is the error, and not the pipe that broke because of it."""
    with pytest.raises(AgentError, match="could not read a request: No module named"):
        messages(*(Task(Saying(outcome_text="x" * 1000), id=str(number)) for number in range(5000)))


def test_names_that_are_no_text_travel() -> None:
    """A file name may hold bytes that are no UTF-8; as Python holds them they go over the wire and back."""
    name = os.fsdecode(b"caf\xe9")
    decoder = wire.Decoder()
    decoder.feed(wire.encode({"type": "result", "diff": name}))
    frame = decoder.next_frame()
    assert frame is not None
    assert wire.decode(frame[1])["diff"] == name


def test_a_controller_is_missed_while_the_line_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose output nobody reads any more still notices that its controller is gone."""
    monkeypatch.setattr(wire, "LOST_S", 0.4)
    lost, never = threading.Event(), threading.Event()
    is_greeted = threading.Event()

    def write(data: bytes) -> None:
        if is_greeted.is_set():
            never.wait(HANG_S)
        is_greeted.set()

    requests = [wire.encode({"type": "tasks", "tasks": [Task(Saying(outcome_text="x"), id="1")]})]

    def read(size: int) -> bytes:
        if requests:
            return requests.pop()
        never.wait(HANG_S)
        return b""

    agent = Agent(read, write, {"run": "r"}, gather_facts=dict, on_lost=lost.set)
    threading.Thread(target=agent.serve, daemon=True).start()
    assert lost.wait(HANG_S)
    agent.line.end()
    never.set()


def test_no_command_is_started_by_an_agent_that_is_ending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who sees its command killed goes on to the next one, which must not outlive the agent."""
    monkeypatch.setattr(process, "_is_ending", False)
    process.start_no_more()
    with pytest.raises(OSError, match="ending"):
        System().run(["touch", str(tmp_path / "started")])
    assert list(tmp_path.iterdir()) == []


def test_five_thousand_tasks(messages: Any) -> None:
    """A list of thousands of tasks is one request like any other."""
    found = messages(*(Task(Command(("true", str(number)), creates="/"), id=str(number)) for number in range(5000)))
    assert [message["task"] for message in found if message["type"] == "result"] == [str(n) for n in range(5000)]


def _results(*tasks: Task) -> list[dict[str, Any]]:
    """Run tasks through an agent in this process; give their results as they would arrive."""
    sent: list[bytes] = []
    requests = [wire.encode({"type": "stop"}), wire.encode({"type": "tasks", "tasks": list(tasks)})]
    options: dict[str, Any] = {"gather_facts": dict, "on_lost": lambda: None}
    Agent(lambda size: requests.pop() if requests else b"", sent.append, {"run": "r"}, **options).serve()
    decoder = wire.Decoder()
    decoder.feed(b"".join(sent))
    frames = iter(decoder.next_frame, None)
    return [message for message in (wire.decode(payload) for _, payload in frames) if message["type"] == "result"]
