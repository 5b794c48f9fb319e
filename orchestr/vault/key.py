"""The vault passwords of one command: asked for once, at the first text to decrypt, then kept in memory only."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from orchestr.errors import InputError
from orchestr.inventory.generated import GeneratedSecrets
from orchestr.inventory.position import Position
from orchestr.once import Once
from orchestr.vault import format as vault
from orchestr.vault.passwords import PASSWORD_FILE_VARIABLES, VaultPassword, from_environment, from_prompt

_GIVE = "give the password it was encrypted with: --vault-password-file FILE, or --ask-vault-pass"
_MISSING = f"type --ask-vault-pass, or --vault-password-file FILE, or set {PASSWORD_FILE_VARIABLES[0]} to a file's path"


class VaultKey:
    """Decrypts and encrypts vault texts with the given passwords, else with those of the environment."""

    def __init__(
        self,
        ask: Callable[[], str] | None = None,
        *,
        passwords: Sequence[VaultPassword] = (),
        fallback: Callable[[], str] | None = None,
    ) -> None:
        """``ask`` gives the one password there is; ``fallback`` is asked when nothing else names a password."""
        self._given = tuple(passwords) or ((from_prompt(ask),) if ask else ())
        self._fallback = from_prompt(fallback) if fallback else None
        self._fetched: Once[bytes] = Once()
        self.generated = GeneratedSecrets(self)  # what is generated is encrypted with the same passwords
        self._lock = threading.RLock()

    @property
    def is_given(self) -> bool:
        """Whether a password was named, by an option or the environment: then it may be used without asking."""
        return bool(self._named())

    @property
    def first_label(self) -> str | None:
        """The label of the first password that was named, None without one."""
        return next((password.label for password in self._named()), None)

    def decrypt(self, text: str, position: Position) -> str:
        """Return the plain text of a vault text; raises InputError at ``position``."""
        try:
            return self.decrypt_bytes(text, position).decode()
        except UnicodeDecodeError:
            step = "encrypt a text instead: orchestr secrets encrypt --string NAME"
            raise position.error("the content of the vault text is not UTF-8", next_step=step) from None

    def decrypt_bytes(self, text: str, position: Position) -> bytes:
        """Return the plain content of a vault text; raises InputError at ``position``."""
        try:
            label = vault.check_header(text)
            passwords = self._candidates(label, position)
            for password in passwords:
                try:
                    return vault.decrypt(text, self._bytes(password))
                except vault.WrongPassword as problem:
                    wrong = problem
        except vault.VaultError as problem:
            raise position.error(str(problem), next_step=vault.RESTORE) from None
        raise position.error(_none_fits(wrong, label, passwords), next_step=_GIVE) from None

    def encrypt(self, data: bytes, label: str | None = None) -> str:
        """Return ``data`` as a vault text, made with the password of ``label`` (default: the only one there is).

        Raises InputError when there is none, or several and no label.
        """
        password = self._of_label(label)
        return vault.encrypt(data, self._bytes(password), label or password.label)

    def _of_label(self, label: str | None) -> VaultPassword:
        passwords = self._all() or ()
        if not passwords:
            raise InputError("no vault password was given", next_step=_MISSING)
        if label is not None:
            # A text keeps its label when the one password there is has none.
            fitting = [password for password in passwords if password.label == label] or list(passwords)[
                : len(passwords) == 1
            ]
        else:
            fitting = list(passwords)
        labels = ", ".join(password.label for password in passwords)
        if not fitting:
            step = f"give its password: --vault-id {label}@FILE"
            raise InputError(f"no vault password has the label {label!r}; given: {labels}", next_step=step)
        if label is None and len(fitting) > 1:
            step = "say which to encrypt with: --encrypt-vault-id LABEL"
            raise InputError(f"several vault passwords were given: {labels}", next_step=step)
        return fitting[0]

    def _candidates(self, label: str, position: Position) -> Sequence[VaultPassword]:
        """Return the passwords to try, those of the text's label first."""
        passwords = self._all()
        if not passwords:
            what = "this is encrypted with Ansible Vault and no vault password was given"
            raise position.error(what, next_step=_MISSING)
        return sorted(passwords, key=lambda password: password.label != label)

    def _named(self) -> tuple[VaultPassword, ...]:
        with self._lock:
            if not self._given:
                self._given = from_environment(os.environ)
            return self._given

    def _all(self) -> tuple[VaultPassword, ...]:
        return self._named() or ((self._fallback,) if self._fallback else ())

    def _bytes(self, password: VaultPassword) -> bytes:
        return self._fetched.get(f"{password.label}@{password.source}", password.fetch)


def _none_fits(wrong: vault.WrongPassword, label: str, passwords: Sequence[VaultPassword]) -> str:
    if len(passwords) == 1:
        return str(wrong)
    tried = ", ".join(password.label for password in passwords)
    return f"none of the vault passwords ({tried}) is the one this was encrypted with (its vault id is {label!r})"
