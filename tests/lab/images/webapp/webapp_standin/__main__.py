"""The business service: hands out access tokens and receives LiveKit's webhooks.

Environment: PORT (8080), BIND_ADDRESS (0.0.0.0), LIVEKIT_API_KEY, and LIVEKIT_API_SECRET or
LIVEKIT_API_SECRET_FILE (a file that holds nothing but the secret).

    GET  /             200, the service's name
    GET  /healthz      200
    POST /api/token    {"room": R, "identity": I} -> {"token": access token}
    POST /api/webhook  200 when the Authorization token covers the body, else 401
    GET  /api/events   the last events received, oldest first
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import tokens
from http_messages import BadRequest, Request, json_response, read_request, response

EVENTS_KEPT = 100


def secret_from(environment: dict[str, str]) -> str:
    """The API secret; empty when none is given."""
    path = environment.get("LIVEKIT_API_SECRET_FILE")
    return Path(path).read_text().strip() if path else environment.get("LIVEKIT_API_SECRET", "")


class WebApp:
    """The service's state: its key pair and the events it has received."""

    def __init__(self, key: str, secret: str) -> None:
        self._keys = {key: secret} if key and secret else {}
        self._key = key
        self._events: collections.deque[Any] = collections.deque(maxlen=EVENTS_KEPT)

    def answer(self, request: Request) -> bytes:
        """The response to one request."""
        routes = {
            ("GET", "/"): lambda: response(200, "webapp (a stand-in for the lab)\n"),
            ("HEAD", "/"): lambda: response(200, ""),
            ("GET", "/healthz"): lambda: response(200, "ok\n"),
            ("GET", "/api/events"): lambda: json_response(200, list(self._events)),
            ("POST", "/api/token"): lambda: self._token(request),
            ("POST", "/api/webhook"): lambda: self._webhook(request),
        }
        route = routes.get((request.method, request.path))
        return route() if route else response(404, "not found\n")

    def _token(self, request: Request) -> bytes:
        if not self._keys:
            return json_response(503, {"error": "LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set"})
        try:
            wanted = json.loads(request.body)
            room, identity = str(wanted["room"]), str(wanted["identity"])
        except (ValueError, KeyError, TypeError):
            return json_response(400, {"error": "expected {room, identity}"})
        claims = {"sub": identity, "video": {"room": room, "roomJoin": True}}
        return json_response(200, {"token": tokens.sign(self._key, self._keys[self._key], claims)})

    def _webhook(self, request: Request) -> bytes:
        try:
            tokens.verify_webhook(request.bearer, request.body, self._keys)
            event = json.loads(request.body)
        except tokens.InvalidToken as error:
            return json_response(401, {"error": str(error)})
        except ValueError:
            return json_response(400, {"error": "not JSON"})
        self._events.append(event)
        return json_response(200, {"ok": True})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            if request:
                writer.write(self.answer(request))
                await writer.drain()
        except (BadRequest, OSError, asyncio.IncompleteReadError) as error:
            print(f"connection dropped: {error}", file=sys.stderr)
        finally:
            writer.close()


async def main() -> None:
    address, port = os.environ.get("BIND_ADDRESS", "0.0.0.0"), int(os.environ.get("PORT", "8080"))
    app = WebApp(os.environ.get("LIVEKIT_API_KEY", ""), secret_from(dict(os.environ)))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(app.serve, address, port)
    print(f"webapp (a stand-in for the lab) listens on {address}:{port}", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
