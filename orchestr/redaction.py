"""The last net: every secret this process holds, redacted in a text that did not pass through the agent's redaction."""

from __future__ import annotations

import weakref

from orchestr.agent.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestr.agent.redaction import Redactor

# By identity: a Secret's hash is that of its text, and to ask for it would fetch a secret that nobody used.
_live: dict[int, weakref.ref[Secret]] = {}
_last: list[tuple[frozenset[str], Redactor]] = []  # the redactor of the last call; most calls come in rows


def redact(text: str) -> str:
    """Return ``text`` with every Secret alive in this process replaced, also where it is encoded or was cut."""
    return redactor().redact(text)


def redactor() -> Redactor:
    """Return the redactor of all Secrets alive."""
    from orchestr.agent.redaction import Redactor

    texts = frozenset(live_secrets())
    if not _last or _last[0][0] != texts:
        _last[:] = [(texts, Redactor(sorted(texts)))]
    return _last[0][1]


def live_secrets() -> list[str]:
    """Return the texts of all Secrets alive; those that were never fetched stay unfetched."""
    secrets = [secret for reference in list(_live.values()) if (secret := reference()) is not None]
    return [text for secret in secrets for text in secret.parts or (secret.known_text(),) if text]


def _register(secret: Secret) -> None:
    key = id(secret)
    _live[key] = weakref.ref(secret, lambda reference: _forget(key, reference))


def _forget(key: int, reference: weakref.ref[Secret]) -> None:
    if _live.get(key) is reference:  # another Secret may have the address by now
        del _live[key]


Secret.on_made = staticmethod(_register)
