"""The filters of Ansible that work on lists, mappings and numbers; same names, same results."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Environment, Undefined, pass_environment
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import do_unique

from orchestr.templating.text_filters import plain

_UNITS = "BKMGTPEZY"  # each 1024 times the one before
_UNIT_WORDS = ("", "kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta")
_SIZE = re.compile(r"([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*")
_LIST_MERGES: dict[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "replace": lambda low, high: high,
    "keep": lambda low, high: low,
    "append": lambda low, high: [*low, *high],
    "prepend": lambda low, high: [*high, *low],
    "append_rp": lambda low, high: [*(item for item in low if item not in high), *high],
    "prepend_rp": lambda low, high: [*high, *(item for item in low if item not in high)],
}


def combine(*terms: Any, recursive: bool = False, list_merge: str = "replace") -> Any:
    """``combine``: mappings merged, the later over the earlier; inner mappings and lists too with ``recursive``."""
    if list_merge not in _LIST_MERGES:
        raise ValueError(f"list_merge is one of: {', '.join(_LIST_MERGES)}")
    mappings = flatten(terms, levels=1)
    if not all(isinstance(mapping, Mapping) for mapping in mappings):
        raise TypeError("combine takes mappings")
    result: dict[Any, Any] = {}
    for mapping in mappings:
        result = _merge_mappings(result, mapping, recursive, list_merge)
    return result


def _merge_mappings(
    low: Mapping[Any, Any], high: Mapping[Any, Any], recursive: bool, list_merge: str
) -> dict[Any, Any]:
    result = dict(low.items())
    for key, value in high.items():
        inner = result.get(key)
        if recursive and isinstance(inner, Mapping) and isinstance(value, Mapping):
            value = _merge_mappings(inner, value, recursive, list_merge)
        elif isinstance(inner, list) and isinstance(value, list):
            value = _LIST_MERGES[list_merge](inner, value)
        result[key] = value
    return result


def flatten(items: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    """``flatten``: the items of inner lists, to any depth or to ``levels``."""
    result: list[Any] = []
    for item in items:
        if skip_nulls and item in (None, "None", "null"):
            continue
        if isinstance(item, (list, tuple)) and (levels is None or levels >= 1):
            result += flatten(item, None if levels is None else int(levels) - 1, skip_nulls)
        else:
            result.append(item)
    return result


def dict2items(mapping: Mapping[Any, Any], key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    """``dict2items``: a list of ``{key, value}``."""
    return [{key_name: key, value_name: value} for key, value in mapping.items()]


def items2dict(items: Iterable[Mapping[str, Any]], key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    """``items2dict``: the mapping that a list of ``{key, value}`` stands for."""
    return {item[key_name]: item[value_name] for item in items}


def rekey_on_member(data: Any, key: str, duplicates: str = "error") -> dict[Any, Any]:
    """``rekey_on_member``: mappings by the value of one of their keys."""
    if duplicates not in ("error", "overwrite"):
        raise ValueError(f"duplicates is error or overwrite, not {duplicates!r}")
    result: dict[Any, Any] = {}
    for item in data.values() if isinstance(data, Mapping) else data:
        if item[key] in result and duplicates == "error":
            raise ValueError(f"two items have the same {key!r}")
        result[item[key]] = item
    return result


def subelements(data: Any, keys: Any, skip_missing: bool = False) -> list[tuple[Any, Any]]:
    """``subelements``: each item of a list of mappings with each item of a list inside it."""
    result = []
    for item in data.values() if isinstance(data, Mapping) else data:
        values = item
        for key in keys.split(".") if isinstance(keys, str) else keys:
            if skip_missing and key not in values:
                values = []
                break
            values = values[key]
        if not isinstance(values, list):
            raise TypeError(f"{keys!r} must lead to a list")
        result += [(item, value) for value in values]
    return result


@pass_environment
def extract(environment: Environment, key: Any, container: Any, morekeys: Any = None) -> Any:
    """``extract``: the value of a container under a key, and under further keys inside that."""
    value = environment.getitem(container, key)
    for inner in [] if morekeys is None else morekeys if isinstance(morekeys, list) else [morekeys]:
        value = environment.getitem(value, inner)
    return value


@pass_environment
def unique(
    environment: Environment, items: Iterable[Any], case_sensitive: bool | None = None, attribute: Any = None
) -> list[Any]:
    """``unique``: each item once, in order."""
    items = list(items)
    try:
        return list(do_unique(environment, items, bool(case_sensitive), attribute))
    except TypeError:
        if case_sensitive is False or attribute:
            raise
        return _once(items)


def _once(items: Iterable[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if item not in result:
            result.append(item)
    return result


# Ansible gives no order to these four; here they keep the order of the lists, so that two runs give the same.
def union(one: list[Any], other: list[Any]) -> list[Any]:
    """``union``: the items of either list, each once."""
    return _once([*one, *other])


def intersect(one: list[Any], other: list[Any]) -> list[Any]:
    """``intersect``: the items that are in both lists."""
    return _once(item for item in one if item in other)


def difference(one: list[Any], other: list[Any]) -> list[Any]:
    """``difference``: the items that are not in the other list."""
    return _once(item for item in one if item not in other)


def symmetric_difference(one: list[Any], other: list[Any]) -> list[Any]:
    """``symmetric_difference``: the items that are in one list only."""
    return [*difference(one, other), *difference(other, one)]


def mandatory(value: Any, msg: str | None = None) -> Any:
    """``mandatory``: the value; an error when it is undefined."""
    if isinstance(value, Undefined):
        raise FilterArgumentError(msg or "a mandatory variable is not defined")
    return value


def ternary(value: Any, true_val: Any, false_val: Any, none_val: Any = None) -> Any:
    """``ternary``: one value for true, another for false."""
    if value is None and none_val is not None:
        return none_val
    return true_val if value else false_val


def choose(end: Any, start: int = 0, step: int = 1, seed: Any = None) -> Any:
    """``random``: an item of a list, or a number below ``end``; always the same with a ``seed``."""
    source = random.Random(seed) if seed is not None else random.SystemRandom()  # noqa: S311 - not for secrets
    return source.randrange(start or 0, end, step or 1) if isinstance(end, int) else source.choice(list(end))


def shuffle(items: Iterable[Any], seed: Any = None) -> list[Any]:
    """``shuffle``: the items in another order; always the same with a ``seed``."""
    result = list(items)
    (random.Random(seed) if seed else random.SystemRandom()).shuffle(result)  # noqa: S311 - not for secrets
    return result


def logarithm(number: float, base: float = math.e) -> float:
    """``log``: the logarithm."""
    return math.log10(number) if base == 10 else math.log(number, base)


def root(number: float, base: float = 2) -> float:
    """``root``: the square root, or the one of ``base``."""
    return math.sqrt(number) if base == 2 else math.pow(number, 1.0 / float(base))


def human_readable(size: float, isbits: bool = False, unit: str | None = None) -> str:
    """``human_readable``: a number of bytes as a text, like 1.00 KB."""
    power = 0
    if unit is not None and unit.upper()[:1] in _UNITS:
        power = _UNITS.index(unit.upper()[:1])
    elif unit is None:
        power = max((index for index in range(len(_UNITS)) if size >= 1024**index), default=0)
    name = "bits" if isbits else "Bytes"
    return f"{size / 1024**power:.2f} {_UNITS[power] + name[0] if power else name}"


def human_to_bytes(size: Any, default_unit: str | None = None, isbits: bool = False) -> int:
    """``human_to_bytes``: the number of bytes (or bits) that a text like 1.5 MB says."""
    match = _SIZE.fullmatch(str(size))
    if match is None:
        raise ValueError(f"{size!s} is not a size, like 10M")
    unit = match[2] or default_unit
    if unit is None:
        return round(float(match[1]))
    power = _UNITS.find(unit[0].upper())
    if power < 0 or (len(unit) > 1 and not _is_unit(unit, power, isbits)):
        raise ValueError(f"{unit!r} is not a unit of {'bits' if isbits else 'bytes'}, like {'Mb' if isbits else 'MB'}")
    bytes_per_unit: int = 1024**power
    return round(float(match[1]) * bytes_per_unit)


def _is_unit(unit: str, power: int, isbits: bool) -> bool:
    letter, word = ("b", "bit") if isbits else ("B", "byte")
    return unit.lower() == _UNIT_WORDS[power] + word or unit == (_UNITS[power] + letter if power else letter)


def type_debug(value: Any) -> str:
    """``type_debug``: the name of a value's type."""
    return type(plain(value)).__name__


DATA_FILTERS: dict[str, Callable[..., Any]] = {
    "combinations": itertools.combinations,
    "combine": combine,
    "dict2items": dict2items,
    "difference": difference,
    "extract": extract,
    "flatten": flatten,
    "human_readable": human_readable,
    "human_to_bytes": human_to_bytes,
    "intersect": intersect,
    "items2dict": items2dict,
    "log": logarithm,
    "mandatory": mandatory,
    "permutations": itertools.permutations,
    "pow": math.pow,
    "product": itertools.product,
    "random": choose,
    "rekey_on_member": rekey_on_member,
    "root": root,
    "shuffle": shuffle,
    "subelements": subelements,
    "symmetric_difference": symmetric_difference,
    "ternary": ternary,
    "type_debug": type_debug,
    "union": union,
    "unique": unique,
    "zip": zip,
    "zip_longest": itertools.zip_longest,
}
