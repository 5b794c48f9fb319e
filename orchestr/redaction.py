"""The last net: every secret this process holds, redacted in a text that did not pass through the agent's redaction."""

from __future__ import annotations

import weakref

from orchestr.agent.redaction import Redactor
from orchestr.agent.secret import Secret

# By identity: a Secret's hash is that of its text, and to ask for it would fetch a secret that nobody used.
_live: dict[int, weakref.ref[Secret]] = {}
_last: list[tuple[frozenset[str], Redactor]] = []  # the redactor of the last call; most calls come in rows


def redact(text: str) -> str:
    """Return ``text`` with every Secret alive in this process replaced, also where it is encoded or was cut."""
    return redactor().redact(text)


def redactor() -> Redactor:
    """Return the redactor of all Secrets alive."""
    texts = frozenset(live_secrets())
    for known, made in _last[:1]:
        if known == texts:
            return made
    new = Redactor(sorted(texts))
    _last[:] = [(texts, new)]
    return new


def live_secrets() -> list[str]:
    """Return the texts of all Secrets alive; those that were never fetched stay unfetched."""
    secrets = [secret for reference in list(_live.values()) if (secret := reference()) is not None]
    texts = (text for secret in secrets for text in secret.parts or (secret.known_text(),))
    return [text for text in texts if text and isinstance(text, str)]  # what a host calls a secret may be no text


def _register(secret: Secret) -> None:
    key = id(secret)
    _live[key] = weakref.ref(secret, lambda reference: _forget(key, reference))


def _forget(key: int, reference: weakref.ref[Secret]) -> None:
    if _live.get(key) is reference:  # another Secret may have the address by now
        del _live[key]


Secret.on_made = staticmethod(_register)
