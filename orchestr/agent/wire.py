"""Frames and messages between controller and agent.

A frame is ``b"oR"``, one byte of type, four bytes of length (big endian), then the payload:

* ``J``: one message, a JSON object with a ``"type"``. Records travel by registered kind (``{"$k": kind, ...}``),
  never by import path; Secrets as ``{"$s": text}``, bytes as ``{"$b": base64}``; every list becomes a tuple.
* ``B``: four bytes with the number of the ``need`` it answers, then a piece of the blob; no piece means there is none.
  From the agent: the number of its ``offer``, then a piece of that content.
* ``P``: packed modules, which the ``modules`` message after it is about.

Messages to the agent: ``modules, tasks, confirm, taken, beat, stop``, and blobs. From it: ``hello, locked, started,
output, result, fine, need, got, offer, offered, lacking, reachable, done, beat, fatal``, and offered content.
``started`` is said of tasks that last; ``fine`` stands for the results of some that follow each other and were ok, with
nothing more to tell: ``first`` counts from 0. A ``beat`` while a task is at work says the seconds that the task has
left.
"""

from __future__ import annotations

from _struct import Struct
from sys import intern

from orchestr.agent.light_json import JSONEncoder, loads
from orchestr.agent.record import fields
from orchestr.agent.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

PROTOCOL = 1
MAGIC = b"oR"
KINDS = (b"J", b"B", b"P")
HEADER = Struct(">2scI")
NUMBER = Struct(">I")
MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes in one frame
PACKET = 32 * 1024 - 64  # bytes of ours in one full SSH packet: sshd takes 32 KiB, paramiko keeps 64 bytes of them
CHUNK = 16 * PACKET - HEADER.size - 4  # bytes of a blob in one frame, which fills whole packets
BEAT_S = 5.0  # a heartbeat is sent when nothing else was for this long
LOST_S = 30.0  # the other side is given up when nothing came for this long


_SCALARS = frozenset((str, int, float, bool, type(None)))
_FIELDS: Dict[type, Tuple[Tuple[str, Any], ...]] = {}  # of registered records: name and default

SECRET_MARK = b'{"$s":'  # in the frame of a message that holds a Secret
_text = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # made once, not per message


class ProtocolError(Exception):
    """The bytes that arrived are not a frame or message of this protocol."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """Return one frame. Raises ProtocolError when the payload is larger than MESSAGE_LIMIT."""
    if len(payload) > MESSAGE_LIMIT:
        raise ProtocolError("a message of %d bytes is over the limit of %d" % (len(payload), MESSAGE_LIMIT))
    return HEADER.pack(MAGIC, kind, len(payload)) + payload


def chunk_frame(transfer: int, chunk: bytes) -> bytes:
    """Return the frame of a piece of a blob, copied once."""
    return b"".join((HEADER.pack(MAGIC, b"B", len(chunk) + 4), NUMBER.pack(transfer), chunk))


def split_chunk(payload: bytes) -> Tuple[int, bytes]:
    """Return the transfer's number and the piece in a ``B`` payload."""
    return int(NUMBER.unpack_from(payload)[0]), payload[4:]


def encode(message: Dict[str, Any]) -> bytes:
    """Return the frame of a message."""
    text = _text(_plain(message))
    return frame(b"J", text.encode("utf-8", "surrogatepass"))  # file names may hold bytes that are no text


class Decoder:
    """Cut a byte stream into frames: ``feed`` bytes, then call ``next_frame`` until it returns None."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_frame(self) -> Optional[Tuple[bytes, bytes]]:
        """Return (type, payload) of the next whole frame, None until there is one. Raises ProtocolError."""
        if len(self._buffer) < HEADER.size:
            return None
        magic, kind, size = HEADER.unpack_from(self._buffer)
        if magic != MAGIC or size > MESSAGE_LIMIT or kind not in KINDS:
            raise ProtocolError("not a frame: %r" % bytes(self._buffer[:80]))
        end = HEADER.size + size
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as whole:  # a slice of the buffer itself would be one more copy
            payload = bytes(whole[HEADER.size : end])
        del self._buffer[:end]
        return kind, payload


def decode(payload: bytes, on_secret: Optional[Callable[[Secret], None]] = None) -> Dict[str, Any]:
    """Return the message in a ``J`` payload; ``on_secret`` is called with each Secret. Raises ProtocolError."""
    try:
        message = _rich(loads(payload.decode("utf-8", "surrogatepass")), on_secret)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError("not a message: %s" % error) from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message without a type")
    return message


def _plain(value: Any) -> Any:
    cls = type(value)
    if cls in _SCALARS:
        return value
    if cls in _FIELDS:
        return _fields_in(value, _FIELDS[cls])
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Secret):
        return {"$s": value.reveal(), "$p": list(value.parts)}
    if isinstance(value, bytes):
        from base64 import b64encode

        return {"$b": b64encode(value).decode("ascii")}
    if getattr(cls, "kind", ""):
        _FIELDS[cls] = tuple([(field.name, field.default) for field in fields(cls)])
        return _fields_in(value, _FIELDS[cls])
    if isinstance(value, (str, int, float)):
        return value
    raise ProtocolError("a %s cannot travel" % cls.__name__)


def _fields_in(value: Any, known: Tuple[Tuple[str, Any], ...]) -> Dict[str, Any]:
    """Return the fields of a registered record that differ from their defaults."""
    plain: Dict[str, Any] = {"$k": value.kind}
    for name, default in known:
        current = getattr(value, name)
        if current is not default and not (type(current) is type(default) and current == default):
            plain[name] = current if type(current) in _SCALARS else _plain(current)
    return plain


def _rich(value: Any, on_secret: Optional[Callable[[Secret], None]]) -> Any:
    if isinstance(value, list):
        return tuple([_rich(item, on_secret) if isinstance(item, (dict, list)) else item for item in value])
    if not isinstance(value, dict):
        return value
    if "$s" in value:
        secret = Secret(value["$s"], value.get("$p", ()))
        if on_secret is not None:
            on_secret(secret)
        return secret
    if "$b" in value:
        from base64 import b64decode

        return b64decode(value["$b"])
    # The same few names come from thousands of hosts: kept once, they weigh nothing.
    values = {
        intern(key): _rich(item, on_secret) if isinstance(item, (dict, list)) else item for key, item in value.items()
    }
    if "$k" not in values:
        return values
    from orchestr.agent.resource import class_of

    return class_of(values.pop("$k"))(**values)
