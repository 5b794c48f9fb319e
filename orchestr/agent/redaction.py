"""Secrets in texts that leave a process: found as they are, escaped, encoded or cut, and redacted.

A text is searched for *forms*: the secret itself and its lines, the same as a quoted or escaped text has it (JSON, URL,
shell, XML), in base64 at its three alignments, in hexadecimal. Long ones are searched piece by piece, so that the work
grows with the text and with the secrets, never with their product of lengths. The forms that tools break over lines are
found across line ends. Where a text was cut there is a CUT, and the part of a secret next to it is found as well.
A secret of fewer than SHORTEST characters is not searched for: it would redact ordinary words, and protect nothing.
"""

from __future__ import annotations

from binascii import b2a_base64, hexlify

from orchestr.agent.light_threading import Lock
from orchestr.agent.secret import CUTS, REDACTED, redactors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, List, Tuple

SHORTEST = 6  # characters of a secret, and of a line of one
PIECE = 256  # characters of a long line that are searched for together
SHORTEST_EDGE = 3  # characters of a secret beside a cut
CUTS_SEEN = 4  # at either end of a text: one of a host could hold any number
HELD_LIMIT = 64 * 1024  # characters of a stream that wait for the rest of a secret
CACHED_TEXTS, CACHED_LENGTH = 4096, 300  # names and labels come again, host after host

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_PLAIN_IN_SHELL = _UNRESERVED | frozenset("@%+=:,/")
_JSON = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_APOSTROPHES = ("'", "&#39;", "&#x27;", "&apos;")  # in XML and HTML
_LINE_ENDS = {10: None, 13: None}


