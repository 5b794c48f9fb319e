"""The site as a browser would meet it: asked for by name at this host's address, whatever DNS says."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestr.verification.outside import Outside, Response
from orchestr.verification.websocket import HandshakeRefused, WebSocket

from .joining import Joined, access_token, joined

SENT_WITHIN_S = 20.0
ANSWER_S = 12.0  # Caddy looks for a working upstream for 5 s before it says 502


@dataclass(frozen=True)
class Site:
    """``ca`` is a file with the authority to trust, None for the usual ones; ``verify`` is off only where neither fits.

    ``key`` and ``secret`` are LiveKit's; ``token_path`` is where the application gives tokens, "" where it does not.
    """

    outside: Outside
    address: str
    name: str
    livekit_name: str
    ca: str | None
    verify: bool
    livekit: Any = None
    token_path: str = ""

    def ask(self, url: str, **options: Any) -> Response:
        """Make a request; the failure of one says what could not be reached."""
        try:
            return self.outside.get(
                url, address=self.address, ca=self.ca, verify=self.verify, timeout_s=ANSWER_S, **options
            )
        except OSError as error:
            raise AssertionError(
                f"{url} at {self.address}: {error}; look at: docker logs caddy-caddy-1, ufw status, "
                "and for a certificate that does not hold at the DNS records of the name"
            ) from None

    def token(self, room: str, identity: str) -> str:
        """Return an access token: the application's where it gives any, else one made with LiveKit's key."""
        if not self.token_path:
            return access_token(self.livekit.api_key, self.livekit.api_secret, room, identity)
        body = json.dumps({"room": room, "identity": identity}).encode()
        headers = {"Content-Type": "application/json"}
        answer = self.ask(f"https://{self.name}{self.token_path}", method="POST", body=body, headers=headers)
        assert answer.status == 200, f"the application gives no token: {self.token_path} answers {answer.status}"
        return str(answer.json()["token"])

    def join(self, room: str, identity: str) -> tuple[WebSocket, Joined]:
        """Join a room; return the open session and what the room told. Shows no token when it is refused."""
        token = self.token(room, identity)
        url = f"wss://{self.livekit_name}/rtc?protocol=9&auto_subscribe=1"
        headers = {"Authorization": f"Bearer {token}"}  # not in the URL, which lands in logs
        try:
            session = self.outside.websocket(url, headers=headers, address=self.address, ca=self.ca, verify=self.verify)
        except HandshakeRefused as error:
            said = f"{error.status}: {error.body[:200]}".replace(token, "(the token)")
            raise AssertionError(
                f"LiveKit refuses a join through Caddy with {said.strip()}; 401: nodes or application have other API "
                "keys; 502, 503: Caddy reaches no healthy node; look at: docker logs livekit-livekit-1, caddy-caddy-1"
            ) from None
        except OSError as error:
            raise AssertionError(f"no WebSocket at {url}: {error}") from None
        try:
            return session, joined(session.receive(timeout_s=10))
        except BaseException:
            session.close()
            raise


def new_room() -> str:
    """Return the name of a room of ours, that nobody else is in."""
    return f"orchestr-verify-{secrets.token_hex(6)}"


def until(holds: Callable[[], bool], within_s: float = SENT_WITHIN_S) -> bool:
    """Wait until something holds; tell whether it came to that in time."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.25)
    return True
