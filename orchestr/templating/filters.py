"""The filters of Ansible that inventories use, beside those Jinja2 has; same names, same results."""

from __future__ import annotations

import base64
import hashlib
import json
import pprint as pprint_module
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Environment, Undefined, pass_environment
from jinja2.exceptions import FilterArgumentError

from orchestr.inventory.json_values import as_json
from orchestr.templating.taint import ParsedName

_TRUE_WORDS = ("yes", "on", "1", "true")


def to_bool(value: Any) -> bool:
    """``bool``: yes, on, true and 1 are true, anything else is not."""
    return value if isinstance(value, bool) else str(value).strip().lower() in _TRUE_WORDS


def to_json(value: Any, indent: int | None = None, sort_keys: bool = False, **options: Any) -> str:
    """``to_json``: one line of JSON, dates in ISO format."""
    return json.dumps(value, default=as_json, indent=indent, sort_keys=sort_keys, **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True) -> str:
    """``to_nice_json``: JSON for people, keys sorted."""
    return to_json(value, indent, sort_keys, separators=(",", ": "))


def to_yaml(value: Any, default_flow_style: bool | None = None, **options: Any) -> str:
    """``to_yaml``: YAML, inner containers in one line."""
    import yaml

    try:
        plain = _plain(value, tuple_type=list)
        return str(yaml.safe_dump(plain, allow_unicode=True, default_flow_style=default_flow_style, **options))
    except yaml.YAMLError:
        raise ValueError("there is something in it that YAML can't say") from None


def to_nice_yaml(value: Any, indent: int = 4) -> str:
    """``to_nice_yaml``: YAML for people."""
    return to_yaml(value, default_flow_style=False, indent=indent)


def from_yaml(text: str) -> Any:
    """``from_yaml``: the value a YAML text stands for."""
    import yaml

    try:
        return _with_names(yaml.safe_load(text))
    except yaml.YAMLError as problem:
        raise ValueError(f"not YAML: {problem}") from None


def from_json(text: str) -> Any:
    """``from_json``: the value a JSON text stands for."""
    return _with_names(json.loads(text))


def pprint(value: Any) -> str:
    """``pprint``: as Jinja2's; views of containers with secrets are printed as what they show."""
    return pprint_module.pformat(_plain(value))


def b64encode(text: str) -> str:
    """``b64encode``: the base64 of a text's UTF-8."""
    return base64.b64encode(text.encode()).decode()


def b64decode(text: str) -> str:
    """``b64decode``: the UTF-8 text inside base64."""
    return base64.b64decode(text).decode()


def hashed(text: str, algorithm: str = "sha1") -> str:
    """``hash``: the hexadecimal digest of a text."""
    return hashlib.new(algorithm, text.encode()).hexdigest()


def regex_replace(text: Any, pattern: str, replacement: str = "", ignorecase: bool = False) -> str:
    """``regex_replace``: every match replaced; groups as ``\\1``."""
    return re.sub(pattern, replacement, str(text), flags=re.IGNORECASE if ignorecase else 0)


def regex_search(text: Any, pattern: str) -> str | None:
    """``regex_search``: the first match, None when there is none."""
    found = re.search(pattern, str(text))
    return found[0] if found else None


def mandatory(value: Any, message: str | None = None) -> Any:
    """``mandatory``: the value; an error when it is undefined."""
    if isinstance(value, Undefined):
        raise FilterArgumentError(message or "a mandatory variable is not defined")
    return value


def ternary(value: Any, if_true: Any, if_false: Any, if_none: Any = None) -> Any:
    """``ternary``: one value for true, another for false."""
    if value is None and if_none is not None:
        return if_none
    return if_true if value else if_false


def combine(*mappings: Mapping[Any, Any], recursive: bool = False) -> dict[Any, Any]:
    """``combine``: mappings merged, the later over the earlier; ``recursive`` merges inner mappings too."""
    result: dict[Any, Any] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            inner = result.get(key)
            both = recursive and isinstance(inner, Mapping) and isinstance(value, Mapping)
            result[key] = combine(inner, value, recursive=True) if both and inner is not None else value
    return result


def dict2items(mapping: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """``dict2items``: a list of ``{key, value}``."""
    return [{"key": key, "value": value} for key, value in mapping.items()]


def items2dict(items: Iterable[Mapping[str, Any]]) -> dict[Any, Any]:
    """``items2dict``: the mapping that a list of ``{key, value}`` stands for."""
    return {item["key"]: item["value"] for item in items}


@pass_environment
def extract(environment: Environment, key: Any, container: Any, further: Any = None) -> Any:
    """``extract``: what a container has under a key, and under further keys inside that."""
    value = environment.getitem(container, key)
    for inner in [] if further is None else further if isinstance(further, list) else [further]:
        value = environment.getitem(value, inner)
    return value


def basename(path: str) -> str:
    """``basename``: what follows the last slash."""
    return path.rpartition("/")[2]


def dirname(path: str) -> str:
    """``dirname``: what stands before the last slash."""
    head, slash, _ = path.rpartition("/")
    return head or slash


def _with_names(value: Any) -> Any:
    """Return a document's value; its keys are names that may be shown."""
    if isinstance(value, dict):
        return {ParsedName(key) if isinstance(key, str) else key: _with_names(each) for key, each in value.items()}
    return [_with_names(each) for each in value] if isinstance(value, list) else value


def _plain(value: Any, tuple_type: type = tuple) -> Any:
    if isinstance(value, Mapping):
        return {_plain(key, tuple_type): _plain(each, tuple_type) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(each, tuple_type) for each in value]
        return tuple_type(items) if isinstance(value, tuple) else items
    return str(value) if isinstance(value, str) else value


FILTERS: dict[str, Callable[..., Any]] = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "basename": basename,
    "bool": to_bool,
    "combine": combine,
    "dict2items": dict2items,
    "dirname": dirname,
    "extract": extract,
    "from_json": from_json,
    "from_yaml": from_yaml,
    "hash": hashed,
    "items2dict": items2dict,
    "mandatory": mandatory,
    "pprint": pprint,
    "quote": shlex.quote,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "ternary": ternary,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_nice_yaml": to_nice_yaml,
    "to_yaml": to_yaml,
}
