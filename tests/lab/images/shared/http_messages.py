"""As much of HTTP/1.1 as the stand-ins speak (RFC 9112): one request read, one response written, closed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

HEADER_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 1024 * 1024


class BadRequest(Exception):
    """The peer does not speak HTTP as we know it."""


@dataclass(frozen=True)
class Request:
    """One request; header names are lower case, `query` holds the first value of each parameter."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def bearer(self) -> str:
        """The token of the Authorization header, with or without the word Bearer; may be empty."""
        value = self.headers.get("authorization", "")
        return value[7:].strip() if value.lower().startswith("bearer ") else value.strip()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request, or None when the peer closed; raises BadRequest."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    except asyncio.IncompleteReadError:
        return None
    except (TimeoutError, asyncio.LimitOverrunError) as error:
        raise BadRequest("no request head") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, _ = first.split(" ", 2)
        fields = [line.split(":", 1) for line in lines if line]
        headers = {name.strip().lower(): value.strip() for name, value in fields}
        length = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise BadRequest("malformed request head") from error
    if length > BODY_LIMIT_BYTES:
        raise BadRequest("body too large")
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    return Request(method, url.path, query, headers, await reader.readexactly(length))


def response(status: int, body: str | bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    """The bytes of a whole response that closes the connection."""
    data = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data


def json_response(status: int, value: Any) -> bytes:
    """As `response`, of a JSON value."""
    return response(status, json.dumps(value), "application/json")
