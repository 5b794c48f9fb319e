"""The start of an agent: the bytes that travel until it says hello."""

from __future__ import annotations

from collections.abc import Sequence

from orchestr.agent import wire
from orchestr.engine import bundle
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory import ConnectionSettings
from orchestr.transport.memory import start_in

SETTINGS = ConnectionSettings(address="a")
HELLO = {"type": "hello", "protocol": wire.PROTOCOL, "facts": {"time": 0.0}, "bytecode": "other"}


class AnotherPython:
    """A host with another Python than ours, so slow that each of the controller's signs of life comes in between."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.session = Session("a", SETTINGS, lambda settings: self, SessionOptions("run"))

    def start(self, command: Sequence[str]) -> AnotherPython:
        return self

    def write(self, data: bytes) -> None:
        self.session.beat()
        self.written.append(data)
        self.session.beat()

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        self.session.beat()
        nonce = str(start_in(self.written[0])["nonce"]).encode()
        if len(self.written) == 1:
            return b"\n" + nonce + b"?\n"
        return b"\n" + nonce + b"\n" + wire.encode(HELLO)

    def close(self) -> None: ...

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return None


def test_nothing_but_the_handshake_travels_before_the_hello() -> None:
    """A heartbeat sent while the host asks for sources would be read as their length."""
    host = AnotherPython()
    host.session.open()
    assert host.written[1:] == [bundle.agent_sources()]


def test_signs_of_life_begin_with_the_hello() -> None:
    """Afterwards the agent hears from the controller."""
    host = AnotherPython()
    host.session.open()
    host.session.beat()
    assert wire.encode({"type": "beat"}) in host.written


def test_a_session_that_ends_during_the_start_says_nothing_either() -> None:
    """The request to stop is for an agent that is there; before, closing the connection is enough."""
    host = AnotherPython()
    read = host.read

    def interrupt(size: int, timeout_s: float | None = None) -> bytes:
        host.session.close()
        return read(size, timeout_s)

    host.read = interrupt  # type: ignore[method-assign]
    host.session.open()
    assert not [data for data in host.written if b"stop" in data]
