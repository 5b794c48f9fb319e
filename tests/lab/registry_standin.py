"""A stand-in for a container registry, for tests alone: it only gives, over plain HTTP on loopback, with Basic auth.

Source: OCI Distribution Specification 1.1, pulling. It serves one directory with files named by their sha256 and
``tags.json`` (``name:tag`` → digest of a manifest). usage: registry_standin.py DIRECTORY PORT USER:PASSWORD-FILE
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PLACE, PORT, LOGIN = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).read_text().strip()


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        if given != "Basic " + base64.b64encode(LOGIN.encode()).decode():
            self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
            return
        parts = self.path.strip("/").split("/")
        if parts == ["v2"]:
            self.answer(200, b"{}")
            return
        name, what, reference = "/".join(parts[1:-2]), parts[-2], parts[-1]
        if what == "manifests" and ":" not in reference:
            reference = json.loads((PLACE / "tags.json").read_text()).get(f"{name}:{reference}", "gone")
        found = PLACE / reference.rpartition(":")[2]
        if not found.is_file():
            self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            return
        kind = MANIFEST if what == "manifests" else "application/octet-stream"
        self.answer(200, found.read_bytes(), kind, reference)

    def answer(self, status: int, body: bytes, kind: str = "application/json", digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="stand-in"')
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", PORT), Registry).serve_forever()
