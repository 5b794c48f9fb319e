"""Frames and messages, both ways: any bytes are a message of the protocol, or a ProtocolError."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from orchestr.agent import wire
from orchestr.agent.line import Line
from orchestr.agent.resource import Task
from orchestr.agent.serve import Agent
from orchestr.engine.messages import read_message
from orchestr.resources.commands import Command
from orchestr.resources.files import Blob, File
from orchestr.secret import Secret
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.fuzz.effort import altered, fuzz, read_within_limits, to_bytes

FACTS = {"time": 1.5, "uid": 0, "addresses": ("10.0.0.1",), "hostname": "h"}
FROM_AGENTS: list[dict[str, Any]] = [
    {"type": "hello", "protocol": 1, "bytecode": "cb0d0d0a", "facts": FACTS},
    {"type": "locked", "holder": {"who": "ada", "run": "1"}},
    {"type": "fatal", "message": "gone"},
    {"type": "beat"},
    {"type": "started", "task": "a"},
    {"type": "output", "task": "a", "text": "line\n"},
    {
        "type": "result",
        "task": "a",
        "verdict": "failed",
        "error": {"message": "m", "stderr": "", "next_step": ""},
        "outcome": {"password": Secret("hunter22"), "data": b"\0\xff", "list": (1, 2.5, None)},
        "elapsed_s": 0.5,
    },
    {"type": "fine", "first": 0, "elapsed_s": (0.1, 0.2)},
    {"type": "need", "digest": "00" * 32, "transfer": 1},
    {"type": "got", "size_bytes": 5},
    {"type": "offered", "transfer": 1, "sha256": "ff", "size_bytes": 9},
    {"type": "reachable", "window_s": 5},
    {"type": "done", "request": "r"},
]
TASKS = (
    Task(File("/etc/a", content=Secret("hunter22", ["hunter22"]), mode=0o600), id="a", tags=("x",)),
    Task(Command(("true",), creates="/b"), id="b", timeout_s=1.5),
    Task(File("/c", content=Blob("00" * 32, 7)), id="c"),
)
TO_AGENTS: list[dict[str, Any]] = [
    {"type": "tasks", "tasks": TASKS, "check": True, "request": "r"},
    {"type": "modules", "imports": ("json",), "asked": ""},
    {"type": "confirm", "reached": True, "why": ""},
    {"type": "taken", "transfer": 1, "why": ""},
    {"type": "beat"},
]
WORDS = ["$s", "$b", "$p", "$k", '{"$s":', "[", "]", "{", "}", ",", ":", '"', "null", "1e999", "NaN", "-1", "\\ud800"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from(["$s", "$b", "$p", "$k", "a"])
KINDS = st.sampled_from(["file", "command", "task", "blob", "x"])
VALUES = st.recursive(
    SCALARS | st.fixed_dictionaries({"$k": KINDS}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def _texts(messages: list[dict[str, Any]]) -> list[str]:
    size = wire.HEADER.size
    return [wire.encode(message)[size:].decode("utf-8", "surrogatepass") for message in messages]


def _spoilt(messages: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Return payloads: messages with another text, with fields of other types, or any JSON."""
    names = sorted({name for message in messages for name in message})
    kinds = st.sampled_from([message["type"] for message in messages])
    fields = st.dictionaries(st.sampled_from(names), VALUES, max_size=5)
    other = st.builds(lambda kind, rest: json.dumps({**rest, "type": kind}), kinds, fields)
    return (altered(_texts(messages), WORDS) | other | VALUES.map(json.dumps)).map(to_bytes)


@pytest.mark.parametrize("message", FROM_AGENTS, ids=lambda message: message["type"])
def test_messages_of_agents_are_read_as_they_were_written(message: dict[str, Any]) -> None:
    """The seeds below are messages that the controller takes."""
    assert read_message(wire.encode(message)[wire.HEADER.size :]) == message


@fuzz(_spoilt(FROM_AGENTS), examples=120)
def test_the_controller_reads_any_message_or_refuses_it(payload: bytes) -> None:
    """A host may send any bytes. What is read can be written again and is then the same."""
    message = read_within_limits(lambda: read_message(payload), wire.ProtocolError)
    if message is not None and message == message:
        assert read_message(wire.encode(message)[wire.HEADER.size :]) == message


@fuzz(_spoilt(TO_AGENTS), examples=120)
def test_the_agent_reads_any_message_or_refuses_it(payload: bytes) -> None:
    """The agent's side, where records become resources whose values they check themselves."""
    read_within_limits(lambda: wire.decode(payload), wire.ProtocolError)


def test_nesting_without_end_is_refused_by_both_sides() -> None:
    """Deeper than Python can go, in lists and in objects."""
    for text in ("[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "[" * 100_000):
        payload = b'{"type":"result","outcome":' + text.encode() + b"}"
        for read in (wire.decode, read_message):
            with pytest.raises(wire.ProtocolError):
                read(payload)


STREAM = b"".join(map(wire.encode, FROM_AGENTS)) + wire.chunk_frame(1, b"\0" * 9) + wire.frame(b"P", b"packed")
CHANGES = st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), max_size=3)


@fuzz(CHANGES, st.lists(st.integers(1, 200), min_size=1, max_size=8), examples=100)
def test_a_stream_is_cut_into_the_same_frames_however_it_arrives(
    changes: list[tuple[int, int]], sizes: list[int]
) -> None:
    """Damaged or not: the frames up to the damage, or a ProtocolError, never depend on the sizes of reads."""
    data = bytearray(STREAM)
    for place, value in changes:
        data[place] = value
    assert _frames(bytes(data), sizes) == _frames(bytes(data), [len(data)])


def _frames(data: bytes, sizes: list[int]) -> tuple[list[tuple[bytes, bytes]], bool]:
    decoder, frames, start, number = wire.Decoder(), [], 0, 0
    while start < len(data):
        size = sizes[number % len(sizes)]
        decoder.feed(data[start : start + size])
        start, number = start + size, number + 1
        try:
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
        except wire.ProtocolError:
            return frames, True
    return frames, False


@fuzz(_spoilt(TO_AGENTS) | st.binary(max_size=40), st.sampled_from(wire.KINDS), examples=100)
def test_a_broken_request_ends_the_agent_with_words(payload: bytes, kind: bytes) -> None:
    """``Line.listen`` answers what it cannot take in with a ``fatal`` message, then gives the controller up."""
    sent, incoming, lost = bytearray(), [wire.frame(kind, payload), b""], []
    host = MemoryHost()
    agent = Agent(
        lambda size: incoming.pop(0),
        sent.extend,
        {"nonce": "0"},
        make_system=lambda **options: MemorySystem(host, **options),
        gather_facts=dict,
        on_lost=lambda: lost.append(True),
    )
    read_within_limits(agent.line.listen)
    assert isinstance(agent.line, Line) and lost
    frames, is_broken = _frames(bytes(sent), [len(sent) or 1])
    assert not is_broken
    assert {read_message(said)["type"] for _, said in frames} <= {"fatal"}
