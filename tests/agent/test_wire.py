"""Frames and messages: what goes in comes out, in pieces or whole, and nothing else is taken for a frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestr.agent import wire
from orchestr.agent.resource import Task
from orchestr.resources.files import Blob, File
from orchestr.secret import Secret

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.binary() | st.builds(Secret, st.text()),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=20,
)


def roundtrip(message: dict[str, object], step: int) -> dict[str, object]:
    decoder = wire.Decoder()
    data = wire.encode(message)
    for offset in range(0, len(data), step):
        decoder.feed(data[offset : offset + step])
    found = decoder.next_frame()
    assert found is not None
    assert decoder.next_frame() is None
    return wire.decode(found[1])


@given(VALUES, st.integers(1, 50))
def test_values_survive(value: object, step: int) -> None:
    """Any value that may travel arrives as it was sent, however the stream is cut."""
    assert roundtrip({"type": "x", "value": value}, step) == {"type": "x", "value": value}


@given(st.text(), st.sampled_from([0o600, 0o644, 0o755, 0o1777]), st.booleans(), st.text())
def test_tasks_survive(content: str, mode: int, when: bool, secret: str) -> None:
    """A task and its resource arrive equal, Secrets still Secrets, Blobs still Blobs."""
    tasks = (
        Task(File("/a", content=content, mode=mode), when=when, id="a"),
        Task(File("/b", content=Secret(secret, [secret])), tags=("x", "y"), timeout_s=1.5),
        Task(File("/c", content=Blob("00" * 32, 7))),
    )
    assert roundtrip({"type": "tasks", "tasks": tasks}, 7)["tasks"] == tasks


def test_a_field_equal_to_its_default_but_of_another_type_survives() -> None:
    """``delay_s=1`` is not ``delay_s=1.0``; only true defaults are left out."""
    (task,) = roundtrip({"type": "t", "tasks": (Task(File("/a"), delay_s=1),)}, 9)["tasks"]
    assert (task.delay_s, type(task.delay_s)) == (1, int)


def test_secrets_are_reported_while_decoding() -> None:
    """Whoever decodes learns of every Secret, so that it can be hidden from then on."""
    found: list[Secret] = []
    decoder = wire.Decoder()
    decoder.feed(wire.encode({"type": "x", "a": [Secret("one")], "b": {"c": Secret("two")}}))
    frame = decoder.next_frame()
    assert frame is not None
    wire.decode(frame[1], found.append)
    assert found == [Secret("one"), Secret("two")]


@pytest.mark.parametrize("noise", [b"Welcome to the machine\n", b"oX1234567", b"oRZ\0\0\0\1x", b"oRJ\xff\xff\xff\xff"])
def test_noise_is_no_frame(noise: bytes) -> None:
    """Text, another type, or a length beyond the limit break the protocol at once instead of being waited for."""
    decoder = wire.Decoder()
    decoder.feed(noise)
    with pytest.raises(wire.ProtocolError):
        decoder.next_frame()


@pytest.mark.parametrize("payload", [b"\xff", b"[]", b"{}", b'{"type": 1}', b'{"type":"x","r":{"$k":"no such kind"}}'])
def test_malformed_messages_are_refused(payload: bytes) -> None:
    """A payload that is no message, or names an unknown kind, raises ProtocolError and nothing else."""
    with pytest.raises(wire.ProtocolError):
        wire.decode(payload)


def test_oversized_message_is_refused_before_sending() -> None:
    """A message over the limit is an error on the side that made it."""
    with pytest.raises(wire.ProtocolError, match="limit"):
        wire.frame(b"B", bytes(wire.MESSAGE_LIMIT + 1))


def test_only_registered_kinds_travel() -> None:
    """An arbitrary object cannot be sent, so no import path ever crosses the wire."""
    with pytest.raises(wire.ProtocolError, match="cannot travel"):
        wire.encode({"type": "x", "value": object()})
