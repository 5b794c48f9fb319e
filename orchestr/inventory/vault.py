"""Ansible Vault, formats 1.1 and 1.2 (AES256): reading only; ``ansible-vault`` writes them.

Format: docs.ansible.com, "Ansible Vault payload format 1.1 - 1.2". A header line, then hex of three hex lines:
salt, HMAC-SHA256 of the ciphertext, ciphertext (AES-256-CTR, PKCS#7 padding). The keys are 10,000 rounds of
PBKDF2-HMAC-SHA256 over the password: 32 bytes for the cipher, 32 for the HMAC, 16 for the counter.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import Error as HexError
from binascii import unhexlify

HEADER = "$ANSIBLE_VAULT"
_ROUNDS = 10_000
_KEY_BYTES, _BLOCK_BYTES = 32, 16


class VaultError(ValueError):
    """The text is no vault, or the password is not its password."""


def is_vault(text: str) -> bool:
    """Say whether ``text`` starts as everything ``ansible-vault`` writes does."""
    return text.lstrip().startswith(HEADER)


def check_header(text: str) -> None:
    """Raise VaultError unless the first line announces a format this module reads."""
    header = text.lstrip().partition("\n")[0].strip()
    parts = header.split(";")
    if parts[0] != HEADER:
        raise VaultError(f"a vault text starts with {HEADER}, this one with {header[:20]!r}")
    if len(parts) < 3 or parts[1] not in ("1.1", "1.2") or parts[2] != "AES256":
        raise VaultError(f"unknown vault format {header!r}: expected {HEADER};1.1;AES256 or 1.2")


def decrypt(text: str, password: str) -> str:
    """Return the plain text inside a vault text.

    Raises VaultError when the text is damaged or the password is not the one it was made with.
    """
    check_header(text)
    salt, digest, ciphertext = _parts(text)
    material = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS, 2 * _KEY_BYTES + _BLOCK_BYTES)
    cipher_key, mac_key = material[:_KEY_BYTES], material[_KEY_BYTES : 2 * _KEY_BYTES]
    if not hmac.compare_digest(hmac.new(mac_key, ciphertext, hashlib.sha256).digest(), digest):
        raise VaultError("the vault password is not the one this was encrypted with (or the text is damaged)")
    try:
        return _decipher(ciphertext, cipher_key, material[2 * _KEY_BYTES :]).decode()
    except ValueError:
        raise VaultError("what the vault text decrypts to is not UTF-8 text") from None


def _parts(text: str) -> tuple[bytes, bytes, bytes]:
    body = "".join(line.strip() for line in text.strip().splitlines()[1:])
    try:
        salt, digest, ciphertext = unhexlify(body).split(b"\n", 2)
        return unhexlify(salt), unhexlify(digest), unhexlify(ciphertext)
    except (HexError, ValueError):
        raise VaultError("the vault text is damaged: its body is not the hexadecimal it should be") from None


def _decipher(ciphertext: bytes, key: bytes, counter: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    decryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor()
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
