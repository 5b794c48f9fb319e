"""What verify sees from the controller: ports, HTTP, UDP and WebSockets, against servers on the loopback."""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.server
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestr.verification.outside import Outside
from orchestr.verification.websocket import HandshakeRefused, WebSocketClosed

outside = Outside()
Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer one connection with a function; returns the port."""
    listeners: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            way, _ = listener.accept()
            with way:
                answer(way)

        threading.Thread(target=run, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked for; /moved redirects."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("X-Asked", f"{self.headers['Host']} {self.path}")
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b'{"ok": true}')

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for lk.example.test with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lk.example.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("lk.example.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(plain + made.public_bytes(pem))
    return path


@pytest.fixture
def https(certificate: Path) -> Iterator[int]:
    """An HTTPS server; returns its port."""
    yield from _http_server(certificate)


@pytest.fixture
def plain_http() -> Iterator[int]:
    """An HTTP server; returns its port."""
    yield from _http_server(None)


def _http_server(certificate: Path | None) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_port_is_open_or_closed(plain_http: int) -> None:
    """A listening port is open; one nobody listens on is closed."""
    assert outside.connects("127.0.0.1", plain_http) == "open"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert outside.connects("127.0.0.1", unused.getsockname()[1]) == "closed"


def test_a_port_that_never_answers_is_filtered() -> None:
    """When the queue of a listener is full nothing answers: filtered, within the time given."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        assert outside.connects("127.0.0.1", port, timeout_s=0.2) == "filtered"
        for each in waiting:
            each.close()


def test_get(plain_http: int) -> None:
    """get gives status, headers and body; a redirect is an answer, and the Host header can be another."""
    answer = outside.get(f"http://127.0.0.1:{plain_http}/path?q=1", host="lk.example.test")
    assert (answer.status, answer.headers["x-asked"]) == (200, "lk.example.test /path?q=1")
    assert answer.json() == {"ok": True}
    assert outside.get(f"http://127.0.0.1:{plain_http}/moved").status == 302


def test_get_holds_a_certificate_against_the_name(https: int, certificate: Path) -> None:
    """TLS is checked against the given CA and the URL's name, also when an address is connected to in its place."""
    url = f"https://lk.example.test:{https}/"
    assert outside.get(url, address="127.0.0.1", ca=str(certificate)).headers["x-asked"].startswith("lk.example.test")
    with pytest.raises(ssl.SSLError):
        outside.get(url, address="127.0.0.1")
    with pytest.raises(ssl.SSLError):
        outside.get(f"https://other.test:{https}/", address="127.0.0.1", ca=str(certificate))
    assert outside.get(f"https://other.test:{https}/", address="127.0.0.1", verify=False).status == 200


def test_udp() -> None:
    """udp gives the answer, b"" for a closed port, None for silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        address, port = server.getsockname()
        assert outside.udp(address, port, b"hello", timeout_s=0.1) is None

        def answer() -> None:
            data, who = server.recvfrom(100)
            while data != b"again":
                data, who = server.recvfrom(100)
            server.sendto(b"answer", who)

        answering = threading.Thread(target=answer)
        answering.start()
        assert outside.udp(address, port, b"again") == b"answer"
        answering.join()
    assert outside.udp(address, port) == b""


def _accept(way: socket.socket) -> bytes:
    """Do the server's part of the handshake; return the request."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += way.recv(4096)
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    way.sendall(answer + base64.b64encode(digest) + b"\r\n\r\n")
    return request


def _read_frame(way: socket.socket) -> tuple[int, bytes]:
    first, second = way.recv(2)
    size, mask = second & 0x7F, way.recv(4)
    return first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(way.recv(size)))


def test_websocket_messages(serve: Serve) -> None:
    """Text comes whole out of fragments, past a ping that is answered; long frames are read; the end is told."""
    seen: list[tuple[int, bytes]] = []

    def server(way: socket.socket) -> None:
        _accept(way)
        way.sendall(b"\x89\x01p" + b"\x01\x03hel" + b"\x80\x02lo")
        way.sendall(b"\x82\x7e" + struct.pack(">H", 300) + b"x" * 300)
        seen.append(_read_frame(way))
        way.sendall(b"\x88\x02" + struct.pack(">H", 1001))

    with outside.websocket(f"ws://127.0.0.1:{serve(server)}/rtc?token=t") as client:
        assert client.receive() == "hello"
        assert client.receive() == b"x" * 300
        with pytest.raises(WebSocketClosed) as closed:
            client.receive()
    assert closed.value.code == 1001
    assert seen == [(10, b"p")]


def test_websocket_is_alive_until_it_is_not(serve: Serve) -> None:
    """is_alive asks with a ping: true while pongs come, false when the connection is gone."""

    def server(way: socket.socket) -> None:
        _accept(way)
        opcode, payload = _read_frame(way)
        assert opcode == 9
        way.sendall(bytes([0x8A, len(payload)]) + payload)
        _read_frame(way)

    client = outside.websocket(f"ws://127.0.0.1:{serve(server)}/")
    assert client.is_alive()
    assert not client.is_alive()
    client.close()


def test_websocket_refused(serve: Serve) -> None:
    """A server that answers the upgrade with a status is refused with that status and its words."""

    def server(way: socket.socket) -> None:
        way.recv(4096)
        way.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nno token")

    with pytest.raises(HandshakeRefused) as refused:
        outside.websocket(f"ws://127.0.0.1:{serve(server)}/")
    assert (refused.value.status, refused.value.body) == (401, "no token")


def test_websocket_checks_the_answer_to_its_key(serve: Serve) -> None:
    """A 101 whose Sec-WebSocket-Accept is not for our key is no WebSocket."""

    def server(way: socket.socket) -> None:
        way.recv(4096)
        way.sendall(b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: bm8=\r\n\r\n")

    with pytest.raises(HandshakeRefused):
        outside.websocket(f"ws://127.0.0.1:{serve(server)}/")
