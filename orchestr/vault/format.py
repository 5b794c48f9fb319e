"""Ansible Vault, formats 1.1 and 1.2 (AES256): reading and writing, both ways with ``ansible-vault``.

Format: docs.ansible.com, "Ansible Vault payload format 1.1 - 1.2". A header line, then hex of three hex lines:
salt, HMAC-SHA256 of the ciphertext, ciphertext (AES-256-CTR, PKCS#7 padding). The keys are 10,000 rounds of
PBKDF2-HMAC-SHA256 over the password: 32 bytes for the cipher, 32 for the HMAC, 16 for the counter. 1.2 is 1.1 with a
label (vault id) at the header's end.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from binascii import Error as HexError
from binascii import hexlify, unhexlify

HEADER = "$ANSIBLE_VAULT"
DEFAULT_LABEL = "default"
LINE_LENGTH = 80
#: The next step for a text that no password opens.
RESTORE = "restore it from a copy, or encrypt it again: orchestr secrets encrypt"
_ROUNDS = 10_000
_SALT_BYTES, _KEY_BYTES, _BLOCK_BYTES, _DIGEST_BYTES = 32, 32, 16, 32
_LABEL = re.compile(r"[^\s;@]+")


class VaultError(ValueError):
    """The text is no vault, or is damaged."""


class WrongPassword(VaultError):
    """The text is whole as far as can be told, and the password is not the one it was made with."""

    def __init__(self) -> None:
        super().__init__("the vault password is not the one this was encrypted with (or the text is damaged)")


def is_vault(text: str) -> bool:
    """Return True if ``text`` starts with the header of Ansible Vault."""
    return text.lstrip().startswith(HEADER)


def is_label(text: str) -> bool:
    """Return True if ``text`` is a valid vault id: no blanks, no ``;`` and no ``@``."""
    return _LABEL.fullmatch(text) is not None


def check_header(text: str) -> str:
    """Return the label of a vault text, ``default`` when it has none.

    Raises VaultError unless the first line announces a format this module reads.
    """
    header = text.lstrip().partition("\n")[0].strip()
    parts = header.split(";")
    if parts[0] != HEADER:
        raise VaultError(f"a vault text starts with {HEADER}, this one with {header[:20]!r}")
    if len(parts) < 3 or parts[1] not in ("1.1", "1.2") or parts[2] != "AES256":
        raise VaultError(f"unknown vault format {header[:60]!r}: expected {HEADER};1.1;AES256 or 1.2")
    return parts[3] if parts[1] == "1.2" and len(parts) > 3 and parts[3] else DEFAULT_LABEL


def decrypt(text: str, password: bytes) -> bytes:
    """Return the plain content of a vault text.

    Raises VaultError when the text is damaged, WrongPassword when it may be whole but was made with another password.
    """
    check_header(text)
    salt, digest, ciphertext = _parts(text)
    cipher_key, mac_key, counter = _keys(password, salt)
    if not hmac.compare_digest(_digest(mac_key, ciphertext), digest):
        raise WrongPassword
    try:
        return _decipher(ciphertext, cipher_key, counter)
    except ValueError:
        raise VaultError("the vault text is damaged: its padding is not the one it should have") from None


def encrypt(data: bytes, password: bytes, label: str = DEFAULT_LABEL) -> str:
    """Return ``data`` as a vault text with a last newline; format 1.2 when there is a label to keep, else 1.1."""
    salt = secrets.token_bytes(_SALT_BYTES)
    cipher_key, mac_key, counter = _keys(password, salt)
    ciphertext = _encipher(data, cipher_key, counter)
    body = hexlify(b"\n".join(hexlify(part) for part in (salt, _digest(mac_key, ciphertext), ciphertext))).decode()
    header = f"{HEADER};1.1;AES256" if label == DEFAULT_LABEL else f"{HEADER};1.2;AES256;{label}"
    lines = [body[start : start + LINE_LENGTH] for start in range(0, len(body), LINE_LENGTH)]
    return "\n".join((header, *lines, ""))


def _keys(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    material = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 2 * _KEY_BYTES + _BLOCK_BYTES)
    return material[:_KEY_BYTES], material[_KEY_BYTES : 2 * _KEY_BYTES], material[2 * _KEY_BYTES :]


def _digest(key: bytes, ciphertext: bytes) -> bytes:
    return hmac.new(key, ciphertext, hashlib.sha256).digest()


def _parts(text: str) -> tuple[bytes, bytes, bytes]:
    body = "".join(line.strip() for line in text.strip().splitlines()[1:])
    try:
        salt, digest, ciphertext = (unhexlify(part) for part in unhexlify(body).split(b"\n", 2))
    except (HexError, ValueError):
        raise VaultError("the vault text is damaged: its body is not the hexadecimal it should be") from None
    if len(digest) != _DIGEST_BYTES or not ciphertext or len(ciphertext) % _BLOCK_BYTES:
        raise VaultError("the vault text is damaged: a part of it is missing")
    return salt, digest, ciphertext


def _decipher(ciphertext: bytes, key: bytes, counter: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    decryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor()
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()


def _encipher(data: bytes, key: bytes, counter: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    padder = PKCS7(_BLOCK_BYTES * 8).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
