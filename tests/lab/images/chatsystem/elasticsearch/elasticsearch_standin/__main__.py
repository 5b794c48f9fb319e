"""Settings come as upstream's image takes them: environment variables with the settings' own names, and ES_JAVA_OPTS.

GET  /                          name and version
GET  /_cluster/health           {"status": "green", …}
PUT  /INDEX/_doc/ID, POST …     keeps a document (a JSON object); ?refresh is taken and needs nothing
GET  /INDEX/_doc/ID             the document, or 404
GET  /INDEX/_search?q=WORD      the documents with this word in a text
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path("/usr/share/elasticsearch/data")
LEAST_MAP_COUNT = 262144
SETTINGS = {
    "discovery.type",
    "cluster.name",
    "node.name",
    "network.host",
    "bootstrap.memory_lock",
    "xpack.security.enabled",
    "ingest.geoip.downloader.enabled",
}


def refuse(message: str) -> None:
    """Say why it does not start, and end as the real one does."""
    print(f"ERROR: Elasticsearch (stand-in) did not start: {message}", file=sys.stderr)
    raise SystemExit(78)


def heap_bytes(options: str) -> int:
    """The -Xmx of ES_JAVA_OPTS in bytes, 0 when there is none."""
    found = re.search(r"-Xmx(\d+)([kmg])", options.lower())
    return int(found[1]) << {"k": 10, "m": 20, "g": 30}[found[2]] if found else 0


def memory_limit_bytes() -> int:
    """The container's memory limit, 0 when there is none."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < 1 << 50 else 0
    return 0


def check_start() -> None:
    if os.getuid() == 0:
        refuse("can not run elasticsearch as root")
    if int(Path("/proc/sys/vm/max_map_count").read_text()) < LEAST_MAP_COUNT:
        refuse(f"vm.max_map_count is too low, increase to at least [{LEAST_MAP_COUNT}]")
    if not os.access(DATA, os.W_OK):
        refuse(f"failed to obtain node locks: {DATA} is not writable for uid {os.getuid()}")
    limit = memory_limit_bytes()
    if limit and heap_bytes(os.environ.get("ES_JAVA_OPTS", "")) * 2 > limit:
        refuse("the heap is more than half of the memory limit")
    unknown = [name for name in os.environ if "." in name and name not in SETTINGS]
    if unknown:
        refuse(f"unknown setting [{unknown[0]}]")
    if os.environ.get("discovery.type") != "single-node":
        refuse("the stand-in is one node: discovery.type must be single-node")


class Store:
    """Documents in one JSON file per index, as safe as a rename."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def index(self, name: str) -> dict[str, Any]:
        path = self._directory / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def put(self, name: str, key: str, document: Any) -> bool:
        """Keep a document; tell whether it is new."""
        with self._lock:
            documents = self.index(name)
            is_new = key not in documents
            documents[key] = document
            temporary = self._directory / f".{name}"
            temporary.write_text(json.dumps(documents))
            temporary.rename(self._directory / f"{name}.json")
        return is_new


class Handler(BaseHTTPRequestHandler):
    store: Store

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if url.path == "/":
            self._answer(200, {"name": socket.gethostname(), "version": {"number": "8.11.0-standin"}})
        elif parts[:2] == ["_cluster", "health"]:
            self._answer(200, {"cluster_name": "standin", "status": "green", "number_of_nodes": 1})
        elif len(parts) == 3 and parts[1] == "_doc":
            found = self.store.index(parts[0]).get(parts[2])
            self._answer(200 if found else 404, {"_id": parts[2], "found": bool(found), "_source": found})
        elif len(parts) == 2 and parts[1] == "_search":
            word = parse_qs(url.query).get("q", [""])[0]
            hits = [
                {"_id": key, "_source": document}
                for key, document in self.store.index(parts[0]).items()
                if any(word in str(value).split() for value in document.values())
            ]
            self._answer(200, {"hits": {"total": {"value": len(hits)}, "hits": hits}})
        else:
            self._answer(404, {"error": "no such route in the stand-in"})

    def do_PUT(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if len(parts) != 3 or parts[1] != "_doc" or not re.fullmatch(r"[a-z0-9_-]+", parts[0]):
            self._answer(400, {"error": "invalid_index_name_exception or unknown route"})
            return
        try:
            document = json.loads(body)
        except ValueError:
            self._answer(400, {"error": "mapper_parsing_exception"})
            return
        is_new = self.store.put(parts[0], parts[2], document)
        self._answer(201 if is_new else 200, {"_id": parts[2], "result": "created" if is_new else "updated"})

    do_POST = do_PUT

    def _answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Health probes would fill the log."""


def main() -> None:
    check_start()
    Handler.store = Store(DATA)
    transport = socket.create_server(("", 9300))
    server = ThreadingHTTPServer(("", 9200), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("started (a stand-in for the lab)", flush=True)
    server.serve_forever()
    transport.close()


if __name__ == "__main__":
    main()
