"""A relay is asked for as TURN wants it, and each refusal is told apart: of credentials, of an address, no answer."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib
import socket
import struct
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from orchestr.planning.role import load_role
from orchestr.secret import Secret
from tests.unit.roles.conftest import ROOT

MAGIC = bytes.fromhex("2112a442")
REALM, NONCE, USER, PASSWORD = b"livekit", b"once", b"somebody", b"secret"
ALLOWED = "192.168.56.12"


@pytest.fixture
def relaying() -> ModuleType:
    load_role("livekit", ROOT)
    return importlib.import_module("orchestr_roles.livekit.relaying")


def attribute(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def attributes(message: bytes) -> dict[int, bytes]:
    """Return the attributes of a message by number."""
    known, at = {}, 20
    while at < len(message):
        number, size = struct.unpack_from("!HH", message, at)
        known[number] = message[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
    return known


class TurnServer:
    """Answers as RFC 8656 says, on loopback; ``asked`` are the kinds of requests."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.is_silent = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                request, sender = self.socket.recvfrom(65536)
                if not self.is_silent:
                    self.socket.sendto(self.answer(request), sender)

    def answer(self, request: bytes) -> bytes:
        kind, identifier, asked = int.from_bytes(request[:2], "big"), request[8:20], attributes(request)
        self.asked.append(kind)
        refused = self.refusal(kind, request, asked)
        body = b""
        if refused:
            error = attribute(9, bytes([0, 0, refused // 100, refused % 100]) + b"No")
            body = error + attribute(0x14, REALM) + attribute(0x15, NONCE)
        number = kind | (0x110 if refused else 0x100)
        return struct.pack("!HH", number, len(body)) + MAGIC + identifier + body

    def refusal(self, kind: int, request: bytes, asked: dict[int, bytes]) -> int:
        if 8 not in asked:
            return 401
        key = hashlib.md5(b":".join((USER, REALM, PASSWORD))).digest()
        is_signed = hmac.new(key, request[:-24], hashlib.sha1).digest() == asked[8] == request[-20:]
        if not is_signed or (asked[6], asked[0x14], asked[0x15]) != (USER, REALM, NONCE):
            return 401
        if kind == 3:
            return 0 if asked[0x19] == b"\x11\0\0\0" else 442
        if kind == 8:
            family, address = asked[0x12][1], bytes(a ^ b for a, b in zip(asked[0x12][4:], MAGIC, strict=True))
            return 0 if family == 1 and socket.inet_ntoa(address) == ALLOWED else 403
        return 0


@pytest.fixture
def server() -> Iterator[TurnServer]:
    server = TurnServer()
    yield server
    server.socket.close()


def ice_server(relaying: ModuleType, password: bytes = PASSWORD) -> object:
    return relaying.IceServer(("turn:x",), USER.decode(), Secret(password.decode()))


def test_a_relay_is_given_permitted_and_given_back(relaying: ModuleType, server: TurnServer) -> None:
    """First without credentials, then signed; a permission; and at the end a lifetime of nothing."""
    relay = relaying.relay_over_udp("127.0.0.1", server.port, ice_server(relaying))
    relay.permit(ALLOWED)
    relay.close()
    assert server.asked == [3, 3, 8, 4]


def test_an_address_that_relays_may_not_reach_is_refused(relaying: ModuleType, server: TurnServer) -> None:
    """As LiveKit 1.12 does with private addresses."""
    relay = relaying.relay_over_udp("127.0.0.1", server.port, ice_server(relaying))
    with pytest.raises(relaying.RelayRefused, match="403 No"):
        relay.permit("192.168.56.13")
    relay.close()


def test_wrong_credentials_are_refused(relaying: ModuleType, server: TurnServer) -> None:
    """A second 401 is a refusal."""
    with pytest.raises(relaying.RelayRefused, match="401"):
        relaying.relay_over_udp("127.0.0.1", server.port, ice_server(relaying, b"another"))


def test_a_server_that_is_silent_or_not_there_is_an_os_error(
    relaying: ModuleType, server: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its requests were repeated."""
    monkeypatch.setattr(relaying, "_WAIT_S", 0.05)
    server.is_silent = True
    with pytest.raises(OSError, match="does not answer"):
        relaying.relay_over_udp("127.0.0.1", server.port, ice_server(relaying))
    server.socket.close()
    with pytest.raises(OSError):
        relaying.relay_over_udp("127.0.0.1", server.port, ice_server(relaying))
