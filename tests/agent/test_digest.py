"""A digest is the same whichever implementation makes it."""

from __future__ import annotations

import hashlib

import pytest

from orchestr.agent import digest


@pytest.mark.parametrize("size_bytes", [0, 1, 65, digest.LARGE_BYTES - 1, digest.LARGE_BYTES])
def test_small_and_large_content_have_the_digest_of_hashlib(size_bytes: int) -> None:
    """Where OpenSSL takes over changes nothing but the time it takes."""
    data = b"x" * size_bytes
    assert digest.sha256_of(data) == hashlib.sha256(data).hexdigest()


def test_a_python_without_the_small_one_uses_hashlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The implementation built into python is a matter of speed: nothing depends on it being there."""
    monkeypatch.setattr(digest, "_small", None)
    assert digest.sha256_of(b"x") == hashlib.sha256(b"x").hexdigest()
