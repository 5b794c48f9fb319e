"""Variables given on the command line: -e, and the become password of -K."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestr.cli.given import Options
from orchestr.cli.prompts import ask_secret
from orchestr.cli.vault import vault_key
from orchestr.errors import InputError
from orchestr.inventory.marked import MarkedDict, value_text
from orchestr.inventory.position import EXTRA_VARIABLES, Position, kind
from orchestr.paths import is_file
from orchestr.secret import Secret
from orchestr.vault.key import VaultKey

_TAKES = "-e takes k=v, JSON, YAML or @FILE"
_BECOME = "run it in a terminal, or set ansible_become_password in the inventory (!vault, !env or !command)"
_QUOTE = "quote a value that has spaces: -e \"name='a value'\""


def extra_variables(call: Options) -> dict[str, Any]:
    """Return the variables of all -e in order, later ones winning, and the become password when it is asked for."""
    variables = MarkedDict(EXTRA_VARIABLES)
    key = vault_key(call)
    for text in call.extra_vars:
        given = _parse(text, key)
        for name, value in given.items():
            variables.put(name, value, EXTRA_VARIABLES, EXTRA_VARIABLES)
            written = value_text(given, name)
            if written is not None:
                variables.written[name] = written
    if call.ask_become_pass:
        variables["ansible_become_password"] = Secret(ask_secret("BECOME password: ", _BECOME))
    return variables


def _parse(text: str, key: VaultKey) -> dict[str, Any]:
    """Read one -e: ``@FILE``, JSON or YAML (``{…}``), or ``k=v`` words, whose values are texts as in Ansible."""
    if text.startswith("@"):
        from orchestr.inventory.document import read_document

        path = Path(text[1:]).expanduser()
        if not is_file(path):
            what = "-e: is a directory, not a file" if path.is_dir() else "-e: no such file"
            raise InputError(what, file=path, next_step=_TAKES)
        return _mapping(read_document(path, key), Position(str(path), 1, 1))
    if text.lstrip().startswith(("{", "[")) or (": " in text and "=" not in text):
        return _mapping(_yaml(text, key), EXTRA_VARIABLES)
    return dict(_pairs(text))


# The value of -e may be a password: errors name variables, never values.
def _pairs(text: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"-e: {str(error).lower()}", next_step=_QUOTE) from None
    before = ""
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and before:
            raise InputError(f"-e: what follows {before}=… is not NAME=VALUE", next_step=_QUOTE)
        if not equals or not name.isidentifier():
            shown = repr(name) if equals or len(words) == 1 else "the first word"
            raise InputError(f"-e: {shown} is not NAME=VALUE", next_step=_TAKES)
        before = name
        yield name, value


def _yaml(text: str, key: VaultKey) -> Any:
    from orchestr.inventory.document import parse_document

    try:
        return parse_document(text, str(EXTRA_VARIABLES), Path.cwd(), key)
    except InputError as error:
        error.next_step = f"{error.next_step}; {_TAKES}" if error.next_step else _TAKES
        raise


def _mapping(value: Any, where: Position) -> dict[str, Any]:
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return value
    raise where.error(f"expected a mapping of variables, found {kind(value)}", next_step=_TAKES)
