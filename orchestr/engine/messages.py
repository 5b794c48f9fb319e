"""The messages of agents, checked: a host is not trusted, its messages have the fields and types listed here."""

from __future__ import annotations

import math
from typing import Any

from orchestr.agent.secret import Secret
from orchestr.agent.wire import ProtocolError, decode

TEXT, INTEGER, NUMBER, OBJECT, NUMBERS, TEXTS = "a text", "an integer", "a number", "an object", "numbers", "texts"
FLAG = "true or false"
VERDICTS = ("ok", "changed", "failed", "skipped", "unknown")
LARGEST_BYTES = 32 * 1024 * 1024  # of one JSON message; a command's output in an outcome is at most a quarter of it
MOST_VALUES = 4_000_000  # values in one message, counted by their commas
MOST_CONTAINERS = 1_000_000  # lists and objects in one message
DEEPEST = 64  # levels of lists and objects within each other

#: Message type → required fields, optional fields.
_FIELDS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "hello": ({"protocol": INTEGER, "facts": OBJECT}, {"bytecode": TEXT}),
    "locked": ({"holder": OBJECT}, {}),
    "fatal": ({"message": TEXT}, {}),
    "beat": ({}, {"left_s": NUMBER}),
    "started": ({"task": TEXT}, {}),
    "output": ({"task": TEXT, "text": TEXT}, {}),
    "result": (
        {"task": TEXT, "verdict": TEXT},
        {"diff": TEXT, "reason": TEXT, "error": TEXTS, "outcome": OBJECT, "elapsed_s": NUMBER, "begun": FLAG},
    ),
    "fine": ({"first": INTEGER, "elapsed_s": NUMBERS}, {}),
    "need": ({"digest": TEXT, "transfer": INTEGER}, {}),
    "got": ({"size_bytes": INTEGER}, {}),
    "offer": ({"transfer": INTEGER, "size_bytes": INTEGER}, {}),
    "offered": ({"transfer": INTEGER, "sha256": TEXT, "size_bytes": INTEGER}, {}),
    "lacking": ({"module": TEXT}, {}),
    "reachable": ({"window_s": NUMBER}, {}),
    "done": ({}, {"request": TEXT}),
}
_FACTS = {
    **dict.fromkeys(("uid", "cpu_count", "memory_bytes", "disk_free_bytes"), INTEGER),
    "time": NUMBER,
    "addresses": "a list of texts",
}


def read_message(payload: bytes) -> dict[str, Any]:
    """Return the message in the payload of a frame. Raises ProtocolError for anything an agent does not send."""
    if len(payload) > LARGEST_BYTES:
        raise ProtocolError(f"a message of {len(payload)} bytes")
    if payload.count(b",") > MOST_VALUES or payload.count(b"[") + payload.count(b"{") > MOST_CONTAINERS:
        raise ProtocolError("a message of too many values")
    try:
        message = decode(payload, _check_secret)
        _check(message)
    except ProtocolError:
        raise
    except Exception as error:  # a RecursionError, an OverflowError, a class of ours that its fields do not fit
        raise ProtocolError(f"not a message: {type(error).__name__}") from None
    return message


def _check(message: dict[str, Any]) -> None:
    kind = message["type"]
    required, optional = _FIELDS.get(kind, (None, {}))
    if required is None:
        raise ProtocolError(f"a message of the unknown type {kind[:40]!r}")
    fields = {**required, **optional}
    for name in required:
        if name not in message:
            raise ProtocolError(f"a message {kind} without {name}")
    for name, value in message.items():
        if name != "type" and (name not in fields or not _is(value, fields[name])):
            raise ProtocolError(f"a message {kind} with a wrong field {name[:40]!r}")
    if kind == "result":
        _check_result(message)
    elif kind == "hello":
        _check_facts(message["facts"])
    elif kind in ("need", "got", "offer", "offered") and not _is_possible(message):
        raise ProtocolError(f"a message {kind} with an impossible number")


def _is_possible(message: dict[str, Any]) -> bool:
    transfer, size_bytes = int(message.get("transfer", 0)), int(message.get("size_bytes", 0))
    return 0 <= transfer < 1 << 32 and 0 <= size_bytes < 1 << 63


def _check_result(message: dict[str, Any]) -> None:
    if message["verdict"] not in VERDICTS:
        raise ProtocolError("a result with an unknown verdict")
    if not _is_plain(message.get("outcome"), DEEPEST):
        raise ProtocolError("a result with an outcome that is no plain data")


def _check_facts(facts: dict[str, Any]) -> None:
    if "time" not in facts or not _is_plain(facts, DEEPEST, (str, int, float)):
        raise ProtocolError("facts that are no plain data, or without the time")
    for name, value in facts.items():
        wanted = _FACTS.get(name)
        is_list = isinstance(value, tuple) and all(isinstance(item, str) for item in value)
        if wanted is not None and not (is_list if wanted == "a list of texts" else _is(value, wanted)):
            raise ProtocolError(f"the fact {name[:40]!r} is not {wanted}")


def _is(value: Any, wanted: str) -> bool:
    if wanted == TEXT:
        return isinstance(value, str)
    if wanted == FLAG:
        return isinstance(value, bool)
    if wanted == INTEGER:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted == NUMBER:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if wanted == NUMBERS:
        return isinstance(value, tuple) and all(_is(item, NUMBER) for item in value)
    if wanted == TEXTS:
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return isinstance(value, dict)


def _is_plain(value: Any, levels: int, scalars: tuple[type, ...] = (str, int, float, bytes, Secret)) -> bool:
    """Return True for data without objects of ours (resources, tasks), and not nested deeper than ``levels``."""
    if isinstance(value, dict):
        return levels > 0 and all(_is_plain(item, levels - 1, scalars) for item in value.values())
    if isinstance(value, tuple):
        return levels > 0 and all(_is_plain(item, levels - 1, scalars) for item in value)
    return value is None or isinstance(value, scalars)


def _check_secret(secret: Secret) -> None:
    """Refuse a Secret that is no text: it would break every later redaction, also that of other hosts."""
    parts = secret.parts
    if not isinstance(secret.reveal(), str) or not all(isinstance(part, str) for part in parts):
        raise ProtocolError("a secret that is no text")
