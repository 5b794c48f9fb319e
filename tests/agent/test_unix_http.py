"""HTTP over a unix socket: an answer is whole however it ends and wherever it is cut, and half a one is none."""

from __future__ import annotations

import http.client
import http.server
import itertools
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestr.agent.unix_http import exchange

QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
BODY = b'{"Containers": "\r\n0\r\n\r\n"}' * 7


class Server:
    """Answers each connection with what it is told to, in pieces, and then closes it."""

    def __init__(self, path: str) -> None:
        self.path, self.pieces, self.asked = path, [b""], b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                self.asked = b""
                while b"\r\n\r\n" not in self.asked:
                    self.asked += line.recv(65536)
                try:
                    for piece in self.pieces:
                        line.sendall(piece)
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def ask(self, answer: bytes, cuts: tuple[int, ...] = (), method: str = "GET") -> tuple[int, bytes]:
        edges = [0, *sorted(cut for cut in cuts if cut <= len(answer)), len(answer)]
        self.pieces = [answer[first:last] for first, last in itertools.pairwise(edges)]
        return exchange(self.path, "/x?y=%20", method, {}, b"", 10.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(str(tmp_path / "s"))
    yield made
    made.close()


def chunked(body: bytes, sizes: list[int], note: bytes = b"") -> bytes:
    parts, rest = b"", body
    for size in [*sizes, len(body)]:
        if rest:
            part, rest = rest[:size], rest[size:]
            parts += b"%X%s\r\n%s\r\n" % (len(part), note, part)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + parts + b"0\r\nX-After: 1\r\n\r\n"


ENDS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY,
    "chunks": chunked(BODY, [1, 10, 3], b";note=1"),
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
}


@pytest.mark.parametrize("end", ENDS)
@QUICK
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_an_answer_is_whole_in_whatever_pieces_it_comes(server: Server, end: str, cuts: list[int]) -> None:
    """By its length, by its chunks, or after a word in between."""
    assert server.ask(ENDS[end], tuple(cuts)) == (200, BODY)


def test_an_answer_without_an_end_ends_with_the_connection(server: Server) -> None:
    """The oldest way, and an empty one."""
    assert server.ask(b"HTTP/1.0 404 Not Found\r\n\r\n" + BODY, (30, 60)) == (404, BODY)
    assert server.ask(b"HTTP/1.0 200 OK\r\n\r\n") == (200, b"")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_may_have_no_body(server: Server, status: int) -> None:
    """By its status, or because only its head was asked for."""
    assert server.ask(b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status) == (status, b"")
    assert server.ask(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD") == (200, b"")


@pytest.mark.parametrize("end", ENDS)
def test_an_answer_that_is_cut_off_is_none(server: Server, end: str) -> None:
    """Wherever the connection ends, half an answer is an error."""
    for length in range(len(ENDS[end])):
        with pytest.raises(OSError, match="HTTP"):
            server.ask(ENDS[end][:length])


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    ],
)
def test_what_is_no_http_is_an_error(server: Server, answer: bytes) -> None:
    """A server of something else, or one that is damaged."""
    with pytest.raises(OSError, match="HTTP"):
        server.ask(answer)


@pytest.mark.parametrize("target", ["/a b", "/a\r\nHost: x", "/\x00", "/é"])
def test_a_request_is_one_request(server: Server, target: str) -> None:
    """What would end the line, or the request, is refused before anything is sent."""
    server.asked = b""
    with pytest.raises(ValueError, match="character"):
        exchange(server.path, target, "GET", {}, b"", 10.0)
    with pytest.raises(ValueError, match="character"):
        exchange(server.path, "/", "GET", {"X": "1\r\nY: 2"}, b"", 10.0)
    assert server.asked == b""


def test_nobody_there_is_told_as_such(tmp_path: Path) -> None:
    """No socket, and one that nobody listens on."""
    with pytest.raises(FileNotFoundError):
        exchange(str(tmp_path / "none"), "/", "GET", {}, b"", 10.0)
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(tmp_path / "dead"))
        with pytest.raises(ConnectionRefusedError):
            exchange(str(tmp_path / "dead"), "/", "GET", {}, b"", 10.0)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """After the time it was given."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        with pytest.raises(TimeoutError):
            exchange(str(tmp_path / "silent"), "/", "GET", {}, b"", 0.05)


class _Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = f"{self.path} {self.headers['Content-Type']} {self.headers['Host']} ".encode() + body
        self.send_response(http.client.CREATED)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return ""


def test_a_real_server_understands_a_request(tmp_path: Path) -> None:
    """Target, headers and body arrive as given; a body of none has its length told too."""
    path = str(tmp_path / "real")
    with socketserver.ThreadingUnixStreamServer(path, _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kind = {"Content-Type": "application/json"}
        for body in (b"", b"{}", BODY * 100_000):
            found = exchange(path, "/a?b=%7B", "POST", kind, body, 30.0)
            assert found == (201, b"/a?b=%7B application/json localhost " + body)
        server.shutdown()
