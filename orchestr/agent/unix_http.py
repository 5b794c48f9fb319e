"""One HTTP/1.1 exchange over a unix socket, for the Docker engine's API, without ``http.client``.

That one (with ``email`` and ``ssl``) takes longer to import than an agent needs for all else where nothing differs.
Source: RFC 9112; an answer ends by its length, by its last chunk, or with the connection, which is asked to be closed.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socket  # the classes without socket's package, which is slow to import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Tuple

HEAD_LIMIT = 64 * 1024  # bytes of a status line and its headers, or of the line that says how long a chunk is
PIECE = 256 * 1024
WITHOUT_BODY = (204, 304)


def exchange(
    path: str, target: str, method: str, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> Tuple[int, bytes]:
    """Ask the server on the socket at ``path`` for ``target``; return status and body.

    ``timeout_s`` is for each wait. Raises OSError when there is no (whole) answer, ValueError on more than one request.
    """
    sent = {"Host": "localhost", "Connection": "close", **headers}
    if body or method not in ("GET", "HEAD"):
        sent["Content-Length"] = str(len(body))
    lines = ["%s %s HTTP/1.1" % (method, target), *("%s: %s" % pair for pair in sent.items())]
    if any(char < " " or char > "~" for line in lines for char in line) or lines[0].count(" ") != 2:
        raise ValueError("the request %r holds a character that none may hold" % lines[0])
    line = socket(AF_UNIX, SOCK_STREAM)
    try:
        line.settimeout(timeout_s)
        line.connect(path)
        line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body)
        return _Answer(line).read(method)
    finally:
        line.close()


class _Answer:
    """An HTTP answer on a socket, read by lines and by lengths."""

    def __init__(self, line: Any) -> None:
        self._line, self._held = line, bytearray()

    def read(self, method: str) -> Tuple[int, bytes]:
        status, headers = self._head()
        while 100 <= status < 200:  # on the way to the answer proper
            status, headers = self._head()
        if method == "HEAD" or status in WITHOUT_BODY:
            return status, b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, self._chunks()
        if "content-length" in headers:
            return status, self._exactly(_number(headers["content-length"], 10))
        data = self._line.recv(PIECE)
        while data:
            self._held += data
            data = self._line.recv(PIECE)
        return status, bytes(self._held)

    def _head(self) -> Tuple[int, Dict[str, str]]:
        words = self._text_line().split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or len(words[1]) != 3:
            raise OSError("the answer on the socket is not HTTP/1")
        headers: Dict[str, str] = {}
        text = self._text_line()
        while text:
            name, _, value = text.partition(":")
            headers[name.strip().lower()] = value.strip()
            text = self._text_line()
        return _number(words[1], 10), headers

    def _chunks(self) -> bytes:
        chunks: List[bytes] = []
        while True:
            size = _number(self._text_line().partition(";")[0].strip(), 16)
            if not size:
                while self._text_line():
                    pass  # the trailer after the last chunk
                return b"".join(chunks)
            chunks.append(self._exactly(size))
            if self._text_line():
                raise OSError("the HTTP answer is damaged: a chunk is longer than it says")

    def _text_line(self) -> str:
        while b"\n" not in self._held:
            if len(self._held) > HEAD_LIMIT:
                raise OSError("the HTTP answer is damaged: a line does not end")
            self._more()
        return self._exactly(self._held.index(b"\n") + 1).rstrip(b"\r\n").decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def _more(self) -> None:
        data = self._line.recv(PIECE)
        if not data:
            raise OSError("no whole HTTP answer: the connection ended within it")
        self._held += data


def _number(text: str, base: int) -> int:
    digits = "0123456789abcdef"[:base]
    if not text or not set(text.lower()) <= set(digits):
        raise OSError("the HTTP answer is damaged: %r is no number" % text)
    return int(text, base)
