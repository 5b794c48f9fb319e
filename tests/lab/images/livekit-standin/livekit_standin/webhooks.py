"""Events to the user's service: JSON over HTTP, signed by a token that covers the body's digest."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import urllib.request
from typing import Any

import tokens

from livekit_standin.config import Config

log = logging.getLogger("livekit.webhook")
ATTEMPTS = 4


def signed_request(config: Config, url: str, event: dict[str, Any]) -> urllib.request.Request:
    """The request that carries `event` to `url`."""
    body = json.dumps(event).encode()
    token = tokens.sign(config.webhook_key, config.keys[config.webhook_key], {"sha256": tokens.body_digest(body)}, 300)
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    return urllib.request.Request(url, data=body, headers=headers, method="POST")


class Webhooks:
    """Sends events in order, in the background; an unreachable service loses them after a few attempts."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def notify(self, name: str, room: str, identity: str | None = None) -> None:
        event: dict[str, Any] = {
            "event": name,
            "id": "EV_" + secrets.token_hex(6),
            "createdAt": str(int(time.time())),
            "room": {"name": room},
        }
        if identity is not None:
            event["participant"] = {"identity": identity}
        if self._config.webhook_urls:
            self._queue.put_nowait(event)

    async def run(self) -> None:
        while True:
            event = await self._queue.get()
            for url in self._config.webhook_urls:
                await self._deliver(url, event)

    async def _deliver(self, url: str, event: dict[str, Any]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await asyncio.to_thread(self._post, url, event)
                log.info("sent webhook event=%s url=%s", event["event"], url)
                return
            except OSError as error:
                log.warning("failed to send webhook event=%s url=%s error=%s", event["event"], url, error)
                await asyncio.sleep(0.5 * 2**attempt)

    def _post(self, url: str, event: dict[str, Any]) -> None:
        with urllib.request.urlopen(signed_request(self._config, url, event), timeout=5):
            pass
