"""Read a YAML file into values that know their line and column, with Ansible's tags and scalars.

Scalars are YAML 1.1, as PyYAML and therefore Ansible read them (``yes`` is true, ``012`` is ten, ``2026-11-21`` a
date). A key written twice is an error here; Ansible only warns. Secrets become `Secret` as they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.marked import MarkedDict, MarkedList, UnsafeText
from orchestr.inventory.position import Position, kind, shown
from orchestr.inventory.sources import SecretSources, VaultKey
from orchestr.inventory.yaml_errors import bare_template_error, syntax_error, too_deep
from orchestr.paths import unreadable
from orchestr.secret import Secret
from orchestr.vault.format import is_vault

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CORE = "tag:yaml.org,2002:"
_TEXT = f"{_CORE}str"
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_SECRET_TAGS = ("!vault", "!vault-encrypted", "!env", "!file", "!command", "!generated")
_KNOWN_TAGS = (*_SECRET_TAGS, "!unsafe")


def read_document(path: Path, key: VaultKey | None = None) -> Any:
    """Return the content of a YAML or JSON file: MarkedDict, MarkedList or a scalar; None when it is empty.

    A file encrypted whole is decrypted, and every text and number in it becomes a `Secret`.
    Raises InputError at the line and column of the mistake.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as problem:
        raise unreadable(path, problem) from None
    except UnicodeDecodeError as problem:
        step = "save it as UTF-8" + (" (it begins as UTF-16 does)" if data[:2] in _UTF16_MARKS else "")
        what = f"is not UTF-8 text (byte {problem.start + 1})"
        raise InputError(what, file=path, line=data.count(b"\n", 0, problem.start) + 1, next_step=step) from None
    return parse_document(text, str(path), path.parent, key or VaultKey())


def parse_document(text: str, file: str, directory: Path, key: VaultKey) -> Any:
    """Return the content of ``text``; ``file`` is the name errors show, ``directory`` where ``!file`` looks."""
    encrypted = is_vault(text)
    if encrypted:
        text = key.decrypt(text, Position(file, 1, 1))
    try:
        is_json = _is_json(text)
        node = compose(_SURROGATES.sub(_character, text) if is_json else text, file)
        if node is None:
            return None
        return _Builder(file, SecretSources(directory, key), encrypted, is_json).build(node)
    except RecursionError:
        raise too_deep(file) from None


def compose(text: str, file: str, in_python: bool = False) -> Node | None:
    """Return a text's YAML node, None for an empty text. Raises InputError.

    ``in_python``: slower, but its places count characters of ``text``, whatever the line ends are.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(text) if in_python else getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            node: Node | None = loader.get_single_node()
            return node
        finally:
            loader.dispose()
    except yaml.YAMLError as problem:  # making the loader too: it looks for characters that YAML does not allow
        raise syntax_error(problem, text, file) from None
    except RecursionError:
        raise too_deep(file) from None


def _character(pair: re.Match[str]) -> str:
    """Return the character that JSON writes as two escapes, which YAML has no such notation for."""
    return pair[1] + chr(0x10000 + ((int(pair[2], 16) - 0xD800) << 10) + int(pair[3], 16) - 0xDC00)


def _is_json(text: str) -> bool:
    """Ansible tries JSON first, where ``1e3`` is a number; in YAML 1.1 it is a text."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


_KINDS = {"timestamp": "date", "int": "number", "float": "number", "bool": "boolean", "binary": "base64 text"}


