"""Private key files looked at from outside: is it encrypted, and which public key does it belong to?

Format of the newer files: PROTOCOL.key of OpenSSH; the public key stands in clear before the encrypted part.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from pathlib import Path

from orchestr.transport.file_version import version_of

MAGIC = b"openssh-key-v1\0"


def is_encrypted(file: str) -> bool:
    """Tell whether the private key file needs a passphrase. False for what cannot be read."""
    return _is_encrypted(file, version_of(file))


@functools.lru_cache(maxsize=64)
def _is_encrypted(file: str, version: tuple[int, ...]) -> bool:
    try:
        text = Path(file).read_text(errors="replace")
    except OSError:
        return False
    if "Proc-Type: 4,ENCRYPTED" in text or "BEGIN ENCRYPTED PRIVATE KEY" in text:
        return True
    fields = _fields(text)
    return bool(fields) and fields[0] != b"none"


def public_blob(file: str) -> bytes | None:
    """Return the public key of a private key file, from its ``.pub`` or from its own head."""
    try:
        public = Path(file if file.endswith(".pub") else file + ".pub").read_text(errors="replace").split()
        return base64.b64decode(public[1])
    except (OSError, IndexError, binascii.Error):
        pass
    try:
        fields = _fields(Path(file).read_text(errors="replace"))
    except OSError:
        return None
    return fields[3] if fields else None


def _fields(text: str) -> list[bytes]:
    """Return cipher name, key derivation, its options and the public key; nothing for an older format."""
    found = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", text, re.DOTALL)
    try:
        data = base64.b64decode(found[1]) if found else b""
    except binascii.Error:
        return []
    if not data.startswith(MAGIC):
        return []
    fields, rest = [], data[len(MAGIC) :]
    for name in ("cipher", "kdf", "options", "count", "public"):
        if name == "count":
            rest = rest[4:]
            continue
        size = int.from_bytes(rest[:4], "big")
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return fields