class Redactor:
    """Replaces secrets in texts. ``add`` more at any time, from any thread; forms are made when a text comes."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: Dict[str, None] = {}
        self._waiting: List[str] = []  # added, without their forms
        self._making = Lock()
        self._wholes: Tuple[str, ...] = ()  # of several lines
        self._forms: Tuple[str, ...] = ()
        self._codes: Dict[str, Tuple[int, int]] = {}  # form → characters beside it that hold bits of the secret
        self._cache: Dict[str, str] = {}
        for secret in secrets:
            self.add(secret)

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def add(self, secret: str) -> None:
        """Redact this text as well, and each of its lines; ignored when it is too short."""
        if len(secret) >= SHORTEST and secret not in self._secrets:
            self._secrets[secret] = None
            self._waiting.append(secret)

    def redact(self, text: str) -> str:
        """Return the text with every form of every secret replaced."""
        if not self._secrets or len(text) < SHORTEST_EDGE:
            return text
        if self._waiting:
            self._make_forms()
        cache = self._cache
        redacted = cache.get(text)
        if redacted is None:
            redacted = _replace(text, self._spans(text))
            if len(text) <= CACHED_LENGTH:
                if len(cache) >= CACHED_TEXTS:
                    cache.clear()
                cache[text] = redacted
        return redacted

    # -- search -------------------------------------------------------------------------------------------------------
    def _spans(self, text: str) -> List[Tuple[int, int]]:
        """Return (start, end) of each occurrence of a form, in no order."""
        present = [form for forms in (self._wholes, self._forms) for form in forms if form in text]
        spans = [span for form in present for span in _occurrences(text, form)]
        spans += self._coded_spans(text)
        for cut in CUTS:
            if cut in text:
                spans += self._edge_spans(text, cut)
        return spans

    def _coded_spans(self, text: str) -> Iterator[Tuple[int, int]]:
        """Yield the spans of encoded secrets, also of ones that line ends divide."""
        joined = text.translate(_LINE_ENDS) if "\n" in text or "\r" in text else text
        present = [form for form in self._codes if form in joined]
        spans = [span for form in present for span in _coded(joined, form, self._codes[form])]
        if len(joined) == len(text) or not spans:
            return iter(spans)
        index = [number for number, character in enumerate(text) if character not in "\r\n"]
        return ((index[start], index[end - 1] + 1) for start, end in spans)

    def _edge_spans(self, text: str, cut: str) -> Iterator[Tuple[int, int]]:
        """Yield the spans beside a cut that are the beginning or the end of a form."""
        cuts = [start for start, _ in _occurrences(text, cut)]
        for start in cuts if len(cuts) <= 2 * CUTS_SEEN else cuts[:CUTS_SEEN] + cuts[-CUTS_SEEN:]:
            end = start + len(cut)
            yield start - self._left_open(text[:start], SHORTEST_EDGE), start
            yield end, end + self._right_open(text[end:], SHORTEST_EDGE)

    def _left_open(self, text: str, shortest: int) -> int:
        """Return the number of characters at the end of a text that are the beginning of a form."""
        plain = [_beginning_at_end(text, form, shortest) for form in self._forms]
        return max([*plain, self._left_open_code(text, shortest)])

    def _left_open_code(self, text: str, shortest: int) -> int:
        lengths = [(_beginning_at_end(text, form, shortest), before) for form, (before, _) in self._codes.items()]
        return min(len(text), max([length + before for length, before in lengths if length] or [0]))

    def _right_open(self, text: str, shortest: int) -> int:
        """Return the number of characters at the beginning of a text that are the end of a form."""
        plain = [_end_at_beginning(text, form, shortest) for form in self._forms]
        lengths = [(_end_at_beginning(text, form, shortest), after) for form, (_, after) in self._codes.items()]
        return min(len(text), max([*plain, *[length + after for length, after in lengths if length], 0]))

    # -- streams ------------------------------------------------------------------------------------------------------
    def divide(self, text: str) -> Tuple[str, str]:
        """Return the redacted beginning of a stream's text, and its end that may be the beginning of a secret.

        That end is to be put before the text that follows.
        """
        if not self._secrets or not text:
            return text, ""
        if self._waiting:
            self._make_forms()
        spans = self._spans(text)
        end = len(text) - self._open_length(text)
        for start, stop in sorted(spans, key=lambda span: span[1], reverse=True):
            if start < end < stop:
                end = start
        if len(text) - end > HELD_LIMIT:
            end = len(text)
        return _replace(text[:end], [span for span in spans if span[1] <= end]), text[end:]

    def _open_length(self, text: str) -> int:
        """Return the number of characters at the end of a text that more could make a secret of."""
        lengths = [_lines_at_end(text, form) for form in self._wholes]
        if text.endswith(("\n", "\r")):
            line = text.rstrip("\r\n").replace("\r", "\n").rpartition("\n")[2]
            if len(line) >= SHORTEST and _ALPHABET.issuperset(line):  # base64 and hexadecimal come in such lines
                ends = len(text) - len(text.rstrip("\r\n"))
                joined = self._left_open_code(line, 1)
                lengths.append(joined + ends if joined else 0)
        else:
            lengths.append(self._left_open(text, 1))
        return max(lengths or [0])

    # -- forms --------------------------------------------------------------------------------------------------------
    def _make_forms(self) -> None:
        """Make the forms of the secrets that were added; other threads go on with the earlier ones."""
        with self._making:
            count = len(self._waiting)
            wholes, forms, codes = dict.fromkeys(self._wholes), dict.fromkeys(self._forms), dict(self._codes)
            for secret in self._waiting[:count]:
                lines = secret.splitlines()
                if len(lines) > 1:
                    wholes[secret] = None
                for piece in (piece for line in lines for piece in _pieces(line)):
                    forms.update(dict.fromkeys(escaped(piece)))
                    codes.update(encoded(piece.encode("utf-8", "surrogatepass")))
            self._wholes, self._forms, self._codes, self._cache = tuple(wholes), tuple(forms), codes, {}
            del self._waiting[:count]


redactors.append(Redactor)


def escaped(text: str) -> Iterator[str]:
    """Yield a text as it is, and as quoted or escaped texts have it."""
    yield text
    if _UNRESERVED.issuperset(text):
        return
    json = "".join([_JSON.get(character, character) for character in text])
    for form in (json, json.replace("/", "\\/")):
        yield form
        if not form.isascii():
            yield "".join([_unicode_escape(character, "\\u%04x") for character in form])
            yield "".join([_unicode_escape(character, "\\u%04X") for character in form])
    for unquoted in ("", "/", "!'()*", "/:@!$&'()*+,;="):
        for pattern in ("%%%02X", "%%%02x"):
            quoted = _percent(text, _UNRESERVED | frozenset(unquoted), pattern)
            yield quoted
            yield quoted.replace("%20", "+")
    yield text.replace("'", "'\"'\"'")  # shlex, ansible
    yield text.replace("'", "'\\''")
    yield "".join([character if character in _PLAIN_IN_SHELL else "\\" + character for character in text])  # printf %q
    yield "".join(["\\" + character if character in '"$`\\' else character for character in text])
    yield "".join(["\\" + character if character in "'\\" else character for character in text])
    for apostrophe in _APOSTROPHES:
        yield "".join([_XML.get(character, character) for character in text]).replace("'", apostrophe)
    for character in "'$%":  # SQL and YAML, compose, systemd
        yield text.replace(character, 2 * character)


def encoded(data: bytes) -> Iterator[Tuple[str, Tuple[int, int]]]:
    """Yield the encoded forms of some bytes, and how many characters before and after hold a few bits of them."""
    digits = hexlify(data).decode("ascii")
    yield digits, (0, 0)
    yield digits.upper(), (0, 0)
    for shift in range(3):
        text = b2a_base64(bytes(shift) + data, newline=False).decode("ascii")
        bits = 8 * (shift + len(data))
        form = text[(8 * shift + 5) // 6 : bits // 6]
        for alphabet_form in (form, form.replace("+", "-").replace("/", "_")):
            yield alphabet_form, (int(shift > 0), int(bits % 6 > 0))


def _unicode_escape(character: str, pattern: str) -> str:
    if ord(character) < 128:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join([pattern % int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)])


def _percent(text: str, unquoted: "frozenset[str]", pattern: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return "".join([chr(byte) if chr(byte) in unquoted else pattern % byte for byte in data])


def _pieces(line: str) -> Iterator[str]:
    """Yield a line whole or, if it is long, in pieces; none of them is short."""
    if len(line) < SHORTEST:
        return
    start = 0
    while len(line) - start >= PIECE + SHORTEST:
        yield line[start : start + PIECE]
        start += PIECE
    yield line[start:]


# -- where a form is ------------------------------------------------------------------------------------------------
def _occurrences(text: str, form: str) -> Iterator[Tuple[int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def _coded(text: str, form: str, beside: Tuple[int, int]) -> Iterator[Tuple[int, int]]:
    before, after = beside
    for start, end in _occurrences(text, form):
        if before and start and text[start - 1] in _ALPHABET:
            start -= 1
        if after and end < len(text) and text[end] in _ALPHABET:
            end += 1
        yield start, end


def _beginning_at_end(text: str, form: str, shortest: int) -> int:
    """Return the length of the longest beginning of ``form`` (not all of it) that ``text`` ends with, or 0."""
    for length in range(min(len(form) - 1, len(text)), shortest - 1, -1):
        if text.endswith(form[:length]):
            return length
    return 0


def _end_at_beginning(text: str, form: str, shortest: int) -> int:
    """Return the length of the longest end of ``form`` (not all of it) that ``text`` begins with, or 0."""
    for length in range(min(len(form) - 1, len(text)), shortest - 1, -1):
        if text.startswith(form[len(form) - length :]):
            return length
    return 0


def _lines_at_end(text: str, form: str) -> int:
    """Return the length of the longest beginning of ``form``, in whole lines, that ``text`` ends with, or 0."""
    end = form.rfind("\n", 0, len(form) - 1) + 1
    while end:
        if text.endswith(form[:end]):
            return end
        end = form.rfind("\n", 0, end - 1) + 1
    return 0


def _replace(text: str, spans: List[Tuple[int, int]]) -> str:
    """Return the text with the spans replaced; ones that overlap or touch become one."""
    if not spans:
        return text
    parts, done, spans = [], 0, sorted(spans)
    start, end = spans[0]
    for next_start, next_end in [*spans[1:], (len(text) + 1, len(text) + 1)]:
        if next_start <= end:
            end = max(end, next_end)
            continue
        if end > start:
            parts += [text[done:start], REDACTED]
            done = end
        start, end = next_start, next_end
    return "".join([*parts, text[done:]])
