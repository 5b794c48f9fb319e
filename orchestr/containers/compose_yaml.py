"""YAML for docker compose: readable, and with the same meaning for YAML 1.1 and 1.2 parsers.

Compose uses a Go parser that follows neither version: ``22:22``, ``0o17``, ``1e3``, ``yes`` change meaning between
parsers, so every text that is not plainly a word is quoted. ``$`` starts an interpolation in compose and is doubled.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./:@+=-]*(?<!:)")
_MISREAD = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"}


def compose_yaml(document: Any) -> str:
    """Return a document of plain values as YAML text; every ``$`` is escaped."""
    text: str = yaml.dump(
        escape(document), Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1000
    )
    return text


def escape(value: Any) -> Any:
    """Return the value with every ``$`` in its texts doubled."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, no aliases, texts quoted unless plainly words."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if _PLAIN.fullmatch(text) and text.lower() not in _MISREAD:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text)
    style = "|" if "\n" in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
