"""The lab's site as a browser meets it: through Caddy, over TLS, whose certificate is checked."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from tests.lab.cluster import SITE, authority, livekit_nodes
from tests.lab.conftest import ADDRESSES
from tests.lab.images.shared import tokens

API_KEY, API_SECRET = "labkey", "lab-only-api-secret-of-more-than-32-characters"


def site(timeout_s: float = 10) -> socket.socket:
    """Return a TLS connection to the site, its certificate checked against Caddy's authority and the site's name."""
    plain = socket.create_connection((ADDRESSES["lab1"], 443), timeout_s)
    return authority().wrap_socket(plain, server_hostname=SITE)


def ask(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Ask the site; return status and the JSON of the answer."""
    connection = http.client.HTTPSConnection(SITE)
    connection.sock = site()
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def ask_livekit(method: str, body: dict[str, Any], **grant: Any) -> Any:
    """Call a method of LiveKit's RoomService through Caddy, as an application does."""
    headers = {
        "Authorization": f"Bearer {tokens.sign(API_KEY, API_SECRET, {'sub': 'tests', 'video': grant})}",
        "Content-Type": "application/json",
    }
    status, answer = ask("POST", f"/twirp/livekit.RoomService/{method}", body, headers)
    assert status == 200, f"{method}: {status} {answer}"
    return answer


def create_room(room: str, node: str) -> None:
    """Create an empty room on a node of the lab; it stays there for minutes."""
    ids = [one.id for one in livekit_nodes() if one.address == ADDRESSES[node]]
    ask_livekit("CreateRoom", {"name": room, "node_id": ids[-1]}, roomCreate=True)


def delete_room(room: str) -> None:
    """Delete a room and whoever is in it."""
    ask_livekit("DeleteRoom", {"room": room}, roomCreate=True)


def webhooks() -> list[tuple[str, str]]:
    """Return (event, room) of the webhooks the application took."""
    return [(event["event"], event["room"]["name"]) for event in ask("GET", "/api/events")[1]]
