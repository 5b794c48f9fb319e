"""The cluster as it looks from this machine: which ports answer, and the answers of servers."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from orchestr.verification.websocket import WebSocket, open_websocket

PortState = Literal["open", "closed", "filtered"]


@dataclass(frozen=True)
class Response:
    """The answer of an HTTP server; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body read as JSON. Raises ValueError."""
        return json.loads(self.body)


class Outside:
    """Looks from the controller. Every look is over within ``timeout_s``."""

    def connects(self, address: str, port: int, timeout_s: float = 3.0) -> PortState:
        """Try a TCP connection: ``open``, ``closed`` (refused at once) or ``filtered`` (no answer, or no way there)."""
        try:
            with socket.create_connection((address, port), timeout_s):
                return "open"
        except ConnectionRefusedError:
            return "closed"
        except OSError:
            return "filtered"

    def udp(self, address: str, port: int, data: bytes = b"\0", timeout_s: float = 2.0) -> bytes | None:
        """Send a datagram; return the answer, ``b""`` when the port is closed (refused), None when nothing came."""
        family = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0][0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.settimeout(timeout_s)
            probe.connect((address, port))
            try:
                probe.send(data)
                return probe.recv(65536)
            except ConnectionRefusedError:
                return b""
            except OSError:
                return None

    def get(
        self,
        url: str,
        *,
        ca: str | None = None,
        verify: bool = True,
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
        address: str | None = None,
        method: str = "GET",
        body: bytes | None = None,
        timeout_s: float = 5.0,
    ) -> Response:
        """Make one HTTP request; redirects are answers like any other.

        ``address`` is connected to instead of the URL's host, which still is the Host header and the TLS name (as
        ``curl --resolve``). ``host`` replaces the Host header. ``ca`` is a file of certificates to trust. Raises
        OSError (ssl.SSLError for a certificate that does not hold).
        """
        where = urlsplit(url)
        way = connection(where, address, ca=ca, verify=verify, timeout_s=timeout_s)
        client = http.client.HTTPConnection(where.hostname or "", where.port)
        client.sock = way
        try:
            sent = {**(headers or {}), **({"Host": host} if host else {})}
            path = (where.path or "/") + (f"?{where.query}" if where.query else "")
            client.request(method, path, body, sent)
            answer = client.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, told, answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{url}: {type(error).__name__}: {error}") from error
        finally:
            client.close()

    def websocket(
        self,
        url: str,
        *,
        ca: str | None = None,
        verify: bool = True,
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
        address: str | None = None,
        timeout_s: float = 5.0,
    ) -> WebSocket:
        """Open a WebSocket (``ws://`` or ``wss://``); parameters as for ``get``.

        Raises HandshakeRefused, with the status and the body, when the server answers anything but 101; OSError.
        """
        where = urlsplit(url)
        way = connection(where, address, ca=ca, verify=verify, timeout_s=timeout_s)
        try:
            path = (where.path or "/") + (f"?{where.query}" if where.query else "")
            return open_websocket(way, host or where.netloc.rpartition("@")[2], path, headers or {}, timeout_s)
        except BaseException:
            way.close()
            raise


def connection(
    where: SplitResult, address: str | None, *, ca: str | None, verify: bool, timeout_s: float
) -> socket.socket:
    """Return a socket to a URL's host (or to ``address`` in its place), TLS done for https and wss."""
    is_tls = where.scheme in ("https", "wss")
    port = where.port or (443 if is_tls else 80)
    name = where.hostname or ""
    plain = socket.create_connection((address or name, port), timeout_s)
    if not is_tls:
        return plain
    context = ssl.create_default_context(cafile=ca)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise
