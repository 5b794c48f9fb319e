"""Values as Ansible writes them in JSON."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping
from typing import Any

from orchestr.inventory.marked import UnsafeText
from orchestr.inventory.sources import VaultSecret
from orchestr.secret import REDACTED, Secret


def as_json(value: Any) -> Any:
    """Return ``value`` as Ansible writes it in JSON: keys as text, dates in ISO format, secrets hidden."""
    if isinstance(value, Secret):
        return {"__ansible_vault": value.ciphertext} if isinstance(value, VaultSecret) else REDACTED
    if isinstance(value, UnsafeText):
        return {"__ansible_unsafe": str(value)}
    if isinstance(value, Mapping):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [as_json(item) for item in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):  # !!binary, at which Ansible gives up
        return base64.b64encode(value).decode("ascii")
    return value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key) if isinstance(key, datetime.date) else json.dumps(key)
