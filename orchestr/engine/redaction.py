"""The secrets of each host, redacted in every text about that host that people read."""

from __future__ import annotations

from collections.abc import Iterable

from orchestr.agent.secret import redact
from orchestr.secret import Secret

SHORTEST_SECRET = 6  # characters from which a secret is looked for in names and words


class HostSecrets:
    """The texts of each host's secrets, longest first.

    The agent redacts the secrets that travel to it. Here are also the ones that a role revealed in a name or a label.
    """

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}

    def add(self, host: str, secrets: Iterable[Secret]) -> None:
        """Reveal a host's secrets. Raises InputError: a wrong vault password is bad input, not a failed host."""
        texts = [secret.reveal() for secret in secrets]
        lines = {line for text in texts for line in (text, *text.splitlines()) if len(line) >= SHORTEST_SECRET}
        self._texts[host] = sorted(lines, key=len, reverse=True)

    def has_any(self, host: str) -> bool:
        """Return True if the host has a secret to redact."""
        return bool(self._texts.get(host))

    def redact(self, host: str, text: str) -> str:
        """Return the text with the host's secrets redacted."""
        present = [secret for secret in self._texts.get(host, ()) if secret in text] if text else []
        return redact(text, present) if present else text
