"""sha256 without OpenSSL: loading that takes longer than hashing all the small files of a play."""

from __future__ import annotations

from typing import Any

LARGE_BYTES = 1 << 20  # from here on OpenSSL, which uses the processor's own instructions, is worth its loading


def new_sha256(size_bytes: int = 0) -> Any:
    """Return a new sha256 as of hashlib; for content of ``size_bytes`` (0: small), the one that is sooner done."""
    if size_bytes < LARGE_BYTES:
        for module in ("_sha2", "_sha256"):  # since 3.12; before
            try:
                return __import__(module).sha256()
            except ImportError:
                pass
    from hashlib import sha256

    return sha256()


def sha256_of(data: bytes) -> str:
    """Return the sha256 (hex) of some bytes."""
    digest = new_sha256(len(data))
    digest.update(data)
    return str(digest.hexdigest())
