"""``NAME_server -flagfile=CONF [-flag=value …]``: one of the seven services.

Every service answers HTTP on its listen_port: GET / says who it is. What more there is:

    gateway   9000  POST /message {"session", "text"} → {"message_id"}; GET /message?session=S → [{…}];
                    GET /services → what etcd knows; 9001 takes WebSockets, and says nothing
    transmit        POST /message: to the queue      store   takes from the queue into MySQL and Elasticsearch;
                                                             GET /message?session=S
    file            PUT /file/NAME, GET /file/NAME in its data directory
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from chat_standin import parts
from chat_standin.flags import parse
from chat_standin.registry import Registry

Answer = tuple[int, Any]
Route = Callable[[dict[str, str], bytes], Answer]
SERVICES = ("speech", "file", "user", "transmit", "store", "friend", "gateway")


class Handler(BaseHTTPRequestHandler):
    """Answers from ``routes``: "METHOD /first-part" → function of (query and rest of the path, body)."""

    routes: ClassVar[dict[str, Route]] = {}

    def _serve(self) -> None:
        url = urlsplit(self.path)
        first, _, rest = url.path.strip("/").partition("/")
        route = self.routes.get(f"{self.command} /{first}")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            status, value = route({**query, "rest": rest}, body) if route else (404, {"error": "no such route"})
        except Exception as error:
            status, value = 502, {"error": repr(error)}
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, *args: Any) -> None:
        """Probes would fill the log."""


class WebSockets(BaseHTTPRequestHandler):
    """Takes part in the handshake (RFC 6455, section 4.2.2), then listens until the other side goes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key = self.headers.get("Sec-WebSocket-Key")
        if not key:
            self.send_error(426)
            return
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
            self.send_header(name, value)
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.end_headers()
        self.close_connection = True
        while self.rfile.read(1):
            pass

    def log_message(self, *args: Any) -> None:
        """Probes would fill the log."""


def _ask(address: str, method: str, path: str, body: bytes | None = None) -> Answer:
    request = urllib.request.Request(f"http://{address}{path}", body, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, json.load(answer)


def gateway(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    parts.forget_statuses(flags)

    def one_of(service: str) -> str:
        found = registry.find(flags[service])
        if not found:
            raise OSError(f"{flags[service]} is not registered")
        return sorted(found.values())[0]

    return {
        "POST /message": lambda query, body: _ask(one_of("transmit_service"), "POST", "/message", body),
        "GET /message": lambda query, body: _ask(
            one_of("message_service"), "GET", f"/message?session={query.get('session', '')}"
        ),
        "GET /services": lambda query, body: (200, registry.find("/")),
    }


def transmit(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    parts.database(flags).close()
    sender = parts.Sender(flags)
    return {"POST /message": lambda query, body: (200, {"message_id": sender.send(json.loads(body))})}


def store(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    parts.database(flags).close()
    parts.search_engine(flags, "GET", "/_cluster/health")

    def take(message: dict[str, str]) -> None:
        connection = parts.database(flags)
        with connection.cursor() as cursor:
            words = "INSERT IGNORE INTO message (message_id, session_id, content) VALUES (%s, %s, %s)"
            cursor.execute(words, (message["message_id"], message["session"], message["text"]))
        connection.close()
        parts.search_engine(flags, "PUT", f"/message/_doc/{message['message_id']}", message)

    def recent(query: dict[str, str], body: bytes) -> Answer:
        connection = parts.database(flags)
        with connection.cursor() as cursor:
            words = "SELECT message_id, content FROM message WHERE session_id = %s ORDER BY id"
            cursor.execute(words, (query.get("session", ""),))
            rows = cursor.fetchall()
        connection.close()
        return 200, [{"message_id": row[0], "text": row[1]} for row in rows]

    parts.consume(flags, take)
    return {"GET /message": recent}


def file(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    directory = Path(flags.get("storage_path", "/im/data"))
    if not os.access(directory, os.W_OK):
        sys.exit(f"file_server: {directory} is not writable")

    def put(query: dict[str, str], body: bytes) -> Answer:
        (directory / Path(query["rest"]).name).write_bytes(body)
        return 201, {}

    def get(query: dict[str, str], body: bytes) -> Answer:
        path = directory / Path(query["rest"]).name
        return (200, {"content": path.read_text()}) if path.exists() else (404, {})

    return {"PUT /file": put, "GET /file": get}


def user(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    parts.database(flags).close()
    parts.redis(flags)
    parts.search_engine(flags, "GET", "/_cluster/health")
    return {}


def friend(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    parts.database(flags).close()
    return {}


def speech(flags: dict[str, str], registry: Registry) -> dict[str, Route]:
    return {}


def main() -> None:
    service = Path(sys.argv[1]).name.removesuffix("_server")
    service = {"message_transmit": "transmit", "message_store": "store"}.get(service, service)
    flags = parse(service, sys.argv[2:])
    registry = Registry(flags["registry_host"])
    routes = globals()[service](flags, registry)
    Handler.routes = {"GET /": lambda query, body: (200, {"service": f"{service} (a stand-in)"}), **routes}
    server = ThreadingHTTPServer(("", int(flags.get("http_listen_port") or flags["listen_port"])), Handler)
    if service == "gateway":
        sockets = ThreadingHTTPServer(("", int(flags["websocket_listen_port"])), WebSockets)
        sockets.daemon_threads = True
        threading.Thread(target=sockets.serve_forever, daemon=True).start()
    if flags.get("instance_name"):
        registry.register(flags["instance_name"], flags["access_host"])
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{service} started (a stand-in for the lab)", flush=True)
    server.serve_forever()
    if service == "gateway":
        parts.forget_statuses(flags)


if __name__ == "__main__":
    main()
