"""Ask a TURN server for a relay and for permission to reach an address through it, as a browser does. For checks.

Formats: STUN (RFC 8489) and TURN (RFC 8656) with the long-term credential mechanism.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestr import Secret

_MAGIC = 0x2112A442
_ALLOCATE, _REFRESH, _CREATE_PERMISSION = 0x0003, 0x0004, 0x0008
_SUCCESS = 0x0100
_USERNAME, _INTEGRITY, _ERROR_CODE, _LIFETIME, _PEER = 0x0006, 0x0008, 0x0009, 0x000D, 0x0012
_REALM, _NONCE, _TRANSPORT = 0x0014, 0x0015, 0x0019
_UDP = b"\x11\0\0\0"
_TRIES, _WAIT_S = 3, 1.5


class RelayRefused(Exception):
    """The server refuses a request; ``code`` is TURN's, 0 for none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


@dataclass(frozen=True)
class IceServer:
    """URLs of one TURN server and the credentials for it, as a join hands them out."""

    urls: tuple[str, ...]
    username: str = ""
    credential: Secret = field(default_factory=lambda: Secret(""))


class Relay:
    """A relay of a TURN server; give it back with ``close``. Raises OSError for no answer, RelayRefused."""

    def __init__(self, channel: socket.socket, server: IceServer) -> None:
        self._channel = channel
        self._server = server
        self._realm = self._nonce = b""
        try:
            self._allocate()
        except BaseException:
            channel.close()
            raise

    def _allocate(self) -> None:
        wanted = [(_TRANSPORT, _UDP)]
        try:
            self._request(_ALLOCATE, wanted)  # is refused, with the realm and a nonce
        except RelayRefused as refusal:
            if refusal.code != 401 or not self._nonce:
                raise
        self._request(_ALLOCATE, wanted)

    def permit(self, address: str) -> None:
        """Ask for permission to send to an address through the relay."""
        self._request(_CREATE_PERMISSION, [(_PEER, _xored(address))])

    def close(self) -> None:
        """Give the relay back."""
        try:
            self._request(_REFRESH, [(_LIFETIME, bytes(4))])
        except (OSError, RelayRefused):
            pass  # it ends by itself, within ten minutes
        finally:
            self._channel.close()

    def _request(self, kind: int, wanted: list[tuple[int, bytes]]) -> None:
        """Make a request. Raises RelayRefused, and keeps the realm and the nonce of a refusal."""
        identifier = secrets.token_bytes(12)
        answer = _exchange(self._channel, self._signed(kind, identifier, wanted), identifier)
        attributes = dict(_attributes(answer))
        self._realm, self._nonce = attributes.get(_REALM, self._realm), attributes.get(_NONCE, self._nonce)
        if int.from_bytes(answer[:2], "big") != kind | _SUCCESS:
            told = attributes.get(_ERROR_CODE, bytes(4))
            raise RelayRefused(told[2] * 100 + told[3], told[4:].decode("utf-8", "replace"))

    def _signed(self, kind: int, identifier: bytes, wanted: list[tuple[int, bytes]]) -> bytes:
        if not self._nonce:
            return _message(kind, identifier, wanted)
        user, password = self._server.username.encode(), self._server.credential.reveal().encode()
        signed = [*wanted, (_USERNAME, user), (_REALM, self._realm), (_NONCE, self._nonce)]
        key = hashlib.md5(b":".join((user, self._realm, password)), usedforsecurity=False).digest()
        covered = _message(kind, identifier, signed, room=24)  # the length counts the signature, the digest does not
        return covered + _attribute(_INTEGRITY, hmac.new(key, covered, hashlib.sha1).digest())


def relay_over_udp(address: str, port: int, server: IceServer) -> Relay:
    """Return a relay of the TURN server at an address."""
    family = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0][0]
    channel = socket.socket(family, socket.SOCK_DGRAM)
    channel.connect((address, port))
    return Relay(channel, server)


def relay_over_tls(address: str, port: int, name: str, certificates: str, server: IceServer) -> Relay:
    """Return a relay of the TURN server that has one of these certificates, valid for ``name``."""
    context = ssl.create_default_context()
    if certificates:
        context.load_verify_locations(cadata=certificates)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    plain = socket.create_connection((address, port), _WAIT_S * _TRIES)
    try:
        return Relay(context.wrap_socket(plain, server_hostname=name), server)
    except BaseException:
        plain.close()
        raise


def _exchange(channel: socket.socket, request: bytes, identifier: bytes) -> bytes:
    """Send a request until an answer with its identifier comes. Raises OSError."""
    channel.settimeout(_WAIT_S)
    is_stream = channel.type == socket.SOCK_STREAM
    for _ in range(1 if is_stream else _TRIES):
        channel.sendall(request)
        try:
            while True:
                answer = _read_message(channel) if is_stream else channel.recv(65536)
                if len(answer) >= 20 and answer[8:20] == identifier:
                    return answer
        except TimeoutError:
            continue
    raise TimeoutError("it does not answer")


def _read_message(channel: socket.socket) -> bytes:
    header = _read(channel, 20)
    return header + _read(channel, int.from_bytes(header[2:4], "big"))


def _read(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            raise ConnectionError("it closed the connection")
        data += part
    return data


def _message(kind: int, identifier: bytes, attributes: list[tuple[int, bytes]], room: int = 0) -> bytes:
    body = b"".join(_attribute(number, value) for number, value in attributes)
    return struct.pack("!HHI", kind, len(body) + room, _MAGIC) + identifier + body


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 20
    while at + 4 <= len(message):
        number, size = struct.unpack_from("!HH", message, at)
        yield number, message[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4


def _xored(address: str) -> bytes:
    """Return an IPv4 address, with port 0, as the value of XOR-PEER-ADDRESS."""
    number = int(ipaddress.IPv4Address(address)) ^ _MAGIC
    return struct.pack("!BBHI", 0, 1, _MAGIC >> 16, number)
