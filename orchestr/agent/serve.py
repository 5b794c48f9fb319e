"""The agent's loop: read requests, converge tasks, stream results; end with the controller, leaving nothing behind.

On a host `Agent.serve` does it all. A test transport drives the same agent by `begin`, `line.hear` and `answer`.
"""

from __future__ import annotations

import os
import time
from _queue import Empty, SimpleQueue

from orchestr.agent import converge, door, facts, process, wire
from orchestr.agent.child import keep_descriptors
from orchestr.agent.light_threading import Lock, Thread, get_ident
from orchestr.agent.line import CHUNK, MODULES, REACHED, TAKEN, Line
from orchestr.agent.lock import HostLock, directory_of_agents
from orchestr.agent.resource import Task
from orchestr.agent.secret import Secret, redactors
from orchestr.agent.system import System
from orchestr.agent.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, TypeAlias  # novm

ANSWER_S = 2 * wire.LOST_S  # a controller that does not answer within this time is not going to
STDERR_TAIL = 2000  # characters kept of a failed command's stderr
TEXT_LIMIT = 1024 * 1024  # characters of any other text in a result
SystemFactory: TypeAlias = "Callable[..., System]"


class Agent:
    """One run on one host; ``read`` and ``write`` are those of `Line`."""

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
        self._start = start
        self._gather_facts = gather_facts
        self._finder = finder
        if finder is not None:
            finder.ask = self._fetch_module
        self._on_lost = on_lost or _die
        self.line = Line(read, write, self._take_frame, self._on_lost)
        self._lock: Optional[HostLock] = None
        self._requests: "SimpleQueue[Dict[str, Any]]" = SimpleQueue()
        self._new_secrets: List[str] = []  # not known to the redactor yet
        self._redactor: Any = None  # a Redactor, once there are secrets
        self._held = ""  # the end of the task's output, when it may be the beginning of a secret
        self._has_looked = False  # for what an agent that was killed left
        self._task_id = ""  # of the task at work
        self._own_thread = get_ident()
        self._watch = Watch(self._give_up)
        self.line.left_s = self._watch.left_s
        self._tasks: Tuple[Task, ...] = ()  # of the request at work that have no result yet
        self.system = make_system(
            run_id=str(start.get("run", "")),
            on_output=self._send_output,
            fetch=self._fetch,
            confirm=self._confirm,
            line=self.line,
        )
        self.system.allow, self.system.settle = self._watch.allow, self._watch.settle

    # -- requests -------------------------------------------------------------------------------------------------
    def serve(self) -> None:
        """Say hello, then answer requests until one says stop or the controller is gone."""
        if not self.begin():
            return
        for work in (self.line.listen, self.line.beat, self.line.watch, self._watch.watch):
            Thread(target=work, daemon=True).start()
        while self.answer(self._requests.get()):
            pass

    def begin(self) -> bool:
        """Take the host's lock and say hello; return False when another run holds the host."""
        if self._start.get("lock"):
            self._lock = HostLock(self._start.get("holder", {}))
            if not self._lock.acquire(float(self._start.get("lock_wait_s", 3.0))):
                self._send_now({"type": "locked", "holder": self._lock.holder()})
                return False
        bytecode = str(self._start.get("bytecode", ""))
        self._send_now(
            {"type": "hello", "protocol": wire.PROTOCOL, "bytecode": bytecode, "facts": self._gather_facts()}
        )
        return True

    def next_request(self) -> Optional[Dict[str, Any]]:
        """Return a request that waits to be answered, None when there is none."""
        try:
            return self._requests.get_nowait()
        except Empty:
            return None

    def answer(self, request: Dict[str, Any]) -> bool:
        """Carry out a request; return False after the last one."""
        if request["type"] != "stop":
            self._run_tasks(request)
            return True
        self.line.end()
        with door.beginning:  # the end of the connection ends this process too, and waits for this
            door.discard_notes()
        if self._lock is not None:
            self._lock.release()
        return False

    def _send_now(self, message: Dict[str, Any]) -> None:
        self.line.send(message)
        self.line.flush()

    # -- tasks ----------------------------------------------------------------------------------------------------
    def _run_tasks(self, request: Dict[str, Any]) -> None:
        check = bool(request.get("check"))
        if not (check or self._has_looked):
            self._has_looked = True
            if door.notes_directory and os.path.isdir(door.notes_directory):
                self.system.remove_leftovers()
        self.system.predicted.clear()
        self.system.labels = labels_by_kind(request["tasks"])
        self.system.forget(("*",))
        failed_id = ""
        has_pending = False
        for number, task in enumerate(request["tasks"]):
            began = time.monotonic()
            self._task_id, self._tasks = task.id, request["tasks"][number:]
            self.line.begin_task(task.id)
            self._watch.begin(task)
            result = self._result(task, check, has_pending, failed_id)
            if self._watch.end():
                return
            if self._held:
                self._send_output("", is_last=True)
            has_pending = has_pending or (check and result["verdict"] in (converge.CHANGED, converge.UNKNOWN))
            if result["verdict"] == converge.FAILED and not check:
                failed_id = failed_id or task.id
            elapsed_s = round(time.monotonic() - began, 4)
            if len(result) == 1 and result["verdict"] == converge.OK:
                self.line.end_ok(number, elapsed_s)
            else:
                self._send_result(task, self._redacted(dict(result, elapsed_s=elapsed_s)))
        self._task_id = ""
        self.line.end_task()
        self._send_now({"type": "done", "request": request.get("request", "")})

    def _give_up(self, why: str) -> None:
        """Report that the task at work is over its time, and end: the thread that does it cannot be interrupted."""
        process.start_no_more()
        door.begin_no_more()
        process.kill_all()
        error = {
            "message": "%s, and this host's agent has ended" % why,
            "stderr": "the agent was at:\n" + self._watch.stack(),
            "next_step": "look on the host for what hangs: a disk or mount (dmesg, mount), a process (ps); a task that "
            "may take longer gets a longer timeout_s, a resource that is silent for longer a longer patience_s",
        }
        task, rest = self._tasks[0], self._tasks[1:]
        result: Dict[str, Any] = {"verdict": converge.FAILED, "error": error}
        self._send_result(task, dict(self._redacted(result), begun=self.system.has_begun))
        for other in rest:
            self._send_result(other, {"verdict": converge.SKIPPED, "reason": "%s failed before it" % task.id})
        self._send_now({"type": "done", "request": ""})
        self._on_lost()

    def _send_result(self, task: Task, result: Dict[str, Any]) -> None:
        try:
            self.line.send(dict(result, type="result", task=task.id))
        except wire.ProtocolError as error:  # only an outcome has no limit of its own
            rest = {key: value for key, value in result.items() if key != "outcome"}
            self.line.send(dict(rest, type="result", task=task.id, reason="its outcome was not sent: %s" % error))

    def _result(self, task: Task, check: bool, has_pending: bool, failed_id: str) -> Dict[str, Any]:
        if not task.when:
            return {"verdict": converge.SKIPPED, "reason": "its condition does not hold"}
        if failed_id:
            return {"verdict": converge.SKIPPED, "reason": "%s failed before it" % failed_id}
        return converge.converge(task, self.system, check, has_pending)

    # -- secrets --------------------------------------------------------------------------------------------------
    def _redacted(self, result: Dict[str, Any]) -> Dict[str, Any]:
        """Redact every secret of this run in all texts but the outcome, which only the controller's plan uses.

        Long texts are cut after that, never before: half a secret is not recognised.
        """
        texts = {key: value if key == "outcome" else self._redact(value) for key, value in result.items()}
        if "error" in texts:
            texts["error"] = dict(texts["error"], stderr=_tail(texts["error"].get("stderr", ""), STDERR_TAIL))
        return {key: _head(value) if isinstance(value, str) else value for key, value in texts.items()}

    def _redact(self, value: Any) -> Any:
        if isinstance(value, str):
            redactor = self._known_secrets()
            return redactor.redact(value) if redactor is not None else value
        if isinstance(value, dict):
            return {key: self._redact(item) for key, item in value.items()}
        return value

    def _remember(self, secret: Secret) -> None:
        self._new_secrets += secret.parts or (secret.reveal(),)

    def _known_secrets(self) -> Any:
        """Return the redactor of all secrets that have come, None while there are none."""
        if self._new_secrets and self._redactor is None:
            self._redactor = redactors[0]()  # its module came before the first secret
        while self._new_secrets and self._redactor is not None:
            self._redactor.add(self._new_secrets.pop())
        return self._redactor

    # -- questions of tasks to the controller -------------------------------------------------------------------------
    def _send_output(self, text: str, is_last: bool = False) -> None:
        self._watch.allow(0.0)
        redactor = self._known_secrets()
        if redactor is not None:
            text, self._held = redactor.divide(self._held + text)
            if is_last:
                text, self._held = text + redactor.redact(self._held), ""
        if text:
            self.line.send({"type": "output", "task": self._task_id, "text": text})

    def _fetch(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob's chunks; a window of them is on its way, so that the line is never idle. Raises OSError."""
        transfer = self.line.next_transfer()
        self._send_now({"type": "need", "digest": digest, "transfer": transfer})
        left = size_bytes
        while left > 0:
            self._watch.allow(ANSWER_S)
            chunk = self.line.wait_for(CHUNK, transfer, ANSWER_S)
            if chunk is None:
                raise OSError("the controller stopped sending")
            if not chunk:
                raise OSError("the controller could not send the content %s" % digest[:12])
            left -= len(chunk)
            self._send_now({"type": "got", "size_bytes": len(chunk)})
            yield chunk

    def _fetch_module(self, name: str) -> None:
        """Have a module sent that a function imports; return when it has come or does not exist."""
        if get_ident() != self._own_thread:
            return  # the thread that would hear the answer: all modules that it imports have come along
        self._watch.allow(ANSWER_S)
        self._send_now({"type": "lacking", "module": name})
        if self.line.wait_for(MODULES, name, ANSWER_S) is None:
            raise ImportError("the controller did not send %s" % name)

    def _confirm(self, window_s: float) -> bool:
        """Return True when the controller has reached this host on a new connection within ``window_s``."""
        self._watch.allow(window_s)
        question = self.line.next_transfer()
        self._send_now({"type": "reachable", "window_s": window_s})
        return bool(self.line.wait_for(REACHED, question, window_s))

    # -- frames ---------------------------------------------------------------------------------------------------
    def _take_frame(self, kind: bytes, payload: bytes) -> None:
        """Take in one frame; requests wait to be answered. Raises the error of a broken message or module."""
        if kind == b"B":
            self.line.answer(CHUNK, *wire.split_chunk(payload))
        elif kind == b"J":
            self._take_message(wire.decode(payload, self._remember))
        elif self._finder is not None:
            self._finder.add(payload)

    def _take_message(self, message: Dict[str, Any]) -> None:
        if message["type"] in ("tasks", "stop"):
            self._requests.put(message)
        elif message["type"] == "modules" and self._finder is not None:
            for name in message["imports"]:
                __import__(name)
            if message["asked"]:
                self.line.answer(MODULES, message["asked"], True)
        elif message["type"] == "confirm":
            self.system.unreached = str(message.get("why", ""))
            self.line.answer_last(REACHED, bool(message["reached"]))
        elif message["type"] == "taken":
            self.line.answer(TAKEN, int(message["transfer"]), str(message["why"]))


def labels_by_kind(tasks: Iterable[Task]) -> Dict[str, Tuple[str, ...]]:
    """Return kind → labels of the resources of these tasks."""
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
    door.begin_no_more()
    process.kill_all()
    door.discard_unfinished()
    door.discard_notes()
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
    door.notes_directory = directory_of_agents() + "/unfinished"
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
        door.discard_notes()
    os._exit(0)
