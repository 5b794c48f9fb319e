"""The agent's loop: read requests, converge tasks, stream results; end with the controller, leaving nothing behind.

On a host `Agent.serve` does it all, with threads that listen, give signs of life and miss the controller's. None of
them wakes up without a reason. A test transport drives the same agent by `begin`, `hear` and `answer`, without them.
"""

from __future__ import annotations

import os
import time
from _queue import Empty, SimpleQueue

from orchestr.agent import converge, facts, filesystem, process, wire
from orchestr.agent.child import keep_descriptors
from orchestr.agent.light_threading import Event, Lock, Thread, get_ident
from orchestr.agent.lock import HostLock
from orchestr.agent.resource import Task
from orchestr.agent.secret import Secret, mask
from orchestr.agent.system import System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple, TypeAlias  # novm

FLUSH_S = 0.05  # results wait at most this long for company in one write
STDERR_TAIL = 2000  # characters kept of what a failed command said
TEXT_LIMIT = 1024 * 1024  # characters of any other text in a result
SHORTEST_LINE = 6  # characters from which a line of a secret is hidden by itself
SystemFactory: TypeAlias = "Callable[..., System]"


class Agent:
    """One run on one host. ``read(size)`` blocks and gives ``b""`` at the end; ``write(data)`` sends all of it."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        write: Callable[[bytes], None],
        start: Dict[str, Any],
        make_system: SystemFactory = System,
        gather_facts: Callable[[], Dict[str, Any]] = facts.gather,
        on_lost: Optional[Callable[[], None]] = None,
        finder: Any = None,
    ) -> None:
        self._read, self._write = read, write
        self._start = start
        self._gather_facts = gather_facts
        self._on_lost = on_lost or _die
        self._finder = finder
        if finder is not None:
            finder.ask = self._ask_for_module
        self._lock: Optional[HostLock] = None
        self._decoder = wire.Decoder()
        self._requests: "SimpleQueue[Dict[str, Any]]" = SimpleQueue()
        self._blobs: "SimpleQueue[bytes]" = SimpleQueue()
        self._confirmations: "SimpleQueue[bool]" = SimpleQueue()
        self._answers: "SimpleQueue[Tuple[int, str]]" = SimpleQueue()  # offer → why it was not taken
        self._modules_came: "SimpleQueue[str]" = SimpleQueue()
        self._secrets: Set[str] = set()
        self._out: List[bytes] = []
        self._fine: List[float] = []  # seconds of the tasks that were ok and are not told of yet
        self._first_fine = 0
        self._out_lock = Lock()
        self._is_unsent = Event()  # something waits for company
        self._ending = Event()
        self._sent_at = self._heard_at = time.monotonic()
        self._task_id = self._untold = ""  # the task at work; the same while the controller does not know
        self._transfer = 0
        self._own_thread = get_ident()
        self.system = make_system(
            run_id=str(start.get("run", "")),
            on_output=self._output,
            fetch=self._fetch,
            confirm=self._confirm,
            line=self,
        )

    # -- main thread ----------------------------------------------------------------------------------------------
    def serve(self) -> None:
        """Say hello, then do what is asked until told to stop or the controller is gone."""
        if not self.begin():
            return
        for work in (self._listen, self._beat, self._watch):
            Thread(target=work, daemon=True).start()
        while self.answer(self._requests.get()):
            pass

    def begin(self) -> bool:
        """Take the host's lock and say hello; tell whether that went well, or another run holds the host."""
        if self._start.get("lock"):
            self._lock = HostLock(self._start.get("holder", {}))
            if not self._lock.acquire(float(self._start.get("lock_wait_s", 3.0))):
                self.send({"type": "locked", "holder": self._lock.holder()})
                self.flush()
                return False
        bytecode = str(self._start.get("bytecode", ""))
        self.send({"type": "hello", "protocol": wire.PROTOCOL, "bytecode": bytecode, "facts": self._gather_facts()})
        self.flush()
        return True

    def next_request(self) -> Optional[Dict[str, Any]]:
        """Return what was asked and waits to be answered, None when nothing does."""
        try:
            return self._requests.get_nowait()
        except Empty:
            return None

    def answer(self, request: Dict[str, Any]) -> bool:
        """Do what a request asks; tell whether another may follow."""
        if request["type"] != "stop":
            self._run_tasks(request)
            return True
        self._ending.set()
        self._is_unsent.set()
        if self._lock is not None:
            self._lock.release()
        return False

    def _run_tasks(self, request: Dict[str, Any]) -> None:
        check = bool(request.get("check"))
        self.system.predicted.clear()
        self.system.labels = labels_by_kind(request["tasks"])
        self.system.forget(("*",))
        failed_id = ""
        has_pending = False
        for number, task in enumerate(request["tasks"]):
            began = time.monotonic()
            self._begin_task(task.id)
            result = self._result(task, check, has_pending, failed_id)
            has_pending = has_pending or (check and result["verdict"] in (converge.CHANGED, converge.UNKNOWN))
            if result["verdict"] == converge.FAILED and not check:
                failed_id = failed_id or task.id
            elapsed_s = round(time.monotonic() - began, 4)
            if len(result) == 1 and result["verdict"] == converge.OK:
                self._end_fine(number, elapsed_s)
            else:
                self._send_result(task, self._redacted(dict(result, elapsed_s=elapsed_s)))
        self._task_id = self._untold = ""
        self.send({"type": "done", "request": request.get("request", "")})
        self.flush()

    def _begin_task(self, task_id: str) -> None:
        """Note what is at work: the controller is told when something is sent while it still is."""
        with self._out_lock:
            self._task_id = self._untold = task_id
        if not self._is_unsent.is_set():
            self._is_unsent.set()

    def _end_fine(self, number: int, elapsed_s: float) -> None:
        """Note that a task was ok; those of a row are told of together."""
        with self._out_lock:
            self._untold = ""
            if not self._fine:
                self._first_fine = number
            self._fine.append(elapsed_s)

    def _send_result(self, task: Task, result: Dict[str, Any]) -> None:
        try:
            self.send(dict(result, type="result", task=task.id))
        except wire.ProtocolError as error:  # only an outcome has no limit of its own
            kept = {key: value for key, value in result.items() if key != "outcome"}
            self.send(dict(kept, type="result", task=task.id, reason="its outcome was not sent: %s" % error))

    def _result(self, task: Task, check: bool, has_pending: bool, failed_id: str) -> Dict[str, Any]:
        if not task.when:
            return {"verdict": converge.SKIPPED, "reason": "its condition does not hold"}
        if failed_id:
            return {"verdict": converge.SKIPPED, "reason": "%s failed before it" % failed_id}
        return converge.converge(task, self.system, check, has_pending)

    def _redacted(self, result: Dict[str, Any]) -> Dict[str, Any]:
        """Hide every secret of this run in all texts but the outcome, which only the controller's plan uses.

        Long texts are cut after that, never before: half a secret is not recognised.
        """
        shown = {key: value if key == "outcome" else self._hide(value) for key, value in result.items()}
        if "error" in shown:
            shown["error"] = dict(shown["error"], stderr=_tail(shown["error"].get("stderr", ""), STDERR_TAIL))
        return {key: _head(value) if isinstance(value, str) else value for key, value in shown.items()}

    def _hide(self, value: Any) -> Any:
        if isinstance(value, str):
            return mask(value, self._secrets)
        if isinstance(value, dict):
            return {key: self._hide(item) for key, item in value.items()}
        return value

    # -- what tasks may ask of the controller -------------------------------------------------------------------------
    def _output(self, text: str) -> None:
        self.send({"type": "output", "task": self._task_id, "text": mask(text, self._secrets)})

    def _fetch(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob's chunks; a window of them is on its way, so that the line is never idle."""
        self.send({"type": "need", "digest": digest, "transfer": self.next_transfer()})
        self.flush()
        left = size_bytes
        while left > 0:
            chunk = self._next_chunk(self._transfer)
            if not chunk:
                raise OSError("the controller could not send the content %s" % digest[:12])
            left -= len(chunk)
            self.send({"type": "got", "size_bytes": len(chunk)})
            self.flush()
            yield chunk

    def _next_chunk(self, transfer: int) -> bytes:
        """Return the next piece of this transfer; pieces of one that was given up are dropped."""
        while True:
            try:
                payload = self._blobs.get(timeout=wire.LOST_S * 2)
            except Empty:
                raise OSError("the controller stopped sending") from None
            number, chunk = wire.split_chunk(payload)
            if number == transfer:
                return chunk

    def next_transfer(self) -> int:
        """Return the number of what is about to be fetched or offered."""
        self._transfer += 1
        return self._transfer

    def send_chunk(self, offer: int, chunk: bytes) -> None:
        """Send a piece of an offer, when the line takes it."""
        self._queue(wire.chunk_frame(offer, chunk))
        self.flush()

    def answer_to(self, offer: int, timeout_s: float) -> Optional[str]:
        """Return why the controller does not take an offer, "" when it has all of it, None when it said nothing."""
        while True:
            try:
                number, why = self._answers.get(timeout=timeout_s)
            except Empty:
                return None
            if number == offer:
                return why

    def _ask_for_module(self, name: str) -> None:
        """Have a module sent that a function imports, and return when it came (or there is none)."""
        if get_ident() != self._own_thread:
            return  # the thread that would hear the answer: what it imports has come along
        self.send({"type": "lacking", "module": name})
        self.flush()
        try:
            while self._modules_came.get(timeout=wire.LOST_S * 2) != name:
                pass
        except Empty:
            raise ImportError("the controller did not send %s" % name) from None

    def _confirm(self, window_s: float) -> bool:
        while not self._confirmations.empty():
            self._confirmations.get_nowait()
        self.send({"type": "reachable", "window_s": window_s})
        self.flush()
        try:
            return self._confirmations.get(timeout=window_s)
        except Empty:
            return False

    # -- sending --------------------------------------------------------------------------------------------------
    def send(self, message: Dict[str, Any]) -> None:
        """Queue a message; it leaves at once when the last write was long enough ago, else with the next."""
        data = wire.encode(message)
        with self._out_lock:
            self._tell_of_tasks(is_over=message["type"] == "result")
            self._out.append(data)
        if time.monotonic() - self._sent_at > FLUSH_S:
            self.flush()
        elif not self._is_unsent.is_set():
            self._is_unsent.set()

    def _queue(self, data: bytes) -> None:
        with self._out_lock:
            self._out.append(data)

    def _tell_of_tasks(self, is_over: bool = False) -> None:
        """Queue what is to be known before the next message: which tasks were fine, and which one is at work."""
        if self._fine:
            self._out.append(wire.encode({"type": "fine", "first": self._first_fine, "elapsed_s": self._fine}))
            self._fine = []
        if self._untold and not is_over:
            self._out.append(wire.encode({"type": "started", "task": self._untold}))
        self._untold = ""

    def flush(self) -> None:
        with self._out_lock:
            self._tell_of_tasks()
            data = b"".join(self._out)
            self._out.clear()
            if data:
                try:
                    self._write(data)
                except OSError:
                    self._lost()
                self._sent_at = time.monotonic()

    # -- other threads --------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        try:
            while True:
                data = self._read(1 << 18)
                if not data:
                    break
                self.hear(data)
        except Exception as error:
            self.fail(error)
        self._lost()

    def fail(self, error: Exception) -> None:
        """Say that what arrived could not be taken in."""
        self.send({"type": "fatal", "message": "the agent could not read a request: %s" % error})
        self.flush()

    def hear(self, data: bytes) -> None:
        """Take in what arrived; requests wait to be answered. Raises what a broken message or module raises."""
        self._heard_at = time.monotonic()
        self._decoder.feed(data)
        found = self._decoder.next_frame()
        while found is not None:
            self._take(*found)
            found = self._decoder.next_frame()

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == b"B":
            self._blobs.put(payload)
            return
        if kind == b"P":
            if self._finder is not None:
                self._finder.add(payload)
            return
        message = wire.decode(payload, self._remember)
        if message["type"] in ("tasks", "stop"):
            self._requests.put(message)
        elif message["type"] == "modules" and self._finder is not None:
            for name in message["imports"]:
                __import__(name)
            if message["asked"]:
                self._modules_came.put(message["asked"])
        elif message["type"] == "confirm":
            self.system.unreached = str(message.get("why", ""))
            self._confirmations.put(bool(message["reached"]))
        elif message["type"] == "taken":
            self._answers.put((int(message["transfer"]), str(message["why"])))

    def _remember(self, secret: Secret) -> None:
        for part in secret.parts or (secret.reveal(),):
            self._secrets.add(part)
            if "\n" in part:  # a key is also printed line by line
                self._secrets.update(line for line in part.splitlines() if len(line) >= SHORTEST_LINE)
        self._secrets.discard("")

    def _beat(self) -> None:
        """Send what waited long enough for company, and a sign of life when there was nothing else for long."""
        while not self._ending.is_set():
            if self._is_unsent.wait(max(0.0, self._sent_at + wire.BEAT_S - time.monotonic())):
                self._is_unsent.clear()
                self._ending.wait(FLUSH_S)
            elif time.monotonic() - self._sent_at >= wire.BEAT_S:
                self.send({"type": "beat"})
            self.flush()

    def _watch(self) -> None:
        """Notice a controller that is gone. Never writes: a line that takes nothing any more would hold it up."""
        left_s = wire.LOST_S
        while left_s > 0 and not self._ending.wait(left_s):
            left_s = self._heard_at + wire.LOST_S - time.monotonic()
        self._lost()

    def _lost(self) -> None:
        if not self._ending.is_set():
            self._on_lost()


def labels_by_kind(tasks: Iterable[Task]) -> Dict[str, Tuple[str, ...]]:
    """Return kind → labels of the resources these tasks are about."""
    labels: Dict[str, Tuple[str, ...]] = {}
    for task in tasks:
        if task.when:
            kind = task.resource.kind
            labels[kind] = (*labels.get(kind, ()), task.resource.label)
    return labels


def _tail(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[-limit:]


def _head(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else "%s\n… %d more characters" % (text[:TEXT_LIMIT], len(text) - TEXT_LIMIT)


def _die() -> None:
    """The controller is gone: end all children and this process, leaving no half-written file."""
    process.start_no_more()
    filesystem.begin_no_more()
    process.kill_all()
    filesystem.discard_unfinished()
    os._exit(98)


def main(start: Dict[str, Any], finder: Any) -> None:
    """Take over descriptors 0 and 1 for the frames, give children and stray prints /dev/null, and serve."""
    os.umask(0o022)
    os.chdir("/")  # where all commands run
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    keep_descriptors()
    lock = Lock()

    def write(data: bytes) -> None:
        view = memoryview(data)
        with lock:
            while view:
                view = view[os.write(outgoing, view) :]

    write(b"\n" + str(start["nonce"]).encode("ascii") + b"\n")
    try:
        agent = Agent(lambda size: os.read(incoming, size), write, start, finder=finder)
        agent.serve()
    except Exception as error:
        process.start_no_more()
        write(wire.encode({"type": "fatal", "message": "%s: %s" % (type(error).__name__, error)}))
        process.kill_all()
    os._exit(0)
