"""Child processes and HTTP, as the agent needs them: own process group, no stdin, bounded time and output."""

from __future__ import annotations

import os
import signal
import threading
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple, Union

Input = Union[bytes, Iterator[bytes]]  # an iterator is read only as fast as the child takes it

LINE_LIMIT = 64 * 1024  # bytes of one line of live output that are held back for its end

_groups: Set[int] = set()
_groups_lock = threading.Lock()
_is_ending = False  # no child is started any more


def run(
    argv: List[str],
    input: Input,
    environment: Mapping[str, str],
    timeout_s: float,
    output_limit: int,
    on_output: Optional[Callable[[str], None]] = None,
) -> Tuple[int, bytes, bytes, bool]:
    """Run a command to its end; return (exit status, stdout, stderr, whether its time ran out).

    Exit status 127 when the program does not exist, 126 when it cannot be executed. On time-out the whole process
    group is killed. At most ``output_limit`` bytes of each stream are kept. When ``input`` is an iterator that raises,
    the group is killed and the exception passed on.
    """
    import subprocess

    try:
        # The lock is held until the child is known, so that kill_all cannot miss it.
        with _groups_lock:
            if _is_ending:
                raise OSError("the agent is ending")
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                start_new_session=True,
                cwd="/",
            )
            _groups.add(child.pid)
    except FileNotFoundError:
        return 127, b"", ("%s: not found" % argv[0]).encode(), False
    except PermissionError:
        return 126, b"", ("%s: cannot be executed" % argv[0]).encode(), False
    try:
        out, err, timed_out = _communicate(child, input, timeout_s, output_limit, on_output)
    except BaseException:
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()
        raise
    finally:
        with _groups_lock:
            _groups.discard(child.pid)
        if hasattr(input, "close"):
            input.close()
    return child.returncode, out, err, timed_out


def start_no_more() -> None:
    """Refuse all further commands: who sees its command killed may go on to the next one."""
    global _is_ending
    with _groups_lock:
        _is_ending = True


def kill_all() -> None:
    """Kill the process groups of all running children: first a polite signal, then a short wait, then for good."""
    import time

    with _groups_lock:
        groups = list(_groups)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            _signal_group(group, number)
        if groups and number == signal.SIGTERM:
            time.sleep(0.5)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def _communicate(
    child: "object",
    input: Input,
    timeout_s: float,
    output_limit: int,
    on_output: Optional[Callable[[str], None]],
) -> Tuple[bytes, bytes, bool]:
    import selectors
    import subprocess
    import time

    assert isinstance(child, subprocess.Popen)
    deadline = time.monotonic() + timeout_s
    kept: Dict[int, bytearray] = {}
    lines: Dict[int, _Lines] = {}
    timed_out = False
    source: Iterator[bytes] = iter((input,)) if isinstance(input, bytes) else input
    view = memoryview(b"")
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            kept[stream.fileno()] = bytearray()
            lines[stream.fileno()] = _Lines(on_output)
            selector.register(stream, selectors.EVENT_READ)
        outputs = list(kept)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            selector.register(child.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            # A daemon that inherited the pipes keeps them open after the command itself has ended.
            ready = selector.select(min(left, 0.2))
            if not ready and child.poll() is not None:
                break
            for key, _ in ready:
                if key.fileobj is child.stdin:
                    view = _feed(child, selector, view, source)
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                buffer = kept[key.fd]
                buffer += chunk[: max(0, output_limit - len(buffer))]
                lines[key.fd].take(chunk)
    for each in lines.values():
        each.flush()
    if timed_out:
        _signal_group(child.pid, signal.SIGKILL)
    try:
        child.wait(timeout=max(0.1, deadline - time.monotonic()) if not timed_out else 10)
    except subprocess.TimeoutExpired:
        timed_out = True
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass
    return bytes(kept[outputs[0]]), bytes(kept[outputs[1]]), timed_out


class _Lines:
    """Pass output on by whole lines: cut anywhere else, half a secret or half a character would get through."""

    def __init__(self, on_output: Optional[Callable[[str], None]]) -> None:
        self._on_output = on_output
        self._held = b""

    def take(self, chunk: bytes) -> None:
        if self._on_output is None:
            return
        data = self._held + chunk
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end and len(data) > LINE_LIMIT:
            end = len(data) - LINE_LIMIT // 2
        self._held = data[end:]
        if end:
            self._on_output(data[:end].decode("utf-8", "replace"))

    def flush(self) -> None:
        if self._on_output is not None and self._held:
            self._on_output(self._held.decode("utf-8", "replace"))
        self._held = b""


def _feed(child: "object", selector: "object", view: memoryview, source: Iterator[bytes]) -> memoryview:
    """Write some of ``view``, or of what comes next from ``source``, to the child; return what is left to write."""
    import selectors
    import subprocess

    assert isinstance(child, subprocess.Popen) and isinstance(selector, selectors.BaseSelector)
    assert child.stdin is not None
    if not view:
        view = memoryview(next((chunk for chunk in source if chunk), b""))  # an empty chunk is not the end
    try:
        if view:
            return view[os.write(child.stdin.fileno(), view[:65536]) :]
    except BlockingIOError:
        return view
    except BrokenPipeError:
        pass  # the child does not want the rest
    selector.unregister(child.stdin)
    child.stdin.close()
    return memoryview(b"")


def http(
    url: str, socket_path: str, method: str, headers: Dict[str, str], body: bytes, timeout_s: float
) -> Tuple[int, bytes]:
    """Do one HTTP exchange over TCP or a unix socket. Raises OSError when there is no (whole) answer."""
    import http.client
    import socket

    connection: http.client.HTTPConnection
    if socket_path:
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        path = url
    else:
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.hostname or "", parts.port, timeout=timeout_s)
        path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    try:
        if socket_path:
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(timeout_s)
            connection.sock.connect(socket_path)
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError("no whole HTTP answer from %s: %s" % (socket_path or url, error)) from error
    finally:
        connection.close()
