"""The ``!vault`` values in a YAML text: find them, and give them another password without touching anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestr.inventory.document import compose
from orchestr.inventory.position import Position
from orchestr.vault.format import HEADER, RESTORE, VaultError, check_header
from orchestr.vault.key import VaultKey

if TYPE_CHECKING:
    from yaml.nodes import Node, ScalarNode

TAGS = ("!vault", "!vault-encrypted")
BLOCK_INDENT = 10  # as deep as a value is pasted at most; YAML takes any indentation deeper than the key's
_AS_BLOCK = "write it as a block: NAME: !vault |, and below it the text as ansible-vault prints it"
_BREAK = re.compile(r"\r\n|\n|\r")
_BODY = re.compile(
    r"(?P<indent>[ ]*)\$ANSIBLE_VAULT[^\r\n]*(?P<end>\r\n|\n|\r)(?:[ ]*[0-9A-Fa-f]+[ ]*(?:\r\n|\n|\r|\Z))+"
)


def has_values(text: str) -> bool:
    """Return True if a text may hold ``!vault`` values."""
    return any(tag in text for tag in TAGS)


def block(name: str, ciphertext: str) -> str:
    """Return a vault text as the YAML to paste into an inventory.

    >>> print(block("token", "$ANSIBLE_VAULT;1.1;AES256\\n6162\\n"), end="")
    token: !vault |
              $ANSIBLE_VAULT;1.1;AES256
              6162
    """
    lines = "".join(f"{' ' * BLOCK_INDENT}{line}\n" for line in ciphertext.splitlines())
    return f"{name}: !vault |\n{lines}"


def reencrypt(text: str, file: str, key: VaultKey, new: VaultKey, label: str | None = None) -> tuple[str, int]:
    """Return ``text`` with every ``!vault`` value encrypted by ``new``, and how many there are.

    Everything else stays as it is. Raises InputError at the value that can't be opened or replaced.
    """
    result: list[str] = []
    inside: list[bytes] = []
    last = 0
    for node in _values(compose(text, file, in_python=True)):
        position = _position(node, file)
        try:
            own_label = check_header(node.value)
        except VaultError as problem:
            raise position.error(str(problem), next_step=RESTORE) from None
        inside.append(key.decrypt_bytes(node.value, position))
        start, end, written = _replacement(text, node, new.encrypt(inside[-1], label or own_label), position)
        result += [text[last:start], written]
        last = end
    whole = "".join((*result, text[last:]))
    _check(whole, file, new, inside)
    return whole, len(inside)


def reveal_values(text: str, file: str, key: VaultKey) -> str:
    """Return ``text`` with every ``!vault`` value in the clear, as a quoted text. Raises InputError."""
    result: list[str] = []
    last = 0
    for node in _values(compose(text, file, in_python=True)):
        position = _position(node, file)
        inside = json.dumps(key.decrypt(node.value, position), ensure_ascii=False)
        start = node.start_mark.index
        _, end, _ = _replacement(text, node, node.value, position)
        result += [text[last:start], inside, "\n" if text[end - 1 : end] in ("\r", "\n") else ""]
        last = end
    return "".join((*result, text[last:]))


def _check(text: str, file: str, key: VaultKey, inside: list[bytes]) -> None:
    """Read the result: a file is only replaced by one with the same values."""
    nodes = list(_values(compose(text, file, in_python=True)))
    if len(nodes) != len(inside):
        raise Position(file).error("its values can't be replaced one by one", next_step=_AS_BLOCK)
    for node, expected in zip(nodes, inside, strict=True):
        position = _position(node, file)
        if node.value.strip().count(HEADER) != 1 or key.decrypt_bytes(node.value, position) != expected:
            raise position.error("this value can't be replaced in place", next_step=_AS_BLOCK)


def _position(node: Node, file: str) -> Position:
    return Position(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _values(root: Node | None) -> Iterator[ScalarNode]:
    """Yield the ``!vault`` scalars in the order they are written, each once however many aliases it has."""
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    scalars: dict[int, ScalarNode] = {}
    waiting: list[Any] = [root] if root is not None else []
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            waiting += [child for pair in node.value for child in pair]
        elif isinstance(node, SequenceNode):
            waiting += node.value
        elif isinstance(node, ScalarNode) and node.tag in TAGS:
            scalars[node.start_mark.index] = node
    return (scalars[index] for index in sorted(scalars))


def _replacement(text: str, node: ScalarNode, fresh: str, position: Position) -> tuple[int, int, str]:
    """Return the start and end of the text to replace, and its replacement: the lines of a block, or a whole scalar."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style == "|":
        body = _BODY.match(text, _next_line(text, start))
        if body:
            lines = fresh.splitlines()
            written = body["end"].join(f"{body['indent']}{line}" for line in lines)
            last = body["end"] if body[0][-1:] in "\r\n" else ""
            return body.start(), body.end(), written + last
    elif node.style in ("'", '"') and HEADER in text[start:end]:
        quote = text.index(node.style, start)
        return quote, end, json.dumps(fresh)
    raise position.error("this value can't be replaced in place", next_step=_AS_BLOCK)


def _next_line(text: str, start: int) -> int:
    line_break = _BREAK.search(text, start)
    return line_break.end() if line_break else len(text)
