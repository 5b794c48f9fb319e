"""Vault texts and files: any text is decrypted or refused; what was encrypted comes back byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

from orchestr.errors import InputError
from orchestr.vault import format as vault
from orchestr.vault import inline
from orchestr.vault.files import Change, decrypt_content, rekey_file, replace_all, view_content
from orchestr.vault.key import VaultKey
from tests.fuzz.effort import altered, fuzz, read_within_limits, to_bytes, write

PASSWORD = b"fuzz"
SALT = "61" * 32
SEALED = vault.encrypt(b"some: content\n", PASSWORD)
LABELLED = vault.encrypt("grün".encode(), PASSWORD, "prod")
YAML = "a: 1\n" + inline.block("token", SEALED) + inline.block("other", LABELLED) + "b: [x, y]  # tail\n"
LABELS = st.text(st.characters(codec="utf-8", exclude_characters=";@"), min_size=1, max_size=8).filter(vault.is_label)
WORDS = [
    "$ANSIBLE_VAULT", ";1.1", ";1.2;AES256;", ";AES", "0a", "\n", "\r\n", " ", "g", "61" * 20, "!vault |\n", "!vault ",
    "'", '"', "&x ", "*x", "- ", "{", "}", "|-\n", ">\n", "#",
]  # fmt: skip


def _key(password: str = "fuzz") -> VaultKey:
    return VaultKey(ask=lambda: password)


@fuzz(altered([SEALED, LABELLED], WORDS), examples=30)
def test_any_text_is_decrypted_or_refused(text: str) -> None:
    """Damage anywhere: in the header, the hexadecimal, the sizes of parts, the padding."""
    read_within_limits(lambda: vault.decrypt(text, PASSWORD), vault.VaultError)


@fuzz(st.lists(st.binary(max_size=40), min_size=1, max_size=4), examples=30)
def test_any_parts_are_decrypted_or_refused(parts: list[bytes]) -> None:
    """A body of hexadecimal whose parts are any bytes."""
    body = b"\n".join(part.hex().encode() for part in parts).hex()
    text = f"$ANSIBLE_VAULT;1.1;AES256\n{body}\n"
    read_within_limits(lambda: vault.decrypt(text, PASSWORD), vault.VaultError)


@fuzz(
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=20),
    LABELS,
    examples=12,
)
def test_what_was_encrypted_comes_back(data: bytes, password: bytes, label: str) -> None:
    """Any content, password and label."""
    text = vault.encrypt(data, password, label)
    assert vault.check_header(text) == label
    assert vault.decrypt(text, password) == data


@fuzz(altered([YAML, SEALED], WORDS), examples=30)
def test_any_file_is_shown_and_encrypted_anew_or_refused(tmp_path: Path, text: str) -> None:
    """A file that is encrypted anew has the same values, and all else is as it was."""
    path = write(tmp_path / "vars.yml", text)
    data = to_bytes(text)
    read_within_limits(lambda: decrypt_content(path, data, _key()), InputError)
    before = read_within_limits(lambda: view_content(path, data, _key()), InputError)
    result = read_within_limits(lambda: rekey_file(path, _key(), _key("other")), InputError)
    if result is not None:
        change, count = result
        assert count
        after = read_within_limits(lambda: view_content(path, change.after, _key("other")))
        assert before is None or after == before


@fuzz(st.binary(max_size=60), examples=30)
def test_any_bytes_are_a_file_or_an_input_error(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no text are named so."""
    path = tmp_path / "vars.yml"
    replace_all([Change(path, None, data, 0o600)])
    assert path.read_bytes() == data
    read_within_limits(lambda: view_content(path, data, _key()), InputError)
    read_within_limits(lambda: rekey_file(path, _key(), _key("other")), InputError)


def test_a_character_that_yaml_does_not_allow_is_an_input_error(tmp_path: Path) -> None:
    """PyYAML looks for such before it reads anything."""
    path = write(tmp_path / "vars.yml", "a: \x08\n" + YAML)
    with pytest.raises(InputError, match=r"vars\.yml:1:4: not valid YAML"):
        rekey_file(path, _key(), _key("other"))
