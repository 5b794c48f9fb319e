"""Join a LiveKit room over signalling only, like the first steps of a browser. For checks.

Formats: access tokens are JSON Web Tokens (RFC 7519, HMAC-SHA256) with LiveKit's ``video`` grant; the first message of
a session is a SignalResponse with a JoinResponse (livekit/protocol, protobufs/livekit_rtc.proto), in protobuf's wire
format.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestr import Secret
from orchestr.verification.front_door import Site
from orchestr.verification.websocket import HandshakeRefused, WebSocket

from .relaying import IceServer

if TYPE_CHECKING:
    from .params import Params

VALID_FOR_S = 120
#: Numbers of fields in livekit_rtc.proto and livekit_models.proto.
_JOIN, _OTHERS, _ICE_SERVERS, _SERVER, _IDENTITY, _NODE = 1, 3, 5, 12, 2, 5
_URLS, _USERNAME, _CREDENTIAL = 1, 2, 3


@dataclass(frozen=True)
class Joined:
    """A room's answer to a join: the other participants, the node that the room is on, and the TURN servers."""

    others: frozenset[str]
    node: str
    ice_servers: tuple[IceServer, ...] = ()


def access_token(key: str, secret: Secret, room: str, identity: str) -> str:
    """Return a token that lets ``identity`` into ``room``, for two minutes."""
    now = int(time.time())
    grant = {"room": room, "roomJoin": True}
    claims = {"iss": key, "sub": identity, "nbf": now - 30, "exp": now + VALID_FOR_S, "video": grant}
    signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{signed}.{_base64(hmac.new(secret.reveal().encode(), signed.encode(), hashlib.sha256).digest())}"


def new_room() -> str:
    """Return the name of a new, empty room."""
    return f"orchestr-verify-{secrets.token_hex(6)}"


def join(site: Site, token: str) -> tuple[WebSocket, Joined]:
    """Join a room; return the open session and the room's answer. A refusal does not show the token."""
    url = f"wss://{site.name}/rtc?protocol=9&auto_subscribe=1"
    headers = {"Authorization": f"Bearer {token}"}  # not in the URL, which lands in logs
    try:
        session = site.websocket(url, headers)
    except HandshakeRefused as error:
        answer = f"{error.status}: {error.body.replace(token, '(the token)')[:200]}"
        raise AssertionError(
            f"LiveKit refuses a join through the proxy with {answer.strip()}; 401: nodes or application have other API "
            "keys; 502, 503: the proxy reaches no healthy node; look at: docker logs livekit-livekit-1, "
            f"{site.door.logs}"
        ) from None
    except OSError as error:
        raise AssertionError(f"no WebSocket at {url}: {error}") from None
    try:
        return session, parse_join(session.receive(timeout_s=10))
    except BaseException:
        session.close()
        raise


def token_for(site: Site, params: Params, token_url: str, room: str, identity: str) -> str:
    """Return an access token: from the application if it issues tokens, else made with LiveKit's key."""
    if not token_url:
        return access_token(params.api_key, params.api_secret, room, identity)
    body = json.dumps({"room": room, "identity": identity}).encode()
    answer = site.ask(token_url, method="POST", body=body, headers={"Content-Type": "application/json"})
    assert answer.status == 200, f"the application issues no token: {token_url} answers {answer.status}"
    return str(answer.json()["token"])


def parse_join(message: str | bytes) -> Joined:
    """Parse the first message of a session. Raises ValueError if it is not the answer to a join."""
    if isinstance(message, str):
        raise ValueError("LiveKit's first message is a text")
    answer = next((value for number, value in fields(message) if number == _JOIN), None)
    if answer is None:
        raise ValueError("LiveKit's first message is not an answer to a join")
    others = frozenset(_text(value, _IDENTITY) for number, value in fields(answer) if number == _OTHERS)
    server = next((value for number, value in fields(answer) if number == _SERVER), b"")
    ice_servers = tuple(_ice_server(value) for number, value in fields(answer) if number == _ICE_SERVERS)
    return Joined(others, _text(server, _NODE), ice_servers)


def _ice_server(message: bytes) -> IceServer:
    urls = tuple(value.decode() for number, value in fields(message) if number == _URLS)
    return IceServer(urls, _text(message, _USERNAME), Secret(_text(message, _CREDENTIAL)))


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the length-delimited fields: texts and messages. Raises ValueError.

    Source: protobuf's "Encoding": a key is ``number << 3 | type``; types 0 varint, 1 eight bytes, 2 length, 5 four.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"not a protobuf message: type {kind}")
    if at > len(message):
        raise ValueError("a protobuf message that ends too early")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if not byte & 0x80:
            return value, at + shift + 1
    raise ValueError("a protobuf number without an end")


def _text(message: bytes, number: int) -> str:
    return next((value.decode() for field, value in fields(message) if field == number), "")


def _encode(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
