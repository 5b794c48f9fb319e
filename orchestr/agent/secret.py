"""A text that never shows itself: the one type for passwords, keys and tokens, on both sides of the wire."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, List, Optional, Tuple


REDACTED = "‹secret›"
CUT = "…"  # stands where a text was cut before its secrets were redacted
CUTS = (CUT, "...")

#: The class that redacts secrets in any text: `orchestr.agent.redaction` adds it, and travels only with secrets.
redactors: List[Callable[[], Any]] = []


class Secret:
    """Hold a text that must not be printed.

    ``repr``, ``str`` and ``format`` give ``‹secret›``; ``reveal()`` gives the text. Two secrets are equal when
    their texts are. A text made *from* secrets (a rendered template) is a Secret too and lists the texts
    to redact in ``parts``, so that the rest of it can still be shown in a diff.
    """

    __slots__ = ("__weakref__", "_text", "parts")

    #: Called with each new Secret; None on hosts, the controller's registry there.
    on_made: Optional[Callable[[Secret], None]] = None

    def __init__(self, text: str, parts: Iterable[str] = ()) -> None:
        self._text = text
        self.parts: Tuple[str, ...] = tuple(sorted({part for part in parts if part}, key=len, reverse=True))
        if self.on_made is not None:
            self.on_made(self)

    def known_text(self) -> str:
        """Return the text, "" when it was not fetched yet."""
        return self._text

    def reveal(self) -> str:
        """Return the text itself. Call it only to write the text to its destination."""
        return self._text

    def redacted(self) -> str:
        """Return the text with each secret part redacted; all of it when the parts are not known."""
        if not self.parts:
            return REDACTED
        return redact(self.reveal(), self.parts)

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")


def redact(text: str, parts: Iterable[str]) -> str:
    """Return ``text`` with every occurrence of every part replaced by ``‹secret›``; longest parts first.

    For a text made from these parts. In any other text, `orchestr.agent.redaction` also finds encoded and cut ones.
    """
    for part in sorted({part for part in parts if part}, key=len, reverse=True):
        text = text.replace(part, REDACTED)
    return text


def cut_tail(text: str, limit: int) -> str:
    """Return the last ``limit`` characters of a text, the first of them a CUT when there are more."""
    return text if len(text) <= limit else CUT + text[len(text) - limit + 1 :]


def cut_head(text: str, limit: int) -> str:
    """Return the first ``limit`` characters of a text, the last of them a CUT when there are more."""
    return text if len(text) <= limit else text[: limit - 1] + CUT


def reveal(value: Any) -> Any:
    """Return the text of a Secret, anything else as it is."""
    return value.reveal() if isinstance(value, Secret) else value
