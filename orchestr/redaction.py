"""The last net: every secret this process holds, redacted in a text that did not pass through the agent's redaction."""

from __future__ import annotations

import weakref

from orchestr.agent import secret as agent_secret
from orchestr.agent.secret import Secret

SHORTEST = 4  # characters; redacting a shorter text everywhere would make a report unreadable and protect nothing

# By identity: a Secret's hash is that of its text, and to ask for it would fetch a secret that nobody used.
_live: dict[int, weakref.ref[Secret]] = {}


def redact(text: str) -> str:
    """Return ``text`` with the text of every Secret alive in this process replaced."""
    return agent_secret.redact(text, live_secrets())


def live_secrets() -> list[str]:
    """Return the texts of all Secrets alive; those that were never fetched stay unfetched."""
    secrets = [secret for reference in list(_live.values()) if (secret := reference()) is not None]
    texts = [text for secret in secrets for text in (*secret.parts, secret.known_text())]
    return [text for text in texts if len(text) >= SHORTEST]


def _register(secret: Secret) -> None:
    key = id(secret)
    _live[key] = weakref.ref(secret, lambda reference: _forget(key, reference))


def _forget(key: int, reference: weakref.ref[Secret]) -> None:
    if _live.get(key) is reference:  # another Secret may have the address by now
        del _live[key]


Secret.on_made = staticmethod(_register)
