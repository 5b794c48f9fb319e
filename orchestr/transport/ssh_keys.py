"""Private key files: loaded for paramiko, or refused with the reason and the next step.

Formats: PROTOCOL.key of OpenSSH (the public key stands in clear before the encrypted part), PEM with an encryption of
its own (RFC 1421), PKCS#8 (RFC 5958).
"""

from __future__ import annotations

import base64
import binascii
import errno
import functools
import io
import os
import re
from pathlib import Path
from typing import Any

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from orchestr.transport.file_version import version_of

MAGIC = b"openssh-key-v1\0"
PUBLIC = re.compile(r"\s*(?:ssh-|ecdsa-sha2-|sk-)[\w@.-]+ AAAA|\s*---- BEGIN SSH2 PUBLIC KEY|-----BEGIN PUBLIC KEY")
PKCS8 = "-----BEGIN PRIVATE KEY-----"
EC_PARAMETERS = re.compile(r"-----BEGIN EC PARAMETERS-----.*?-----END EC PARAMETERS-----\s*", re.DOTALL)
CLASSES: dict[type, Any] = {
    rsa.RSAPrivateKey: paramiko.RSAKey,
    ec.EllipticCurvePrivateKey: paramiko.ECDSAKey,
    ed25519.Ed25519PrivateKey: paramiko.Ed25519Key,
}


class KeyFileError(Exception):
    """A key file that cannot be used from here: the reason, and the next step."""

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.next_step = next_step


def load(file: str) -> paramiko.PKey:
    """Return the private key of a file, read once for all hosts. Raises KeyFileError, also for a passphrase."""
    return _load(file, (*version_of(file), *version_of(file + "-cert.pub")))


@functools.lru_cache(maxsize=64)
def _load(file: str, version: tuple[int, ...]) -> paramiko.PKey:
    try:
        text = _read(file)
    except FileNotFoundError:
        raise KeyFileError(f"{file} is not there, only its public key", f"copy the private key to {file}") from None
    except OSError as error:
        raise KeyFileError(f"{file} cannot be read: {error.strerror}", f"make it readable: ls -l {file}") from error
    _refuse_unusable(file, text)
    try:
        is_ours_to_read = PKCS8 in text or EC_PARAMETERS.search(text)
        key = _from_pem(text) if is_ours_to_read else paramiko.PKey.from_path(file)
        key.get_name()
    except Exception as error:  # the libraries raise any: AttributeError for a curve that paramiko does not know
        first = str(error).partition(". ")[0]  # a library goes on with guesses: that it may be encrypted
        reason = "it is of a kind that SSH does not have" if isinstance(error, AttributeError) else first
        step = f"look at it: ssh-keygen -yf {file}; make a usable one: ssh-keygen -t ed25519"
        raise KeyFileError(f"{file} cannot be used: {reason}", step) from error
    return key


def _refuse_unusable(file: str, text: str) -> None:
    """Raise KeyFileError for files that are no private key, or one that only an agent can use."""
    if PUBLIC.match(text):
        step = f"name the private key: {file.removesuffix('.pub')}" if file.endswith(".pub") else "name the private key"
        raise KeyFileError(f"{file} is a public key and no agent has its private key", step)
    if text.startswith("PuTTY-User-Key-File"):
        step = f"puttygen {file} -O private-openssh -o {file}.openssh"
        raise KeyFileError(f"{file} is a key of PuTTY's format", step)
    if is_security_key(file):
        step = f"ssh-add {file}"
        raise KeyFileError(f"{file} is a key on a security token (FIDO), usable through an agent only", step)
    if "PRIVATE KEY" not in text:
        step = f"name the private key: its first line is -----BEGIN … PRIVATE KEY-----; see: head -n 1 {file}"
        raise KeyFileError(f"{file} cannot be used: it is not a private key", step)
    if is_encrypted(file):
        raise KeyFileError(f"{file} is encrypted and no agent has it", f"ssh-add {file}")


def _read(file: str) -> str:
    """Return a file's text. Raises OSError: also for a FIFO or a device, of which nobody knows when they end."""
    if not Path(file).is_file():
        code = errno.EINVAL if Path(file).exists() else errno.ENOENT
        raise OSError(code, "not a regular file" if code == errno.EINVAL else os.strerror(code), file)
    return Path(file).read_text(errors="replace")


def _from_pem(text: str) -> paramiko.PKey:
    """Return the key of a PEM text that paramiko does not read, by way of OpenSSH's own format."""
    key = serialization.load_pem_private_key(EC_PARAMETERS.sub("", text).encode(), password=None)
    for kind, key_class in CLASSES.items():
        if isinstance(key, kind):
            encryption = serialization.NoEncryption()
            own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption)
            loaded: paramiko.PKey = key_class.from_private_key(io.StringIO(own.decode()))
            return loaded
    raise ValueError(f"a {type(key).__name__} cannot log in over SSH")


def is_encrypted(file: str) -> bool:
    """Return True if the private key file needs a passphrase; False for a file that cannot be read."""
    return _is_encrypted(file, version_of(file))


@functools.lru_cache(maxsize=64)
def _is_encrypted(file: str, version: tuple[int, ...]) -> bool:
    try:
        text = _read(file)
    except OSError:
        return False
    if "Proc-Type: 4,ENCRYPTED" in text or "BEGIN ENCRYPTED PRIVATE KEY" in text:
        return True
    fields = _fields(text)
    return bool(fields) and fields[0] != b"none"


def is_security_key(file: str) -> bool:
    """Return True if the private key is on a FIDO token: the file has a handle only."""
    try:
        fields = _fields(_read(file))
    except OSError:
        return False
    return bool(fields) and fields[3][4:].startswith(b"sk-")


def public_blob(file: str) -> bytes | None:
    """Return the public key of a private key file, from its ``.pub`` or from its own head."""
    try:
        public = _read(file if file.endswith(".pub") else file + ".pub").split()
        return base64.b64decode(public[1])
    except (OSError, IndexError, binascii.Error):
        pass
    try:
        fields = _fields(_read(file))
    except OSError:
        return None
    return fields[3] if fields else None


def _fields(text: str) -> list[bytes]:
    """Return cipher name, key derivation, its options and the public key; nothing for an older or a cut format."""
    block = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", text, re.DOTALL)
    try:
        data = base64.b64decode(block[1]) if block else b""
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
        if len(rest) < 4 + size:
            return []
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return fields
