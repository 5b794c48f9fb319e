"""Private key files: loaded for paramiko, or refused with the reason and the next step.

Formats: PROTOCOL.key of OpenSSH (the public key stands in clear before the encrypted part), PEM with an encryption of
its own (RFC 1421), PKCS#8 (RFC 5958).
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import re
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko.pkey import UnknownKeyType

from orchestr.transport.file_version import version_of

MAGIC = b"openssh-key-v1\0"
PUBLIC = re.compile(r"\s*(?:ssh-|ecdsa-sha2-|sk-)[\w@.-]+ AAAA|\s*---- BEGIN SSH2 PUBLIC KEY|-----BEGIN PUBLIC KEY")
PKCS8 = "-----BEGIN PRIVATE KEY-----"
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
        text = Path(file).read_text(errors="replace")
    except FileNotFoundError:
        raise KeyFileError(f"{file} is not there, only its public key", f"copy the private key to {file}") from None
    except OSError as error:
        raise KeyFileError(f"{file} cannot be read: {error.strerror}", f"make it readable: ls -l {file}") from error
    _refuse_unusable(file, text)
    try:
        return _from_pkcs8(text) if PKCS8 in text else paramiko.PKey.from_path(file)
    except (OSError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm) as error:
        step = f"look at it: ssh-keygen -yf {file}; make a usable one: ssh-keygen -t ed25519"
        raise KeyFileError(f"{file} cannot be used: {error}", step) from error


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
    if is_encrypted(file):
        raise KeyFileError(f"{file} is encrypted and no agent has it", f"ssh-add {file}")


def _from_pkcs8(text: str) -> paramiko.PKey:
    """Return the key of a PKCS#8 text, which paramiko does not read, by way of OpenSSH's own format."""
    key = serialization.load_pem_private_key(text.encode(), password=None)
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
        text = Path(file).read_text(errors="replace")
    except OSError:
        return False
    if "Proc-Type: 4,ENCRYPTED" in text or "BEGIN ENCRYPTED PRIVATE KEY" in text:
        return True
    fields = _fields(text)
    return bool(fields) and fields[0] != b"none"


def is_security_key(file: str) -> bool:
    """Return True if the private key is on a FIDO token: the file has a handle only."""
    try:
        fields = _fields(Path(file).read_text(errors="replace"))
    except OSError:
        return False
    return bool(fields) and fields[3][4:].startswith(b"sk-")


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
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return fields
