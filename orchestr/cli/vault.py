"""The vault passwords of a command: --vault-password-file, --vault-id, or a prompt."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestr.cli.given import Options
from orchestr.errors import InputError
from orchestr.vault.format import DEFAULT_LABEL
from orchestr.vault.key import VaultKey
from orchestr.vault.passwords import (
    PASSWORD_FILE_VARIABLES,
    PASSWORD_VARIABLE,
    VaultPassword,
    exposure,
    from_environment,
    from_file,
    from_identity,
    from_prompt,
)

NEW_PASSWORD_VARIABLE = "ORCHESTR_NEW_VAULT_PASSWORD"  # noqa: S105 - the name of a variable, not a password
_ELSE = "give --vault-password-file FILE, or set ORCHESTR_VAULT_PASSWORD_FILE to a file's path"


def vault_key(call: Options, *, is_new: bool = False) -> VaultKey:
    """Return the vault passwords of one command, the same object each time; the prompt comes at first use.

    With ``is_new`` a password that is typed is to be typed twice: something will be encrypted with it.
    """
    if "key" not in call.shared:
        passwords = list(_named(call.vault_ids, call.vault_password_file, "--vault-id", "--vault-password-file"))
        if call.ask_vault_pass:
            passwords.append(from_prompt(lambda: question(is_new=is_new)))
        _warn_of_exposed([*call.vault_password_file, *(text.partition("@")[2] or text for text in call.vault_ids)])
        if not passwords:
            passwords = list(from_environment(os.environ, question))
            _warn_of_exposed([os.environ.get(name, "") for name in PASSWORD_FILE_VARIABLES])
        os.environ.pop(PASSWORD_VARIABLE, None)  # it is nothing for the programs started from here
        fallback = (lambda: question(is_new=is_new)) if sys.stdin.isatty() else None
        call.shared["key"] = VaultKey(passwords=passwords, fallback=fallback)
    key: VaultKey = call.shared["key"]
    return key


def new_vault_key(vault_ids: Sequence[str], files: Sequence[str]) -> VaultKey:
    """Return the password that ``rekey`` encrypts with: named by an option or the environment, else typed twice."""
    passwords = list(_named(vault_ids, files, "--new-vault-id", "--new-vault-password-file"))
    _warn_of_exposed([*files, *(text.partition("@")[2] or text for text in vault_ids)])
    if not passwords and (text := os.environ.pop(NEW_PASSWORD_VARIABLE, "")):
        passwords = [from_prompt(lambda: text, source=NEW_PASSWORD_VARIABLE)]
    if not passwords and not sys.stdin.isatty():
        raise InputError("no new vault password was given", next_step="give --new-vault-password-file FILE")
    return VaultKey(passwords=passwords or [from_prompt(lambda: question("New vault password", is_new=True))])


def question(label: str = DEFAULT_LABEL, *, is_new: bool = False) -> str:
    """Ask for a password without echo; twice when it is new. Raises InputError at the end of input."""
    words = {DEFAULT_LABEL: "Vault password", "New vault password": label}.get(label, f"Vault password ({label})")
    try:
        text = getpass.getpass(f"{words}: ")
        if is_new and getpass.getpass(f"{words}, again: ") != text:
            raise InputError("the two passwords differ", next_step="type the same password twice")
    except EOFError:
        raise InputError(f"{words}: no answer", next_step=_ELSE) from None
    return text


def _named(
    identities: Sequence[str], files: Sequence[str], identity_option: str, file_option: str
) -> Iterator[VaultPassword]:
    for text in identities:
        yield from_identity(text, identity_option, question)
    for file in files:
        yield from_file(Path(file), file_option)


def _warn_of_exposed(paths: Sequence[str]) -> None:
    for path in paths:
        if path and (warning := exposure(Path(path))):
            print(f"warning: {warning}", file=sys.stderr)
