"""LiveKit's tokens: JSON Web Tokens signed with HMAC-SHA256 (RFC 7519, RFC 7515), nothing else of JWT.

An access token carries `iss` (the API key), `sub` (the participant's identity) and `video` (the grant).
A webhook's token carries `sha256`, the base64 of the body's digest.
Source: https://docs.livekit.io/home/get-started/authentication/ and .../server/webhooks/.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any


class InvalidToken(Exception):
    """A token is malformed, unsigned, signed by somebody else, or out of its time."""


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(secret: str, signed: str) -> bytes:
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()


def sign(key: str, secret: str, claims: Mapping[str, Any], valid_for_s: int = 600) -> str:
    """The token of `claims` issued by `key`, valid from now for `valid_for_s` seconds."""
    now = int(time.time())
    body = {"iss": key, "nbf": now - 5, "exp": now + valid_for_s, **claims}
    parts = [{"alg": "HS256", "typ": "JWT"}, body]
    signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{_encode(_signature(secret, signed))}"


def verify(token: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """The claims of a token signed by one of `keys` (API key to secret); raises InvalidToken."""
    try:
        header_text, body_text, signature_text = token.split(".")
        header = json.loads(_decode(header_text))
        claims = json.loads(_decode(body_text))
        signature = _decode(signature_text)
    except ValueError as error:
        raise InvalidToken("malformed token") from error
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") != "HS256":
        raise InvalidToken("only HS256 tokens are accepted")
    secret = keys.get(str(claims.get("iss")))
    if secret is None:
        raise InvalidToken("invalid API key")
    if not hmac.compare_digest(signature, _signature(secret, f"{header_text}.{body_text}")):
        raise InvalidToken("invalid signature")
    _check_time(claims)
    return claims


def _check_time(claims: Mapping[str, Any]) -> None:
    now = time.time()
    if not isinstance(claims.get("exp"), (int, float)) or claims["exp"] < now:
        raise InvalidToken("expired token")
    if isinstance(claims.get("nbf"), (int, float)) and claims["nbf"] > now + 30:
        raise InvalidToken("token is not valid yet")


def body_digest(body: bytes) -> str:
    """The `sha256` claim of a webhook that carries `body`."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def verify_webhook(token: str, body: bytes, keys: Mapping[str, str]) -> dict[str, Any]:
    """The claims of a webhook's token that covers exactly `body`; raises InvalidToken."""
    claims = verify(token, keys)
    if not hmac.compare_digest(str(claims.get("sha256")), body_digest(body)):
        raise InvalidToken("the token covers another body")
    return claims
