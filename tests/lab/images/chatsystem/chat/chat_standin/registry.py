"""Registration and discovery in etcd, over its JSON gateway (etcd 3.4 and later: /v3/…)."""

from __future__ import annotations

import base64
import json
import os
import threading
import urllib.request
from typing import Any

LEASE_S = 30


def _text(data: str) -> str:
    return base64.b64encode(data.encode()).decode()


class Registry:
    """One lease in etcd, kept alive while the process lives; a lost etcd ends the process, as the real one's client."""

    def __init__(self, host: str) -> None:
        self._host = host.rstrip("/")

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._host}{path}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def register(self, instance: str, access_host: str) -> None:
        """Put ``/service`` + instance → access_host, for as long as this process lives."""
        lease = self._call("/v3/lease/grant", {"TTL": LEASE_S})["ID"]
        put = {"key": _text("/service" + instance), "value": _text(access_host), "lease": lease}
        self._call("/v3/kv/put", put)
        self._ended = threading.Event()
        threading.Thread(target=self._keep, args=(lease,), daemon=True).start()

    def _keep(self, lease: str) -> None:
        failures = 0
        while not self._ended.wait(LEASE_S / 6):
            try:
                kept = self._call("/v3/lease/keepalive", {"ID": lease})
                failures = 0 if int(kept["result"].get("TTL", 0)) > 0 else 99
            except OSError:
                failures += 1
            if failures > 3:
                print("the lease in etcd is lost", flush=True)
                os._exit(1)

    def find(self, prefix: str) -> dict[str, str]:
        """Return key → value of all registrations below a service's name."""
        start = "/service" + prefix
        end = start[:-1] + chr(ord(start[-1]) + 1)
        found = self._call("/v3/kv/range", {"key": _text(start), "range_end": _text(end)})
        return {
            base64.b64decode(item["key"]).decode(): base64.b64decode(item["value"]).decode()
            for item in found.get("kvs", [])
        }
