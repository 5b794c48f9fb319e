"""The sources of the vault password, as in Ansible: a file, a program, the environment, or a prompt.

``label`` is Ansible's vault id: it says which password is tried first, and stands in the header of encrypted texts.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestr.errors import InputError
from orchestr.paths import is_file, unreadable
from orchestr.vault.format import DEFAULT_LABEL, is_label

PASSWORD_VARIABLE = "ORCHESTR_VAULT_PASSWORD"  # noqa: S105 - the name of a variable, not a password
PASSWORD_FILE_VARIABLES = ("ORCHESTR_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_PASSWORD_FILE")
IDENTITIES_VARIABLE = "ANSIBLE_VAULT_IDENTITY_LIST"
PROMPTS = ("prompt", "prompt_ask_vault_pass")
PROGRAM_TIMEOUT_S = 60.0
_STDERR_TAIL = 300
_EMPTY = "put the vault password into it"


@dataclass(frozen=True)
class VaultPassword:
    """One password: its label, its source in words (never the password), and how it is fetched. Raises InputError."""

    label: str
    source: str
    fetch: Callable[[], bytes]


def from_prompt(ask: Callable[[], str], label: str = DEFAULT_LABEL, source: str = "what was typed") -> VaultPassword:
    """Return the password that ``ask`` gives."""

    def fetch() -> bytes:
        password = ask().strip().encode()
        if not password:
            raise InputError("the vault password is empty", next_step="type it, or give --vault-password-file FILE")
        return password

    return VaultPassword(label, source, fetch)


def from_file(path: Path, source: str, label: str = DEFAULT_LABEL) -> VaultPassword:
    """Return the password in a file; one that is executable is run and prints it. Raises InputError when it is none."""
    path = path.expanduser()
    if not is_file(path) and (path.is_dir() or not path.exists()):
        what = "is a directory, not a vault password file" if path.is_dir() else "no such vault password file"
        raise InputError(
            f"{source}: {what}", file=path, next_step="it holds the password, or prints it when it is executable"
        )
    return VaultPassword(label, source, lambda: _read(path, source, label))


def from_identity(text: str, source: str, ask: Callable[[str], str] | None) -> VaultPassword:
    """Return the password of ``LABEL@SOURCE``: a file, a program, or ``prompt``; a SOURCE alone has the label default.

    ``ask`` asks a person for the password of a label. Raises InputError.
    """
    label, at, origin = text.partition("@")
    if not at:
        label, origin = DEFAULT_LABEL, text
    if not origin or not is_label(label):
        raise InputError(
            f"{source}: {text!r} is not LABEL@SOURCE", next_step=f"for example: {source} prod@~/.vault-prod"
        )
    if origin not in PROMPTS:
        return from_file(Path(origin), f"{source} {label}@…" if at else source, label)
    if ask is None:
        raise InputError(f"{source}: there is no terminal to ask at", next_step="name a file: LABEL@FILE")
    question = ask
    return from_prompt(lambda: question(label), label, f"what was typed for {label}")


def from_environment(
    environment: Mapping[str, str], ask: Callable[[str], str] | None = None
) -> tuple[VaultPassword, ...]:
    """Return the passwords the environment names, none when it names none. Raises InputError."""
    passwords: list[VaultPassword] = []
    if text := environment.get(PASSWORD_VARIABLE):
        passwords.append(from_prompt(lambda: text, source=PASSWORD_VARIABLE))
    for variable in PASSWORD_FILE_VARIABLES:
        if not passwords and (named := environment.get(variable)):
            passwords.append(from_file(Path(named), variable))
    identities = environment.get(IDENTITIES_VARIABLE, "").split(",")
    passwords += [
        from_identity(identity.strip(), IDENTITIES_VARIABLE, ask) for identity in identities if identity.strip()
    ]
    return tuple(passwords)


def exposure(path: Path) -> str:
    """Return a warning when others can read a password file, "" when not (a program may be read by anyone)."""
    try:
        status = path.expanduser().stat()
    except OSError:
        return ""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or mode & 0o111 or not mode & 0o077:
        return ""
    return f"{path}: others can read or change this vault password file (mode {mode:04o}); chmod 600 {path}"


def _read(path: Path, source: str, label: str) -> bytes:
    if path.is_file() and os.access(path, os.X_OK):
        return _run_program(path, source, label)
    try:
        password = path.read_bytes().strip()
    except OSError as problem:
        raise unreadable(path, problem, f"{source}: can't be read") from None
    if not password:
        raise InputError(f"{source}: the file is empty", file=path, next_step=_EMPTY)
    return password


def _run_program(path: Path, source: str, label: str) -> bytes:
    """Run a password program; one whose name ends in ``-client`` is told which label is wanted, as by Ansible."""
    arguments = ["--vault-id", label] if path.stem.endswith("-client") else []
    try:
        done = subprocess.run(
            [str(path.resolve()), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=PROGRAM_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        what = f"{source}: {path} was still running after {PROGRAM_TIMEOUT_S:g} s"
        raise InputError(what, next_step=f"it must not ask; try it: {path} </dev/null") from None
    except OSError as problem:
        step = "if it holds the password and is not a program: chmod 600 it"
        raise InputError(f"{source}: can't run {path}: {problem.strerror}", next_step=step) from None
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip()[-_STDERR_TAIL:]
        what = f"{source}: {path} exited with {done.returncode}: {tail}"
        raise InputError(what, next_step=f"try it yourself: {path} </dev/null")
    password = done.stdout.strip(b"\r\n")
    if not password:
        raise InputError(f"{source}: {path} printed no password", next_step="it must print it on stdout")
    return password
