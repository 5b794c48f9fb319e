"""A participant of a room: joins through Caddy as a browser does, and notices when its WebSocket is cut."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
from types import TracebackType
from typing import Any

from orchestr.verification.websocket import open_websocket
from tests.lab.cluster import SITE, authority
from tests.lab.conftest import ADDRESSES

PAUSE_S = 0.05


def site(timeout_s: float = 10) -> socket.socket:
    """Return a TLS connection to the site, its certificate checked against Caddy's authority and the site's name."""
    plain = socket.create_connection((ADDRESSES["lab1"], 443), timeout_s)
    return authority().wrap_socket(plain, server_hostname=SITE)


def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask the site; return status and the JSON of the answer."""
    connection = http.client.HTTPSConnection(SITE)
    connection.sock = site()
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class Participant:
    """In a room from here on; ``welcome`` is what the server said on joining. Use as a context manager.

    With ``holding`` it says something several times a second and waits for its echo: ``echoes`` counts, and
    ``broken`` is the error that ended it, None while it lives.
    """

    def __init__(self, room: str, identity: str, holding: bool = False) -> None:
        status, answer = ask("POST", "/api/token", {"room": room, "identity": identity})
        assert status == 200, answer
        self.socket = open_websocket(site(), SITE, f"/rtc?access_token={answer['token']}", {})
        self.welcome: dict[str, Any] = json.loads(self.next_text())
        self.echoes = 0
        self.broken: BaseException | None = None
        self._leaving = threading.Event()
        self._talking = threading.Thread(target=self._talk, daemon=True)
        if holding:
            self._talking.start()

    def next_text(self) -> str:
        """Return the next text message, passing over binary ones."""
        return next(message for message in iter(lambda: self.socket.receive(10), None) if isinstance(message, str))

    def _talk(self) -> None:
        try:
            for number in itertools.count():
                self.socket.connection.send(f"still here {number}")
                if self.next_text() != f"still here {number}":
                    raise ConnectionError("another echo than was said")
                self.echoes += 1
                if self._leaving.wait(PAUSE_S):
                    return
        except BaseException as error:
            self.broken = error

    def leave(self) -> None:
        """Leave the room."""
        self._leaving.set()
        if self._talking.is_alive():
            self._talking.join()
        self.socket.close()

    def __enter__(self) -> Participant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
