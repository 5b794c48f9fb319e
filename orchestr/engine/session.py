"""One host's agent, seen from the controller: start it, hand it tasks, read its results, know when it is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestr.agent import wire
from orchestr.agent.resource import Task
from orchestr.engine import bundle
from orchestr.engine.download import Download
from orchestr.engine.messages import read_message
from orchestr.engine.pace import Pace
from orchestr.engine.preamble import START_TIMEOUT_S, skip_preamble
from orchestr.engine.privilege import agent_command, answer_password_prompt
from orchestr.engine.reachability import Reachability
from orchestr.engine.request import Request, records_in
from orchestr.engine.start_errors import locked
from orchestr.engine.start_pace import TimedStart
from orchestr.engine.upload import Upload
from orchestr.errors import AgentError, HostError, UnreachableError
from orchestr.once import once

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Channel, Connection

LAST_WORDS_S = 2.0  # how long an agent that ended is listened to
REDACTION = "orchestr.agent.redaction"  # sent to hosts that get a secret
LATE_READ_S = 0.05
OFFER = "orchestr.agent.offer"  # the module of resources that send content to the controller
FIRST = ("hello", "locked", "fatal")
QUESTIONS = ("need", "got", "offer", "offered", "lacking", "reachable")
Connector = Callable[["ConnectionSettings"], "Connection"]
OnMessage = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class SessionOptions:
    """Options for every agent of a run: the run, whether to lock the host, and the holder of the lock."""

    run: str
    lock: bool = False
    lock_wait_s: float = 3.0
    holder: dict[str, Any] | None = None


class Session:
    """Use from one thread at a time; ``beat`` and ``close`` may be called from others."""

    def __init__(
        self,
        host: str,
        settings: ConnectionSettings,
        connector: Connector,
        options: SessionOptions,
        blobs: BlobStore | None = None,
    ) -> None:
        self.host = host
        self.settings = settings
        self.facts: dict[str, Any] = {}
        self.slow_start = ""  # the stage of the start that took long, and why
        self._connector = connector
        self._options = options
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._decoder = wire.Decoder()
        self._write_lock = threading.Lock()
        self._close_lock = threading.Lock()
        self._sent_modules: set[str] = set()
        self._bytecode = ""
        self._upload = Upload(blobs, self._send_frames)
        self._download = Download(blobs, self._send)
        self._reachability = Reachability(settings, connector, self._send, lambda: self.is_open)
        self.is_at_work = False  # tasks were sent, and not all of them have their results
        self._closed = False
        self._has_hello = False  # before the agent's hello nothing but the handshake may travel

    # -- start and end --------------------------------------------------------------------------------------------
    def open(self) -> dict[str, Any]:
        """Connect, start the agent, return the host's facts. Raises UnreachableError, AgentError, LockedError."""
        try:
            self._refuse_if_closed()
            self._connection = self._connector(self.settings)
            self._refuse_if_closed()
            self._start_agent()
            hello = self._next_message(START_TIMEOUT_S + self._options.lock_wait_s, is_first=True)
        except BaseException as error:
            if isinstance(error, HostError):
                error.host = error.host or self.host
            self.close()
            raise
        if hello["type"] == "locked":
            self.close()
            raise locked(self.host, hello["holder"])
        if hello["type"] == "fatal":
            self.close()
            raise AgentError(f"the agent could not begin: {hello['message']}", host=self.host)
        if hello["protocol"] != wire.PROTOCOL:
            self.close()
            raise AgentError(f"the agent speaks protocol {hello['protocol']}, not {wire.PROTOCOL}", host=self.host)
        self._has_hello = True
        self.facts, self._bytecode = hello["facts"], hello.get("bytecode", "")
        self.facts["clock_offset_s"] = round(float(self.facts["time"]) - time.time(), 3)
        return self.facts

    def _refuse_if_closed(self) -> None:
        """End the start if ``close`` came from another thread meanwhile and could not see it yet."""
        if not self._closed:
            return
        for part in (self._channel, self._connection):
            if part is not None:
                part.close()
        raise UnreachableError("the run ended while this host was being connected to", host=self.host)

    def _start_agent(self) -> None:
        assert self._connection is not None
        nonce = bundle.new_nonce()
        start = {
            "nonce": nonce,
            "run": self._options.run,
            "lock": self._options.lock,
            "lock_wait_s": self._options.lock_wait_s,
            "holder": self._options.holder or {},
        }
        program = bundle.program(start)
        command, prompt = agent_command(self.settings, bundle.loader(len(program)))
        self._channel = self._connection.start(command)
        self._refuse_if_closed()
        timed = TimedStart(self._channel, self.settings)
        seen = answer_password_prompt(timed, self.settings, prompt, self.host) if prompt else b""
        try:
            self._channel.write(program)
        except UnreachableError as error:
            # A command that ended at once takes no input; its output tells why.
            failure: UnreachableError | None = error
        else:
            failure = None
        self._decoder.feed(skip_preamble(timed, self.settings, nonce.encode(), seen, failure))
        self.slow_start = timed.slowest()

    def close(self) -> None:
        """Tell the agent to stop and drop the connection. Never raises; may be called twice and from any thread."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        self._send_if_free({"type": "stop"})
        for part in (self._channel, self._connection):
            if part is not None:
                part.close()

    @property
    def is_open(self) -> bool:
        return self._channel is not None and not self._closed

    # -- work -----------------------------------------------------------------------------------------------------
    def run_tasks(
        self, tasks: Sequence[Task], *, check: bool, on_message: OnMessage, silence_s: float = wire.LOST_S
    ) -> None:
        """Send all tasks in one request; pass on ``started`` (of long tasks), ``output`` and ``result`` messages.

        Raises UnreachableError when the connection breaks or the agent is silent for ``silence_s``, AgentError when
        the agent itself fails or a task is over its time (see `Pace`).
        """
        records = records_in(tasks)
        classes = set(map(type, records))
        try:
            request_frame = wire.encode({"type": "tasks", "tasks": list(tasks), "check": check})
            frames = self._module_frame(classes, wire.SECRET_MARK in request_frame) + request_frame
        except wire.ProtocolError as error:
            step = "a role sends large content with host.file(PATH), not as text"
            raise AgentError(f"the tasks cannot be sent: {error}", host=self.host, next_step=step) from error
        self.is_at_work = True
        try:
            self._send_frames(frames)
        except UnreachableError:
            self._raise_last_words()
            raise
        may_offer = _may_offer(frozenset(cls.__module__ for cls in classes))
        request, pace = Request(tasks, records, may_offer=may_offer), Pace(tasks)
        self._upload.allow(request.digests)
        try:
            while True:
                message = self._next_message(silence_s, pace=pace)
                if message["type"] == "done":
                    self.is_at_work = False
                    return
                if message["type"] == "fatal":
                    raise AgentError(message["message"], host=self.host)
                if message["type"] in QUESTIONS:
                    self._answer(message, request)
                else:
                    for result in request.take(message):
                        on_message(result)
        except wire.ProtocolError as error:
            raise self._broken(error) from error
        finally:
            self._download.forget()
            self._upload.forget()

    def _answer(self, message: dict[str, Any], request: Request) -> None:
        """Answer a question of a task on the host. Raises ProtocolError if it may not ask for that."""
        kind = message["type"]
        if kind == "need":
            self._upload.begin(message["digest"], message["transfer"])
        elif kind == "got":
            self._upload.acknowledge(message["size_bytes"])
        elif kind == "offer":
            if not request.may_offer:
                raise wire.ProtocolError("content offered that no task asked for")
            self._download.begin(message["transfer"], message["size_bytes"], is_tree=request.offers_tree)
        elif kind == "offered":
            self._download.end(message["transfer"], message["sha256"], message["size_bytes"])
        elif kind == "lacking":
            self._send_module(message["module"])
        elif kind == "reachable":
            self._reachability.begin(message["window_s"])

    def _broken(self, error: Exception) -> AgentError:
        return AgentError(
            f"the agent's output broke: {error}",
            host=self.host,
            next_step="see whether anything else prints to the session; if not, the host may be compromised",
        )

    def _raise_last_words(self) -> None:
        """Raise AgentError when an agent that takes nothing more has said why."""
        with contextlib.suppress(UnreachableError):
            while True:
                message = self._next_message(LAST_WORDS_S, is_bounded=True)
                if message["type"] == "fatal":
                    raise AgentError(message["message"], host=self.host)

    def _module_frame(self, classes: set[type], has_secrets: bool) -> bytes:
        """Return the frame of the modules that classes need and the host lacks, "" when it has them all."""
        needed = [*bundle.modules_for(classes), *((REDACTION,) if has_secrets else ())]
        modules = [name for name in needed if name not in self._sent_modules]
        if not modules:
            return b""
        self._sent_modules.update(modules)
        wanted = tuple(sorted({REDACTION, *(cls.__module__ for cls in classes)}.intersection(modules)))
        return bundle.modules_frame(tuple(modules), wanted, self._bytecode)

    def _send_module(self, name: str) -> None:
        """Send a module that a function on the host imports, with the modules it needs."""
        modules = bundle.modules_asked_for(name, self._sent_modules)
        self._sent_modules.update(modules)
        self._send_frames(bundle.modules_frame(tuple(modules), (), self._bytecode, name))

    # -- messages -------------------------------------------------------------------------------------------------
    def beat(self) -> None:
        """Tell the agent that the controller is alive. Never raises, and never waits for another write."""
        if self.is_open:
            self._send_if_free({"type": "beat"})

    def _send_if_free(self, message: dict[str, Any]) -> None:
        """Send a message unless something else is being sent, which is as good a sign of life; forgive failures."""
        channel = self._channel
        if channel is None or not self._has_hello or not self._write_lock.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(OSError, HostError):
                channel.write(wire.encode(message))
        finally:
            self._write_lock.release()

    def _send(self, message: dict[str, Any]) -> None:
        self._send_frames(wire.encode(message))

    def _send_frames(self, data: bytes) -> None:
        if self._channel is None:
            raise UnreachableError("not connected", host=self.host)
        with self._write_lock:
            self._channel.write(data)

    def _next_message(
        self, silence_s: float, *, is_first: bool = False, is_bounded: bool = False, pace: Pace | None = None
    ) -> dict[str, Any]:
        """Return the next message that is no heartbeat; each of these begins ``silence_s`` anew, unless ``is_bounded``.

        ``is_first``: there are no heartbeats and no content before the first message, so that the time holds for all.
        ``pace`` takes all messages, and ends the wait for the task at work.
        """
        assert self._channel is not None
        give_up = time.monotonic() + silence_s
        is_late = False  # what came while this side was busy is read once more, and no more than once
        while True:
            try:
                message = self._next_in_buffer(is_first)
                if message is not None:
                    if pace is not None:
                        pace.take(message)
                    if message["type"] != "beat":
                        return message
                left_s = give_up - time.monotonic() if is_first or is_bounded else silence_s
                if pace is not None:
                    left_s = min(left_s, pace.left_s())
                if left_s <= 0 and is_late:
                    raise TimeoutError
                if message is not None:
                    continue
                is_late = left_s <= 0
                data = self._channel.read(1 << 18, max(left_s, LATE_READ_S))
            except TimeoutError:
                if pace is not None and pace.left_s() <= 0:
                    raise pace.error(self.host) from None
                raise UnreachableError(f"no sign of life for {silence_s:.0f} s", host=self.host) from None
            except wire.ProtocolError as error:
                raise self._broken(error) from error
            if not data:
                raise UnreachableError(
                    "the connection ended in the middle of the run",
                    host=self.host,
                    next_step="see whether the host is up, then run the same command again: it goes on from there",
                )
            self._decoder.feed(data)

    def _next_in_buffer(self, is_first: bool) -> dict[str, Any] | None:
        """Return the next message that arrived, None when none is whole. Raises ProtocolError."""
        while True:
            frame = self._decoder.next_frame()
            if frame is None:
                return None
            kind, payload = frame
            if kind == b"J":
                message = read_message(payload)
                if is_first and message["type"] not in FIRST:
                    raise wire.ProtocolError(f"the first message is {message['type']}, not hello")
                return message
            if kind != b"B" or is_first or len(payload) < 4:
                raise wire.ProtocolError("content that no task asked for")
            self._download.take(*wire.split_chunk(payload))


@once
def _may_offer(modules: frozenset[str]) -> bool:
    """Return True if a resource of these modules may send content to the controller."""
    return bool(bundle.modules_asked_for(OFFER, modules))
