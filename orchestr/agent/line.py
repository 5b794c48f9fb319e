"""The agent's line to the controller: frames out in few writes, frames in, heartbeats, and the wait for an answer.

On a host, threads listen, send heartbeats and notice a controller that is gone; none of them wakes up without a reason.
A test transport calls `hear` itself and starts none of them.
"""

from __future__ import annotations

import time
from _queue import Empty, SimpleQueue

from orchestr.agent import wire
from orchestr.agent.light_threading import Event, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

FLUSH_S = 0.05  # results wait at most this long for company in one write

#: Kinds of answers of the controller: a piece of a blob, why an offer is not taken, a module, a new connection.
CHUNK, TAKEN, MODULES, REACHED = "chunk", "taken", "modules", "reached"


class Line:
    """Both directions of one channel. ``read(size)`` blocks and gives ``b""`` at the end; ``write(data)`` sends all.

    ``on_frame(kind, payload)`` takes every frame that arrives; ``on_lost()`` is called when the controller is gone.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        write: Callable[[bytes], None],
        on_frame: Callable[[bytes, bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._read, self._write = read, write
        self._on_frame, self._on_lost = on_frame, on_lost
        self._decoder = wire.Decoder()
        self._answers: "Dict[str, SimpleQueue[Any]]" = {
            kind: SimpleQueue() for kind in (CHUNK, TAKEN, MODULES, REACHED)
        }
        self._number = 0  # of the last transfer or question
        self._out: List[bytes] = []
        self._out_lock = Lock()
        self._ok: List[float] = []  # seconds of the tasks that were ok and are not reported yet
        self._first_ok = 0
        self._unannounced = ""  # the task at work while the controller does not know of it
        self._has_unsent = Event()  # something waits for company
        self._is_ending = Event()
        self.left_s: Callable[[], Optional[float]] = lambda: None  # seconds that the task at work has
        self._sent_at = self._heard_at = time.monotonic()

    # -- sending --------------------------------------------------------------------------------------------------
    def send(self, message: Dict[str, Any]) -> None:
        """Queue a message; it leaves at once when the last write was long enough ago, else with the next."""
        data = wire.encode(message)
        with self._out_lock:
            self._report_tasks(is_over=message["type"] == "result")
            self._out.append(data)
        if time.monotonic() - self._sent_at > FLUSH_S:
            self.flush()
        elif not self._has_unsent.is_set():
            self._has_unsent.set()

    def send_chunk(self, offer: int, chunk: bytes) -> None:
        """Send a piece of an offer; returns when the line has taken it."""
        with self._out_lock:
            self._out.append(wire.chunk_frame(offer, chunk))
        self.flush()

    def flush(self) -> None:
        with self._out_lock:
            self._report_tasks()
            data = b"".join(self._out)
            self._out.clear()
            if data:
                try:
                    self._write(data)
                except OSError:
                    self._lose()
                self._sent_at = time.monotonic()

    def begin_task(self, task_id: str) -> None:
        """Note the task at work: the controller hears of it when something is sent before it ends."""
        with self._out_lock:
            self._unannounced = task_id
        if not self._has_unsent.is_set():
            self._has_unsent.set()

    def end_task(self) -> None:
        """Note that no task is at work."""
        self._unannounced = ""

    def end_ok(self, number: int, elapsed_s: float) -> None:
        """Note that a task was ok; consecutive ones are reported together."""
        with self._out_lock:
            self._unannounced = ""
            if not self._ok:
                self._first_ok = number
            self._ok.append(elapsed_s)

    def _report_tasks(self, is_over: bool = False) -> None:
        """Queue the reports that precede the next message: the tasks that were ok, and the one at work."""
        if self._ok:
            self._out.append(wire.encode({"type": "fine", "first": self._first_ok, "elapsed_s": self._ok}))
            self._ok = []
        if self._unannounced and not is_over:
            self._out.append(wire.encode({"type": "started", "task": self._unannounced}))
        self._unannounced = ""

    # -- asking the controller ------------------------------------------------------------------------------------
    def next_transfer(self) -> int:
        """Return the number of the next transfer or question."""
        self._number += 1
        return self._number

    def answer(self, kind: str, key: Any, value: Any) -> None:
        """Hand an answer of the controller to the thread that waits for it."""
        self._answers[kind].put((key, value))

    def answer_last(self, kind: str, value: Any) -> None:
        """Hand over an answer that carries no number: it belongs to the last question."""
        self.answer(kind, self._number, value)

    def wait_for(self, kind: str, key: Any, timeout_s: float) -> Any:
        """Return the next answer of this kind to ``key``, None when none came in time; other answers are dropped."""
        while True:
            try:
                number, value = self._answers[kind].get(timeout=timeout_s)
            except Empty:
                return None
            if number == key:
                return value

    # -- receiving ------------------------------------------------------------------------------------------------
    def hear(self, data: bytes) -> None:
        """Take in bytes that arrived. Raises ProtocolError, and the error of a message or module that is broken."""
        self._heard_at = time.monotonic()
        self._decoder.feed(data)
        frame = self._decoder.next_frame()
        while frame is not None:
            self._on_frame(*frame)
            frame = self._decoder.next_frame()

    def fail(self, error: Exception) -> None:
        """Report that bytes that arrived could not be taken in."""
        self.send({"type": "fatal", "message": "the agent could not read a request: %s" % error})
        self.flush()

    # -- threads --------------------------------------------------------------------------------------------------
    def listen(self) -> None:
        """Take in all messages until the end of the stream."""
        try:
            data = self._read(1 << 18)
            while data:
                self.hear(data)
                data = self._read(1 << 18)
        except Exception as error:
            self.fail(error)
        self._lose()

    def beat(self) -> None:
        """Send messages that waited long enough for company, and a heartbeat after a long silence."""
        while not self._is_ending.is_set():
            if self._has_unsent.wait(max(0.0, self._sent_at + wire.BEAT_S - time.monotonic())):
                self._has_unsent.clear()
                self._is_ending.wait(FLUSH_S)
            elif time.monotonic() - self._sent_at >= wire.BEAT_S:
                left_s = self.left_s()
                self.send({"type": "beat"} if left_s is None else {"type": "beat", "left_s": round(left_s, 1)})
            self.flush()

    def watch(self) -> None:
        """Notice a controller that is gone. Never writes: a line that takes nothing any more would hold it up."""
        left_s = wire.LOST_S
        while left_s > 0 and not self._is_ending.wait(left_s):
            left_s = self._heard_at + wire.LOST_S - time.monotonic()
        self._lose()

    def end(self) -> None:
        """Let the threads end."""
        self._is_ending.set()
        self._has_unsent.set()

    def _lose(self) -> None:
        if not self._is_ending.is_set():
            self._on_lost()
