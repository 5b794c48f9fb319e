"""A secret is found however it was written: quoted, encoded, divided or cut; ordinary text is left alone."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from orchestr.agent import redaction
from orchestr.agent.redaction import PIECE, SHORTEST, SHORTEST_EDGE, Redactor
from orchestr.agent.secret import CUT, REDACTED, cut_head, cut_tail

#: No character of a secret is in the texts around it, nor are REDACTED's: what is left of a secret is seen.
SECRETS = st.text(st.sampled_from("abcXYZ0189 '\"\\/+&=%$:;!é€😀\t"), min_size=SHORTEST, max_size=90).filter(
    lambda text: text.strip() == text
)
AROUND = st.text(st.sampled_from("-_.,#[]{}<>|\n"), max_size=30)
OTHER_BYTES = st.binary(max_size=20).map(lambda data: bytes(byte % 8 for byte in data))  # in no secret
QUOTINGS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, not ASCII only": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, capitals": lambda text: "".join(
        f"\\u{unit:04X}" if unit > 127 else json.dumps(chr(unit))[1:-1] for unit in _utf16(text)
    ),
    "URL": lambda text: urllib.parse.quote(text, safe=""),
    "path": urllib.parse.quote,
    "form": urllib.parse.quote_plus,
    "shell": lambda text: shlex.quote(text)[1:-1] if shlex.quote(text) != text else text,
    "shell, backslashes": lambda text: text.replace("'", "'\\''"),
    "html": html.escape,
    "repr": lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
    "compose": lambda text: text.replace("$", "$$"),
    "SQL": lambda text: text.replace("'", "''"),
}
HEX: dict[str, Callable[[bytes], str]] = {"hex": bytes.hex, "HEX": lambda data: data.hex().upper()}
BASE64: dict[str, Callable[[bytes], str]] = {
    "standard": lambda data: base64.b64encode(data).decode(),
    "urlsafe": lambda data: base64.urlsafe_b64encode(data).decode(),
}


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@pytest.mark.parametrize("quoting", QUOTINGS)
@given(secret=SECRETS, before=AROUND, after=AROUND)
@settings(max_examples=60)
def test_a_quoted_secret_is_redacted(quoting: str, secret: str, before: str, after: str) -> None:
    """A secret in a quoted or escaped text is redacted whole, and the text around it is left alone."""
    assert Redactor([secret]).redact(before + QUOTINGS[quoting](secret) + after) == before + REDACTED + after


@pytest.mark.parametrize("encoding", HEX)
@given(secret=SECRETS, before=AROUND, after=AROUND)
@settings(max_examples=60)
def test_a_secret_in_hexadecimal_is_redacted(encoding: str, secret: str, before: str, after: str) -> None:
    """A secret in hexadecimal digits is redacted."""
    text = HEX[encoding](secret.encode())
    assert Redactor([secret]).redact(before + text + after) == before + REDACTED + after


@pytest.mark.parametrize("encoding", BASE64)
@given(secret=SECRETS, before=OTHER_BYTES, after=OTHER_BYTES, width=st.integers(4, 80))
@example("000000", bytes(11), b"", 4)  # in base64, its beginning is also found one character earlier
@settings(max_examples=150)
def test_a_secret_in_base64_is_redacted(encoding: str, secret: str, before: bytes, after: bytes, width: int) -> None:
    """No character of base64 that holds a bit of the secret is left, wherever the secret begins in the data, and also
    when the text is broken into lines; at most one more character on each side is gone."""
    data = secret.encode()
    text = BASE64[encoding](before + data + after)
    first, end = 8 * len(before) // 6, -(-8 * (len(before) + len(data)) // 6)
    allowed = {
        text[: max(0, first - wider)] + REDACTED + text[end + longer :] for wider in range(2) for longer in range(2)
    }
    redactor = Redactor([secret])
    assert redactor.redact(text) in allowed
    lines = "\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert redactor.redact(lines).replace("\n", "") in allowed


@given(secret=SECRETS, before=AROUND, after=AROUND, limit=st.integers(1, 150))
@example("0123456789", "", "", 5)
@settings(max_examples=300)
def test_a_secret_that_was_cut_is_redacted(secret: str, before: str, after: str, limit: int) -> None:
    """Of a text that was cut within a secret, the rest of the secret is redacted, but for a character or two."""
    text, redactor = before + secret + after, Redactor([secret])
    for cut in (cut_head(text, limit), cut_tail(text, limit)):
        left = redactor.redact(cut)
        remains = "".join(left.split(REDACTED)).replace(CUT, "")
        assert len([character for character in remains if character in secret]) < SHORTEST_EDGE


@given(
    secret=st.text(st.sampled_from("abcXYZ0189/+"), min_size=60, max_size=120),
    encoding=st.sampled_from([*BASE64.values(), *HEX.values()]),
    limit=st.integers(20, 150),
)
@settings(max_examples=150)
def test_an_encoded_secret_that_was_cut_is_redacted(secret: str, encoding: Callable[[bytes], str], limit: int) -> None:
    """The beginning or the end of an encoded secret is found beside a cut."""
    text, redactor = encoding(secret.encode()), Redactor([secret])
    for cut in (cut_head(text, limit), cut_tail(text, limit)):
        remains = "".join(redactor.redact(cut).split(REDACTED)).replace(CUT, "")
        assert len(remains.rstrip("=")) < SHORTEST_EDGE


@given(
    secret=SECRETS,
    pieces=st.lists(AROUND, min_size=1, max_size=4),
    form=st.sampled_from(list(QUOTINGS.values())),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
@settings(max_examples=300)
def test_a_secret_divided_by_a_stream_is_redacted(
    secret: str, pieces: list[str], form: Callable[[str], str], cuts: list[int]
) -> None:
    """Output that comes in pieces is redacted as the whole would be, wherever it is divided."""
    whole = form(secret).join(pieces)
    cuts = [cut for cut in cuts if not whole[:cut].endswith("\n")]
    adjacent = f"(?:{REDACTED})+"
    said = _streamed(Redactor([secret]), whole, cuts)
    assert re.sub(adjacent, REDACTED, said) == re.sub(adjacent, REDACTED, REDACTED.join(pieces))


def test_lines_of_base64_in_a_stream_are_redacted() -> None:
    """A secret that base64 breaks over lines is found though the lines come one by one."""
    secret = "correct horse battery staple, and much more of that kind until it needs several lines"
    whole = base64.encodebytes(b"user:" + secret.encode()).decode()
    assert whole.count("\n") > 1
    cuts = [number + 1 for number, character in enumerate(whole) if character == "\n"]
    assert _streamed(Redactor([secret]), whole, cuts) == "dXNlcj" + REDACTED + "\n"


def test_a_stream_holds_nothing_back_without_a_reason() -> None:
    """A line that is no beginning of a secret is passed on at once."""
    redactor = Redactor(["correct horse", "-----BEGIN KEY-----\nMIIabcdef\n-----END KEY-----"])
    for text in ("Pulling image\n", "some words without an end", "abc\r"):
        assert redactor.divide(text) == (text, "")


def _streamed(redactor: Redactor, text: str, cuts: list[int]) -> str:
    said, held, done = "", "", 0
    for cut in [*sorted(cuts), len(text)]:
        part, held = redactor.divide(held + text[done:cut])
        said, done = said + part, max(done, cut)
    return said + redactor.redact(held)


@given(secret=st.text(max_size=SHORTEST - 1), text=st.text())
def test_a_short_secret_redacts_no_ordinary_text(secret: str, text: str) -> None:
    """A secret of a few characters is a part of ordinary words; they are left alone."""
    assert Redactor([secret]).redact(text + secret) == text + secret


@given(secrets=st.lists(SECRETS, max_size=4), text=st.text(st.sampled_from("GHIJKLMNOP-_ \n…."), max_size=300))
def test_text_without_a_secret_is_left_alone(secrets: list[str], text: str) -> None:
    """A text that holds no form of a secret stays as it is, cut or not."""
    redactor = Redactor(secrets)
    assert redactor.redact(text) == text
    assert "".join(redactor.divide(text)) == text


@given(first=SECRETS, second=SECRETS, shared=st.integers(1, 5))
def test_secrets_that_overlap_are_both_redacted(first: str, second: str, shared: int) -> None:
    """Nothing is left of two secrets of which one begins within the other."""
    second = first[-shared:] + second
    assume(first not in second)
    assert Redactor([first, second]).redact(first + second[shared:]) == REDACTED


def test_a_key_is_found_whole_by_lines_and_encoded() -> None:
    """A secret of several lines is redacted as a whole, and each of its lines alone or in the base64 of the whole."""
    key = "-----BEGIN KEY-----\nMIIcanaryFirst\nMIIcanarySecond\n-----END KEY-----\n"
    redactor = Redactor([key])
    assert redactor.redact(f"<{key}>") == f"<{REDACTED}>"
    assert redactor.redact("> MIIcanarySecond <") == f"> {REDACTED} <"
    encoded = redactor.redact(base64.b64encode(key.encode()).decode())
    assert sum(len(part) for part in encoded.split(REDACTED)) <= 12  # the ends of lines


def test_the_forms_grow_with_the_secret_only() -> None:
    """A long secret is searched for in pieces: neither the number of forms nor their lengths multiply."""
    counts = []
    for pieces in (10, 20):
        redactor = Redactor(["".join(chr(97 + number * number % 26) for number in range(pieces * PIECE))])
        redactor.redact("some text")
        counts.append(len(redactor._forms) + len(redactor._codes))
        assert max(map(len, (*redactor._forms, *redactor._codes))) <= 2 * (PIECE + SHORTEST)
    assert counts[1] <= 2 * counts[0]


def test_the_cuts_of_a_text_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that sends cuts without end makes no work without end."""
    looks = []
    monkeypatch.setattr(redaction, "_beginning_at_end", lambda *given: looks.append(given) or 0)
    redactor = Redactor(["canary-1234"])
    redactor.redact(CUT * 10)
    few = len(looks)
    redactor.redact(CUT * 10_000)
    assert len(looks) <= 2 * few
