"""sha256 without OpenSSL: loading that takes longer than hashing all the small files of a play."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional


LARGE_BYTES = 1 << 20  # from here on OpenSSL, which uses the processor's own instructions, is worth its loading


def _built_in() -> Optional[Callable[[], Any]]:
    for module in ("_sha256", "_sha2"):  # until 3.11; since
        try:
            return getattr(__import__(module), "sha256", None)
        except ImportError:
            pass
    return None


_small = _built_in()


def new_sha256(size_bytes: int = 0) -> Any:
    """Return a new sha256 as of hashlib; for content of ``size_bytes`` (0: small), the one that is sooner done."""
    if _small is not None and size_bytes < LARGE_BYTES:
        return _small()
    from hashlib import sha256

    return sha256()


def sha256_of(data: bytes) -> str:
    """Return the sha256 (hex) of some bytes."""
    digest = new_sha256(len(data))
    digest.update(data)
    return str(digest.hexdigest())
