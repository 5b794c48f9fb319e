"""The secrets of each host, redacted in every text about that host that people read."""

from __future__ import annotations

from collections.abc import Iterable

from orchestr.agent.redaction import Redactor
from orchestr.secret import Secret


class HostSecrets:
    """A redactor for each host; hosts with the same secrets have the same one.

    The agent redacts the secrets that travel to it. Here are also the ones that a role revealed in a name or a label.
    """

    def __init__(self) -> None:
        self._redactors: dict[str, Redactor] = {}
        self._shared: dict[frozenset[str], Redactor] = {}

    def add(self, host: str, secrets: Iterable[Secret]) -> None:
        """Reveal a host's secrets. Raises InputError: a wrong vault password is bad input, not a failed host."""
        texts = frozenset(part for secret in secrets for part in _parts(secret))
        if texts not in self._shared:
            self._shared[texts] = Redactor(sorted(texts))
        self._redactors[host] = self._shared[texts]

    def redactor(self, host: str) -> Redactor | None:
        """Return the redactor of a host, None when it has no secret to redact."""
        return self._redactors.get(host) or None

    def redact(self, host: str, text: str) -> str:
        """Return the text with the host's secrets redacted."""
        redactor = self.redactor(host)
        return text if redactor is None else redactor.redact(text)


def _parts(secret: Secret) -> tuple[str, ...]:
    text = secret.reveal()  # first: what is fetched now may have parts
    return secret.parts or (text,)
