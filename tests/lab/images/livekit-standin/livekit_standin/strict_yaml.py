"""YAML read as strictly as gopkg.in/yaml.v3 reads it with KnownFields: an unknown or repeated key is an error.

All problems of a document are reported at once, each with its line, in the words of the real server's log.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from livekit_standin.schema import Kind

_SCALARS = {
    "int": re.compile(r"[+-]?[0-9]+\Z"),
    "float": re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\Z"),
    "bool": re.compile(r"(true|false|True|False|TRUE|FALSE|yes|no|on|off)\Z"),
    "duration": re.compile(r"[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|ms|s|m|h))*\Z|0\Z"),
    "ports": re.compile(r"[0-9]+(-[0-9]+)?\Z"),
}


class ConfigError(Exception):
    """The configuration is not one the server starts with."""


def parse(text: str, schema: dict[str, Kind]) -> dict[str, Any]:
    """The document as plain values; {} for an empty one. Raises ConfigError naming every problem's line."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"could not parse config: yaml: {error}") from error
    if root is None:
        return {}
    problems: list[str] = []
    value = _mapping(root, schema, "config.Config", problems)
    if problems:
        raise ConfigError("could not parse config: yaml: unmarshal errors:\n  " + "\n  ".join(problems))
    return value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _mapping(node: yaml.Node, schema: dict[str, Kind], where: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        if not _is_null(node):
            problems.append(f"line {_line(node)}: cannot unmarshal {_shown(node)} into {where}")
        return {}
    found: dict[str, Any] = {}
    seen: dict[str, int] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in seen:
            problems.append(f'line {_line(key)}: mapping key "{name}" already defined at line {seen[name]}')
        elif name not in schema:
            problems.append(f"line {_line(key)}: field {name} not found in type {where}")
        else:
            found[name] = _value(value, schema[name], f"{where}.{name}", problems)
        seen.setdefault(name, _line(key))
    return {name: value for name, value in found.items() if value is not None}


def _value(node: yaml.Node, kind: Kind, where: str, problems: list[str]) -> Any:
    if isinstance(kind, dict):
        return _mapping(node, kind, where, problems)
    if kind == "any" or _is_null(node):
        return None
    if kind == "strings":
        return _strings(node, where, problems)
    if kind == "map":
        return _string_map(node, where, problems)
    return _scalar(node, kind, where, problems)


def _strings(node: yaml.Node, where: str, problems: list[str]) -> list[str]:
    if not isinstance(node, yaml.SequenceNode):
        problems.append(f"line {_line(node)}: cannot unmarshal {_shown(node)} into []string ({where})")
        return []
    return [str(_scalar(item, "str", where, problems)) for item in node.value]


def _string_map(node: yaml.Node, where: str, problems: list[str]) -> dict[str, str]:
    if not isinstance(node, yaml.MappingNode):
        problems.append(f"line {_line(node)}: cannot unmarshal {_shown(node)} into map[string]string ({where})")
        return {}
    return {str(key.value): str(_scalar(value, "str", where, problems)) for key, value in node.value}


def _scalar(node: yaml.Node, kind: str, where: str, problems: list[str]) -> Any:
    text = node.value if isinstance(node, yaml.ScalarNode) else None
    pattern = _SCALARS.get(kind)
    quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
    if text is None or (pattern and ((quoted and kind in ("int", "bool", "float")) or not pattern.match(text))):
        problems.append(f"line {_line(node)}: cannot unmarshal {_shown(node)} into {kind} ({where})")
        return None
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    return text.lower() in ("true", "yes", "on") if kind == "bool" else text


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _shown(node: yaml.Node) -> str:
    tag = node.tag.replace("tag:yaml.org,2002:", "!!")
    return f"{tag} `{str(node.value)[:10]}`" if isinstance(node, yaml.ScalarNode) else tag