class _Builder:
    """Turn composed nodes into values; a node met again through an alias gives the same value."""

    def __init__(self, file: str, sources: SecretSources, all_secret: bool, json_numbers: bool) -> None:
        import yaml

        self._file = file
        self._sources = sources
        self._all_secret = all_secret
        self._json_numbers = json_numbers
        self._scalars = yaml.constructor.SafeConstructor()
        self._resolver = yaml.resolver.Resolver()
        self._built: dict[tuple[int, bool], Any] = {}
        self._open: set[int] = set()

    def build(self, node: Node, unsafe: bool = False) -> Any:
        """Return the value of ``node``; inside ``!unsafe`` every text is an UnsafeText."""
        identity = (id(node), unsafe)
        if identity not in self._built:
            if id(node) in self._open:
                step = "write the value out, or move the anchor (&NAME) to what is to be repeated"
                raise self._at(node).error("this alias stands inside the very value it names", next_step=step)
            self._open.add(id(node))
            self._built[identity] = self._construct(node, unsafe)
            self._open.discard(id(node))
        return self._built[identity]

    def _at(self, node: Node) -> Position:
        return Position(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _construct(self, node: Node, unsafe: bool) -> Any:
        from yaml.nodes import MappingNode, ScalarNode, SequenceNode

        if node.tag in _SECRET_TAGS:
            return self._secret(node)
        if node.tag == "!unsafe":
            node, unsafe = self._untag(node), True
        if isinstance(node, ScalarNode):
            return self._scalar(node, unsafe)
        if isinstance(node, MappingNode) and node.tag in (f"{_CORE}map", f"{_CORE}set"):
            mapping = self._mapping(node, unsafe)
            return set(mapping) if node.tag == f"{_CORE}set" else mapping
        if isinstance(node, SequenceNode) and node.tag == f"{_CORE}seq":
            return self._sequence(node, unsafe)
        raise self._unknown_tag(node)

    def _untag(self, node: Node) -> Node:
        """Return ``node`` as it would have been read without its tag."""
        import copy

        plain = copy.copy(node)
        plain.tag = self._resolver.resolve(type(node), node.value, (True, False))  # type: ignore[no-untyped-call]
        return plain

    def _unknown_tag(self, node: Node) -> InputError:
        tag = node.tag.replace(_CORE, "!!")
        return self._at(node).error(
            f"unknown tag {shown(tag)[1:-1]}",
            suggestion=closest(tag, _KNOWN_TAGS),
            next_step=f"known tags: {', '.join(_KNOWN_TAGS)}; put quotes around the value if text is meant",
        )

    def _scalar(self, node: ScalarNode, unsafe: bool) -> Any:
        value = self._plain_scalar(node)
        if self._all_secret and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return Secret(str(node.value))
        return UnsafeText(value) if unsafe and isinstance(value, str) else value

    def _plain_scalar(self, node: ScalarNode) -> Any:
        import yaml

        if node.tag == f"{_CORE}str":
            return self._json_number(node)
        construct = self._scalars.yaml_constructors.get(node.tag)
        if construct is None or not node.tag.startswith(_CORE):
            raise self._unknown_tag(node)
        try:
            return construct(self._scalars, node)
        except (ValueError, KeyError, yaml.YAMLError):
            what = _KINDS.get(node.tag.removeprefix(_CORE), "value of its type")
            raise self._at(node).error(
                f"{shown(node.value)} reads as a {what}, but is not a valid one",
                next_step="put quotes around it if text is meant",
            ) from None

    def _json_number(self, node: ScalarNode) -> Any:
        if self._json_numbers and not node.style and node.value[:1] in "-0123456789":
            return float(node.value)
        return node.value

    def _sequence(self, node: SequenceNode, unsafe: bool) -> MarkedList:
        result = MarkedList(self._at(node))
        for index, item in enumerate(node.value):
            result.append(self.build(item, unsafe))
            self._keep_text(result.written, index, item)
            result.items_at.append(self._at(item))
        return result

    def _mapping(self, node: MappingNode, unsafe: bool) -> MarkedDict:
        result = MarkedDict(self._at(node))
        for merged in self._merge(node, unsafe):
            for key, value in merged.items():
                result.put(key, value, merged.keys_at[key], merged.values_at[key])
                if key in merged.written:
                    result.written[key] = merged.written[key]
        own: dict[Any, tuple[Any, Position]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_CORE}merge":
                continue
            key, key_at = self._key(key_node), self._at(key_node)
            if key in own:
                raise _same_key(key, key_at, *own[key])
            own[key] = key, key_at
            result.put(key, self.build(value_node, unsafe), key_at, self._at(value_node))
            self._keep_text(result.keys_written, key, key_node)
            self._keep_text(result.written, key, value_node)
        return result

    def _keep_text(self, texts: dict[Any, str], key: Any, node: Node) -> None:
        """Keep the text of a scalar that was read as something else; not in a file that is encrypted whole."""
        if isinstance(node.value, str) and node.tag.startswith(_CORE) and node.tag != _TEXT and not self._all_secret:
            texts[key] = node.value

    def _merge(self, node: MappingNode, unsafe: bool) -> Iterator[MarkedDict]:
        """Yield the mappings that ``<<`` merges, the weaker first: of a list, the first mapping wins."""
        for key_node, value_node in node.value:
            if key_node.tag != f"{_CORE}merge":
                continue
            value = self.build(value_node, unsafe)
            for mapping in reversed(value if isinstance(value, MarkedList) else [value]):
                if not isinstance(mapping, MarkedDict):
                    raise self._at(value_node).error(
                        f"'<<' merges mappings, this is {kind(mapping)}",
                        next_step="write: <<: *NAME, of an anchor on a mapping",
                    )
                yield mapping

    def _key(self, node: Node) -> Any:
        from yaml.nodes import MappingNode, ScalarNode

        if not isinstance(node, ScalarNode):
            if isinstance(node, MappingNode) and node.flow_style and node.start_mark.column:
                raise bare_template_error(Position(self._file, node.start_mark.line + 1, node.start_mark.column))
            step = "put quotes around it if text is meant"
            raise self._at(node).error("a key must be plain text, not a list or a mapping", next_step=step)
        if node.tag in _KNOWN_TAGS:
            raise self._at(node).error(f"a key can't carry the tag {node.tag}", next_step="tags go before values")
        return self._plain_scalar(node)

    def _secret(self, node: Node) -> Secret:
        position = self._at(node)
        if node.tag == "!command":
            return self._sources.command(self._words(node), position)
        if node.tag == "!generated":
            return self._sources.generated(self._text_or_mapping(node), position)
        text = node.value
        if not isinstance(text, str) or not text.strip():
            raise position.error(f"{node.tag} takes one text", next_step=_TEXTS[node.tag])
        if node.tag == "!env":
            return self._sources.env(text.strip(), position)
        if node.tag == "!file":
            return self._sources.file(text.strip(), position)
        return self._sources.vault(text, position)

    def _text_or_mapping(self, node: Node) -> str | MarkedDict:
        from yaml.nodes import MappingNode

        return self._mapping(node, False) if isinstance(node, MappingNode) else str(node.value)

    def _words(self, node: Node) -> list[str]:
        items = node.value if isinstance(node.value, list) else []
        words = [item.value for item in items]
        if not words or not all(isinstance(word, str) for word in words):
            raise self._at(node).error(
                "!command takes a list: the program and its arguments",
                next_step='write: !command [pass, show, "prod/redis"]',
            )
        return words


_TEXTS = {
    "!env": "write: !env NAME, of an environment variable here",
    "!file": "write: !file PATH, of a file beside this one",
    "!vault": "orchestr secrets encrypt --string NAME prints what to paste",
    "!vault-encrypted": "orchestr secrets encrypt --string NAME prints what to paste",
}


def _same_key(key: Any, key_at: Position, first: Any, first_at: Position) -> InputError:
    """Return the error for a key met again; 1 and true are one to Python, and neither was written twice."""
    if type(key) is type(first):
        what, step = f"the key {shown(str(key))} is written twice, here and at {first_at}", "keep one of the two"
    else:
        what = f"the key {shown(key)} counts as the same as {shown(first)} at {first_at}"
        step = "put quotes around both if text is meant"
    return key_at.error(what, next_step=step)


__all__ = ["parse_document", "read_document"]
