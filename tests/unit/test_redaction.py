"""Every secret that the controller holds is redacted, none is fetched for it, and none is kept alive."""

from __future__ import annotations

import gc

import pytest

from orchestr.inventory.position import Position
from orchestr.inventory.sources import DeferredSecret
from orchestr.redaction import live_secrets, redact
from orchestr.secret import REDACTED, Secret


def test_each_secret_and_its_parts_are_redacted() -> None:
    """The text of a secret is redacted, and so are the parts of a text that was made from secrets."""
    kept = Secret("canary-9b1d"), Secret("user canary-55aa", ["canary-55aa"])
    assert redact("a canary-9b1d, a canary-55aa") == f"a {REDACTED}, a {REDACTED}"
    assert len(kept) == 2


def test_a_secret_that_was_not_used_stays_unfetched() -> None:
    """Redacting asks no password manager; once the secret is used, its text is redacted."""
    fetched: list[str] = []

    def fetch() -> str:
        fetched.append("once")
        return "canary-77cc"

    secret = DeferredSecret(fetch, "!command", Position("i.yml"))
    assert redact("a canary-77cc") == "a canary-77cc"
    assert fetched == []
    secret.reveal()
    assert redact("a canary-77cc") == f"a {REDACTED}"


def test_a_secret_is_forgotten_with_its_last_reference() -> None:
    """The registry keeps no secret in memory."""
    secret = Secret("canary-31ee")
    assert "canary-31ee" in live_secrets()
    del secret
    gc.collect()
    assert "canary-31ee" not in live_secrets()


def test_objects_that_hold_no_secret_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets are known as they are made; nobody searches the process's memory."""
    monkeypatch.delattr(gc, "get_objects")
    kept = Secret("canary-88ff")
    assert redact("canary-88ff") == str(kept)
