"""``orchestr secrets``: encrypt, read, edit and generate secrets. No host is contacted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import FILE, takes
from orchestr.cli.problems import write_stdout
from orchestr.cli.prompts import ask_secret
from orchestr.cli.subverbs import SubverbGroup
from orchestr.errors import EXIT_CHANGES, EXIT_DONE, InputError
from orchestr.paths import is_file

_FILES = click.argument("files", nargs=-1, metavar="FILE…", type=FILE)
_LABEL = click.option(
    "--encrypt-vault-id", "label", metavar="LABEL", help="Label of the password to encrypt with, if there are several."
)


@click.group("secrets", cls=SubverbGroup)
def command() -> None:
    """Encrypt, edit and generate secrets.

    Files and values are compatible with ansible-vault. No host is contacted.
    """


@command.command("encrypt")
@_FILES
@click.option("--string", "name", metavar="NAME", help="Encrypt one value and print it as YAML to paste.")
@_LABEL
@takes("vault", "output")
def encrypt(call: Invocation, files: tuple[str, ...], name: str | None, label: str | None) -> int:
    """Encrypt files in place, or one value.

    With --string NAME the value comes from a prompt without echo, or from stdin; one final newline is dropped.
    """
    from orchestr.cli.vault import vault_key
    from orchestr.vault.files import encrypt_file, replace_all

    if name is not None:
        return _encrypt_value(call, name, files, label)
    paths = _paths(files, "orchestr secrets encrypt FILE, or --string NAME for one value")
    key = vault_key(call, is_new=True)
    replace_all([encrypt_file(path, key, label) for path in paths])
    return _done(call, "encrypt", [{"file": str(path)} for path in paths], "encrypted")


def _encrypt_value(call: Invocation, name: str, files: tuple[str, ...], label: str | None) -> int:
    from orchestr.cli.vault import vault_key
    from orchestr.vault.inline import block

    if files:
        raise InputError("--string takes no file", next_step="orchestr secrets encrypt --string NAME")
    if not name.isidentifier():
        raise InputError(f"--string: {name!r} is not a valid variable name", next_step="letters, digits and '_' only")
    key = vault_key(call, is_new=True)
    text = block(name, key.encrypt(_value(name), label))
    if call.as_json:
        call.print_json({"version": 1, "verb": "secrets", "action": "encrypt", "exit": 0, "text": text})
    else:
        write_stdout(text)
    return 0


def _value(name: str) -> bytes:
    """Return the value to encrypt: typed twice, or all of stdin but one last newline. Raises InputError for none."""
    step = f"pipe it: printf %s VALUE | orchestr secrets encrypt --string {name}"
    if not sys.stdin.isatty():
        value = sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
        if not value:
            raise InputError("stdin is empty: nothing was encrypted", next_step=step)
        return value
    typed = ask_secret(f"Value of {name}: ", step)
    if not typed:
        raise InputError("the value is empty: nothing was encrypted", next_step="type the value")
    if ask_secret(f"Value of {name}, again: ", step) != typed:
        raise InputError("the two values differ", next_step="type the same value twice")
    return typed.encode()


@command.command("decrypt")
@_FILES
@click.option("--output", metavar="-", help="Print the content instead of writing the file (only -, for stdout).")
@takes("vault", "output")
def decrypt(call: Invocation, files: tuple[str, ...], output: str | None) -> int:
    """Decrypt files in place.

    A decrypted file has mode 0600, whatever its mode was before.
    """
    from orchestr.cli.vault import vault_key
    from orchestr.vault.files import decrypt_file, replace_all

    if output is not None:
        if output != "-":
            raise InputError("--output takes only -, for stdout", next_step="leave it out to decrypt in place")
        return _show(call, "decrypt", files)
    paths = _paths(files, "orchestr secrets decrypt FILE")
    key = vault_key(call)
    replace_all([decrypt_file(path, key) for path in paths])
    return _done(call, "decrypt", [{"file": str(path)} for path in paths], "decrypted")


@command.command("view")
@_FILES
@takes("vault", "output")
def view(call: Invocation, files: tuple[str, ...]) -> int:
    """Print the content of encrypted files.

    A YAML file with !vault values is printed as a whole, with the values decrypted. The files stay unchanged.
    The output is not redacted.
    """
    return _show(call, "view", files)


def _show(call: Invocation, action: str, files: tuple[str, ...]) -> int:
    from orchestr.cli.vault import vault_key
    from orchestr.vault.files import decrypt_content, read, view_content

    key, look = vault_key(call), view_content if action == "view" else decrypt_content
    contents = [(path, look(path, read(path), key)) for path in _paths(files, f"orchestr secrets {action} FILE")]
    if call.as_json:
        texts = [{"file": str(path), "text": inside.decode(errors="replace")} for path, inside in contents]
        call.print_json({"version": 1, "verb": "secrets", "action": action, "exit": 0, "files": texts})
        return 0
    sys.stdout.flush()
    for _, inside in contents:
        sys.stdout.buffer.write(inside)
    return 0


@command.command("edit")
@click.argument("file", metavar="FILE", type=FILE)
@takes("vault", "output")
def edit(call: Invocation, file: str) -> int:
    """Edit an encrypted file in $EDITOR.

    The decrypted copy is in a private directory in memory, which is removed afterwards. A file that you did not
    change is not written.
    """
    import os

    from orchestr.cli.vault import vault_key
    from orchestr.vault.editing import edit as edit_file

    path = _paths((file,), "orchestr secrets edit FILE; a new one is written first, then encrypted")[0]
    is_changed = edit_file(path, vault_key(call), os.environ)
    return _done(call, "edit", [{"file": str(path), "changed": is_changed}], "encrypted" if is_changed else "unchanged")


@command.command("rekey")
@_FILES
@click.option(
    "--new-vault-password-file",
    "new_files",
    multiple=True,
    metavar="FILE",
    help="File with the new password, or executable.",
)
@click.option(
    "--new-vault-id", "new_ids", multiple=True, metavar="LABEL@SOURCE", help="The new password, with a label."
)
@takes("vault", "output")
def rekey(call: Invocation, files: tuple[str, ...], new_files: tuple[str, ...], new_ids: tuple[str, ...]) -> int:
    """Change the password of encrypted files.

    In a YAML file every !vault value is encrypted anew, and the rest stays byte for byte. All files change, or none.
    """
    from orchestr.cli.vault import new_vault_key, vault_key
    from orchestr.vault.files import rekey_file, replace_all

    paths = _paths(files, "orchestr secrets rekey FILE")
    if len(new_files) + len(new_ids) > 1:
        raise InputError("rekey takes one new password", next_step="rekey the files of each label by themselves")
    key, new = vault_key(call), new_vault_key(new_ids, new_files)
    label = new_ids[0].partition("@")[0] if new_ids and "@" in new_ids[0] else None
    changes = [rekey_file(path, key, new, label) for path in paths]
    replace_all([change for change, _ in changes])
    summary = [{"file": str(path), "values": count} for path, (_, count) in zip(paths, changes, strict=True)]
    return _done(call, "rekey", summary, "rekeyed")


@command.command("generate")
@takes("inventory", "check", "variables", "output")
def generate(call: Invocation) -> int:
    """Generate the missing !generated secrets of the inventory.

    Existing secrets stay unchanged. A run generates the secrets it needs; this verb generates all of them.
    --check lists them and exits with 3 if some are missing.
    """
    generated = call.load().generated
    present, missing = generated.present(), generated.missing()
    if not call.check:
        generated.begin_writing()
        for path in missing.values():
            generated.text(path)
    code = EXIT_CHANGES if call.check and missing else EXIT_DONE
    if call.as_json:
        shown = {"present": sorted(present), "missing" if call.check else "generated": sorted(missing)}
        call.print_json({"version": 1, "verb": "secrets", "action": "generate", "exit": code, **shown})
        return code
    if not present and not missing:
        print(f"Nothing to generate: no variable of {call.inventory_path} is !generated.")
    for name, path in sorted({**present, **missing}.items()):
        print(f"{'present' if name in present else 'missing' if call.check else 'generated':9}  {name}  {path}")
    return code


def _paths(files: tuple[str, ...], step: str) -> list[Path]:
    """Return the files named, each once. Raises InputError for a path that is not a file."""
    if not files:
        raise InputError("no file was named", next_step=step)
    unique: dict[Path, Path] = {}
    for name in files:
        path = Path(name)
        if not is_file(path):
            what = "is a directory, not a file" if path.is_dir() else "no such file"
            raise InputError(what, file=path, next_step=step)
        unique.setdefault(path.resolve(), path)
    return list(unique.values())


def _done(call: Invocation, action: str, files: list[dict[str, Any]], word: str) -> int:
    if call.as_json:
        call.print_json({"version": 1, "verb": "secrets", "action": action, "exit": 0, "files": files})
    else:
        for entry in files:
            values = f" ({entry['values']} values)" if entry.get("values", 1) > 1 else ""
            print(f"{word} {entry['file']}{values}", file=sys.stderr)
    return 0
