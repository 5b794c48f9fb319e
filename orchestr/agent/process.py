"""Child processes and HTTP, as the agent needs them: own process group, no stdin, bounded time and output."""

from __future__ import annotations

import os
import select
import time
from _signal import SIGKILL, SIGTERM  # type: ignore[import-not-found]  # the package signal imports enum

from orchestr.agent.child import Child
from orchestr.agent.light_threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple, TypeAlias, Union  # novm

Input: TypeAlias = "Union[bytes, Iterator[bytes]]"  # an iterator is read only as fast as the child takes it

LINE_LIMIT = 64 * 1024  # bytes of one line of live output that are held back for its end

_groups: Set[int] = set()
_groups_lock = Lock()
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
    try:
        child = begin(argv, environment, takes_input=bool(input))
    except FileNotFoundError:
        return 127, b"", ("%s: not found" % argv[0]).encode(), False
    except PermissionError:
        return 126, b"", ("%s: cannot be executed" % argv[0]).encode(), False
    try:
        out, err, timed_out = _communicate(child, input, timeout_s, output_limit, on_output)
    except BaseException:
        signal_group(child.pid, SIGKILL)
        child.wait()
        raise
    finally:
        end(child)
        if hasattr(input, "close"):
            input.close()
    assert child.exit is not None
    return child.exit, out, err, timed_out


def begin(argv: List[str], environment: Mapping[str, str], takes_input: bool) -> Child:
    """Start a child; the lock is held until it is known, so that kill_all cannot miss it."""
    with _groups_lock:
        if _is_ending:
            raise OSError("the agent is ending")
        child = Child(argv, environment, takes_input=takes_input)
        _groups.add(child.pid)
        return child


def end(child: Child) -> None:
    child.close()
    with _groups_lock:
        _groups.discard(child.pid)


def start_no_more() -> None:
    """Refuse all further commands: a task whose command was killed may go on to the next one."""
    global _is_ending
    with _groups_lock:
        _is_ending = True


def kill_all() -> None:
    """Kill the process groups of all running children: first a polite signal, then a short wait, then for good."""
    with _groups_lock:
        groups = list(_groups)
    for number in (SIGTERM, SIGKILL):
        for group in groups:
            signal_group(group, number)
        if groups and number == SIGTERM:
            time.sleep(0.5)


def signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def _communicate(
    child: Child,
    input: Input,
    timeout_s: float,
    output_limit: int,
    on_output: Optional[Callable[[str], None]],
) -> Tuple[bytes, bytes, bool]:
    deadline = time.monotonic() + timeout_s
    outputs = (child.stdout, child.stderr)
    kept = {descriptor: bytearray() for descriptor in outputs}
    lines = {descriptor: _Lines(on_output) for descriptor in outputs}
    timed_out = False
    source: Iterator[bytes] = iter((input,)) if isinstance(input, bytes) else input
    view = memoryview(b"")
    ready = select.poll()
    for descriptor in outputs:
        ready.register(descriptor, select.POLLIN)
    if child.stdin >= 0:
        os.set_blocking(child.stdin, False)
        ready.register(child.stdin, select.POLLOUT)
    left = set(outputs)
    while left or child.stdin >= 0:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            timed_out = True
            break
        # A daemon that inherited the pipes keeps them open after the command itself has ended.
        events = ready.poll(min(left_s, 0.2) * 1000)
        if not events and child.poll() is not None:
            events = ready.poll(0)  # it may have written its output, and ended, between the two looks
            if not events:
                break
        for descriptor, _ in events:
            if descriptor == child.stdin:
                view = _feed(child, ready, view, source)
                continue
            chunk = os.read(descriptor, 65536)
            if not chunk:
                ready.unregister(descriptor)
                left.discard(descriptor)
                continue
            buffer = kept[descriptor]
            buffer += chunk[: max(0, output_limit - len(buffer))]
            lines[descriptor].take(chunk)
    for held in lines.values():
        held.flush()
    if timed_out:
        signal_group(child.pid, SIGKILL)
    if not child.wait(10 if timed_out else max(0.1, deadline - time.monotonic())):
        timed_out = True
        signal_group(child.pid, SIGKILL)
        child.wait()
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


def _feed(child: Child, ready: "select.poll", view: memoryview, source: Iterator[bytes]) -> memoryview:
    """Write some of ``view``, or of the next chunk of ``source``, to the child; return the bytes left to write."""
    if not view:
        view = memoryview(next((chunk for chunk in source if chunk), b""))  # an empty chunk is not the end
    try:
        if view:
            return view[os.write(child.stdin, view[:65536]) :]
    except BlockingIOError:
        return view
    except BrokenPipeError:
        pass  # the child does not want the rest
    ready.unregister(child.stdin)
    child.close_stdin()
    return memoryview(b"")


def http(
    url: str, socket_path: str, method: str, headers: Dict[str, str], body: bytes, timeout_s: float
) -> Tuple[int, bytes]:
    """Do one HTTP exchange over TCP or a unix socket. Raises OSError when there is no (whole) answer."""
    if socket_path:
        from orchestr.agent.unix_http import exchange

        return exchange(socket_path, url, method, headers, body, timeout_s)
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError("no whole HTTP answer from %s: %s" % (url, error)) from error
    finally:
        connection.close()
