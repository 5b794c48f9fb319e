"""The filters of Ansible that work on texts, paths, dates and encodings; same names, same results."""

from __future__ import annotations

import base64
import datetime
import glob
import hashlib
import json
import ntpath
import os.path
import pprint as pprint_module
import re
import shlex
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from orchestr.inventory.json_values import as_json
from orchestr.templating.taint import ParsedName

_TRUE_WORDS = ("yes", "on", "1", "true")
_NAMESPACE = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")  # Ansible's own, so that the same name gives the same id
_URL_PARTS = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")
_POSIX_BASIC = re.compile(r"([].[^$*\\])")


def to_bool(value: Any) -> bool:
    """``bool``: yes, on, true and 1 are true, anything else is not."""
    return value if isinstance(value, bool) else str(value).strip().lower() in _TRUE_WORDS


def to_json(value: Any, indent: int | None = None, sort_keys: bool = False, **options: Any) -> str:
    """``to_json``: one line of JSON, dates in ISO format."""
    for name in ("vault_to_text", "preprocess_unsafe", "profile"):
        options.pop(name, None)
    return json.dumps(value, default=as_json, indent=indent, sort_keys=sort_keys, **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    """``to_nice_json``: JSON for people, keys sorted."""
    return to_json(value, indent, sort_keys, **{**options, "separators": (",", ": ")})


def to_yaml(value: Any, default_flow_style: bool | None = None, **options: Any) -> str:
    """``to_yaml``: YAML, inner containers in one line."""
    import yaml

    try:
        values = plain(value, tuple_type=list)
        return str(yaml.safe_dump(values, allow_unicode=True, default_flow_style=default_flow_style, **options))
    except yaml.YAMLError:
        raise ValueError("there is something in it that YAML can't say") from None


def to_nice_yaml(value: Any, indent: int = 4, default_flow_style: bool = False, **options: Any) -> str:
    """``to_nice_yaml``: YAML for people."""
    return to_yaml(value, default_flow_style, indent=indent, **options)


def from_yaml(text: str) -> Any:
    """``from_yaml``: the value a YAML text stands for."""
    return _from_yaml(text, "safe_load")


def from_yaml_all(text: str) -> Any:
    """``from_yaml_all``: the values of a YAML text of several documents."""
    return [] if text is None else _from_yaml(text, "safe_load_all")


def _from_yaml(text: str, loader: str) -> Any:
    import yaml

    try:
        value = getattr(yaml, loader)(text)
        return _with_names(list(value) if loader == "safe_load_all" else value)
    except yaml.YAMLError as problem:
        raise ValueError(f"not YAML: {problem}") from None


def from_json(text: str, **options: Any) -> Any:
    """``from_json``: the value a JSON text stands for."""
    options.pop("profile", None)
    return _with_names(json.loads(text, **options))


def pprint(value: Any) -> str:
    """``pprint``: as Jinja2's; views of containers with secrets are printed as plain containers."""
    return pprint_module.pformat(plain(value))


def b64encode(text: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    """``b64encode``: the base64 of a text."""
    return (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(str(text).encode(encoding)).decode()


def b64decode(text: str, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    """``b64decode``: the text inside base64."""
    return (base64.urlsafe_b64decode if urlsafe else base64.b64decode)(text).decode(encoding)


def hashed(text: Any, hashtype: str = "sha1") -> str:
    """``hash``: the hexadecimal digest of a text."""
    return hashlib.new(hashtype, str(text).encode()).hexdigest()


def to_uuid(text: Any, namespace: Any = _NAMESPACE) -> str:
    """``to_uuid``: the UUID (version 5) of a name."""
    return str(uuid.uuid5(namespace if isinstance(namespace, uuid.UUID) else uuid.UUID(namespace), str(text)))


def regex_replace(
    text: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    """``regex_replace``: every match replaced; groups as ``\\1``."""
    result, number = re.subn(pattern, replacement, str(text), count=count, flags=_flags(ignorecase, multiline))
    if mandatory_count and number != mandatory_count:
        raise ValueError(f"{pattern!r} should match {mandatory_count} times, but matches {number} times")
    return result


def regex_search(text: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    """``regex_search``: the first match, or its ``groups`` (``'\\1'``, ``'\\g<name>'``); None without a match."""
    names: list[Any] = []
    for group in groups:
        name = re.fullmatch(r"\\g<(\S+)>|\\(\d+)", group)
        if name is None:
            raise ValueError(f"{group!r} is not a group; write '\\\\1' or '\\\\g<name>'")
        names.append(name[1] or int(name[2]))
    match = re.search(pattern, str(text), _flags(ignorecase, multiline))
    if match is None or not names:
        return match[0] if match else None
    return [match[name] for name in names]


def regex_findall(text: Any, regex: str, multiline: bool = False, ignorecase: bool = False) -> list[Any]:
    """``regex_findall``: all matches."""
    return re.findall(regex, str(text), _flags(ignorecase, multiline))


def regex_escape(text: Any, re_type: str = "python") -> str:
    """``regex_escape``: a text as an expression that matches it."""
    if re_type not in ("python", "posix_basic"):
        raise ValueError(f"regex_escape knows python and posix_basic, not {re_type!r}")
    return re.escape(str(text)) if re_type == "python" else _POSIX_BASIC.sub(r"\\\1", str(text))


def _flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


_COMMENTS = {
    "plain": {"decoration": "# "},
    "erlang": {"decoration": "% "},
    "c": {"decoration": "// "},
    "cblock": {"beginning": "/*", "decoration": " * ", "end": " */"},
    "xml": {"beginning": "<!--", "decoration": " - ", "end": "-->"},
}


def comment(text: str, style: str = "plain", **options: Any) -> str:
    """``comment``: a text as a comment of a configuration file; ``style`` is plain, c, cblock, erlang or xml."""
    if style not in _COMMENTS:
        raise ValueError(f"comment has no style {style!r}; known: {', '.join(_COMMENTS)}")
    given = {**_COMMENTS[style], **options}
    newline, decoration = given.get("newline", "\n"), given["decoration"]
    around = decoration.rstrip()
    prefix = given.get("prefix", around)
    lines = [f"{decoration}{line}" if line else around for line in text.split(newline)[:-1]]
    lines.append(decoration + text.split(newline)[-1])
    head = (prefix if prefix == newline else prefix + newline if prefix else "") * int(given.get("prefix_count", 1))
    tail = (newline + given.get("postfix", around)) * int(given.get("postfix_count", 1))
    beginning = given.get("beginning", "")
    end = given.get("end", "")
    return f"{beginning + newline if beginning else ''}{head}{newline.join(lines)}{tail}{newline + end if end else ''}"


def quote(value: Any) -> str:
    """``quote``: a text as one word of a shell."""
    return shlex.quote("" if value is None else str(value))


def split(text: str, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    """``split``: the pieces of a text."""
    return text.split(separator, maxsplit)


def strftime(string_format: str, second: Any = None, utc: bool = False) -> str:
    """``strftime``: a date as a text; now when there are no seconds since 1970."""
    moment = None if second is None else float(second)
    return time.strftime(string_format, time.gmtime(moment) if utc else time.localtime(moment))


def to_datetime(text: str, format: str = "%Y-%m-%d %H:%M:%S") -> datetime.datetime:
    """``to_datetime``: the date that a text says."""
    return datetime.datetime.strptime(text, format)


def url_split(url: str, query: str = "") -> Any:
    """``urlsplit``: the parts of a URL, or one of them."""
    parts = urlsplit(url)
    if query and query not in _URL_PARTS:
        raise ValueError(f"a URL has no part {query!r}; known: {', '.join(_URL_PARTS)}")
    return getattr(parts, query) if query else {name: getattr(parts, name) for name in _URL_PARTS}


def path_join(paths: Any) -> str:
    """``path_join``: paths as one."""
    return paths if isinstance(paths, str) else os.path.join(*paths)  # noqa: PTH118 - a text, whatever the system


def file_glob(pattern: str) -> list[str]:
    """``fileglob``: the files of this machine that a pattern names."""
    return [path for path in glob.glob(pattern) if Path(path).is_file()]  # noqa: PTH207 - as written, "./" kept


def dirname(path: str) -> str:
    """``dirname``: the path before the last slash."""
    return os.path.dirname(path)  # noqa: PTH120 - a text, whatever the system


def _with_names(value: Any) -> Any:
    """Return a document's value; its keys are names that may be shown."""
    if isinstance(value, dict):
        return {ParsedName(key) if isinstance(key, str) else key: _with_names(item) for key, item in value.items()}
    return [_with_names(item) for item in value] if isinstance(value, list) else value


def plain(value: Any, tuple_type: type = tuple) -> Any:
    """Return a value as plain types, which other libraries expect."""
    if isinstance(value, Mapping):
        return {plain(key, tuple_type): plain(item, tuple_type) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [plain(item, tuple_type) for item in value]
        return tuple_type(items) if isinstance(value, tuple) else items
    return str(value) if isinstance(value, str) else value


TEXT_FILTERS: dict[str, Callable[..., Any]] = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "basename": os.path.basename,
    "bool": to_bool,
    "checksum": hashed,
    "comment": comment,
    "commonpath": os.path.commonpath,
    "dirname": dirname,
    "expanduser": os.path.expanduser,
    "expandvars": os.path.expandvars,
    "fileglob": file_glob,
    "from_json": from_json,
    "from_yaml": from_yaml,
    "from_yaml_all": from_yaml_all,
    "hash": hashed,
    "md5": lambda text: hashed(text, "md5"),
    "normpath": os.path.normpath,
    "path_join": path_join,
    "pprint": pprint,
    "quote": quote,
    "realpath": os.path.realpath,
    "regex_escape": regex_escape,
    "regex_findall": regex_findall,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "relpath": os.path.relpath,
    "sha1": hashed,
    "split": split,
    "splitext": os.path.splitext,
    "strftime": strftime,
    "to_datetime": to_datetime,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_nice_yaml": to_nice_yaml,
    "to_uuid": to_uuid,
    "to_yaml": to_yaml,
    "urldecode": unquote_plus,
    "urlsplit": url_split,
    "win_basename": ntpath.basename,
    "win_dirname": ntpath.dirname,
    "win_splitdrive": ntpath.splitdrive,
}
