"""One host's agent, seen from the controller: start it, hand it tasks, read its results, know when it is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestr.agent import wire
from orchestr.agent.record import is_record
from orchestr.agent.resource import Task
from orchestr.engine import bundle
from orchestr.engine.download import Download
from orchestr.engine.privilege import agent_command, answer_password_prompt
from orchestr.engine.start_errors import locked, no_agent
from orchestr.errors import AgentError, HostError, UnreachableError

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Channel, Connection

START_TIMEOUT_S = 30.0  # from the command's start to the agent's first message
LAST_WORDS_S = 2.0  # how long an agent that ended is listened to
REACH_PAUSE_S = 0.5  # between two attempts to reach a host anew
WINDOW = 4 * 1024 * 1024  # bytes of a blob that may be on their way without being acknowledged
PREAMBLE_LIMIT = 1024 * 1024  # bytes of banners and shell noise read before giving up
_SCALARS = frozenset((str, int, float, bool, bytes, type(None)))
Connector = Callable[["ConnectionSettings"], "Connection"]
OnMessage = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class SessionOptions:
    """What every agent of a run is told: the run, whether to lock the host, and who the holder then is."""

    run: str
    lock: bool = False
    lock_wait_s: float = 3.0
    holder: dict[str, Any] | None = None


@dataclass
class _Upload:
    """A blob on its way to the host."""

    transfer: int
    chunks: Iterator[bytes]
    on_the_way_bytes: int = 0


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
        self._connector = connector
        self._options = options
        self._blobs = blobs
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._decoder = wire.Decoder()
        self._write_lock = threading.Lock()
        self._close_lock = threading.Lock()
        self._sent_modules: set[str] = set()
        self._bytecode = ""
        self._upload: _Upload | None = None
        self._download = Download(blobs, self._send)
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
            hello = self._next_message(time.monotonic() + START_TIMEOUT_S + self._options.lock_wait_s)
        except BaseException as error:
            if isinstance(error, HostError):
                error.host = error.host or self.host
            self.close()
            raise
        if hello["type"] == "locked":
            self.close()
            raise locked(self.host, hello.get("holder", {}))
        if hello["type"] == "fatal":
            self.close()
            raise AgentError(f"the agent could not begin: {hello.get('message', '')}", host=self.host)
        if hello["type"] != "hello" or hello.get("protocol") != wire.PROTOCOL:
            self.close()
            raise AgentError(f"the agent's first message was {hello['type']}, not hello", host=self.host)
        self._has_hello = True
        self.facts, self._bytecode = hello["facts"], str(hello.get("bytecode", ""))
        self.facts["clock_offset_s"] = round(float(self.facts["time"]) - time.time(), 3)
        return self.facts

    def _refuse_if_closed(self) -> None:
        """End what was begun when ``close`` came from another thread meanwhile and could not see it yet."""
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
        seen = answer_password_prompt(self._channel, self.settings, prompt, self.host) if prompt else b""
        try:
            self._channel.write(program)
        except UnreachableError as error:
            # A command that ended at once takes no input; what it said tells why.
            self._skip_preamble(nonce.encode(), seen, error)
        else:
            self._skip_preamble(nonce.encode(), seen)

    def _skip_preamble(self, nonce: bytes, seen: bytes, failure: UnreachableError | None = None) -> None:
        """Discard everything before the nonce's line: banners, .bashrc output, sudo's lecture.

        ``seen`` came already. ``failure`` is raised when nothing was said that explains it.
        """
        assert self._channel is not None
        give_up = time.monotonic() + START_TIMEOUT_S
        while True:
            asked = seen.find(nonce + b"?\n")
            if asked >= 0:  # the host's python is another one than ours
                seen = seen[asked + len(nonce) + 2 :]
                self._channel.write(bundle.agent_sources())
            found = seen.find(nonce + b"\n")
            if found >= 0:
                self._decoder.feed(seen[found + len(nonce) + 1 :])
                return
            try:
                data = self._channel.read(65536, max(0.1, give_up - time.monotonic()))
            except TimeoutError:
                raise no_agent(self.settings, seen, None, "said nothing for 30 s") from None
            status = self._channel.exit_status() if not data else None
            if not data and not seen and failure is not None and status is None:
                raise failure
            if not data or len(seen) > PREAMBLE_LIMIT:
                raise no_agent(self.settings, seen, status, "ended before it began")
            seen += data

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
        """Send all tasks in one request; pass on ``started`` (of what lasts), ``output`` and ``result`` messages.

        Raises UnreachableError when the connection breaks or the agent is silent for ``silence_s``, AgentError when
        the agent itself fails.
        """
        try:
            frames = self._module_frame(tasks) + wire.encode({"type": "tasks", "tasks": list(tasks), "check": check})
        except wire.ProtocolError as error:
            step = "a role sends large content with host.file(PATH), not as text"
            raise AgentError(f"the tasks cannot be sent: {error}", host=self.host, next_step=step) from error
        try:
            self._send_frames(frames)
        except UnreachableError:
            self._raise_last_words()
            raise
        try:
            while True:
                message = self._next_message(time.monotonic() + silence_s)
                if message["type"] == "done":
                    return
                if message["type"] == "fatal":
                    raise AgentError(str(message["message"]), host=self.host)
                if message["type"] == "fine":
                    first, elapsed_s = int(message["first"]), message["elapsed_s"]
                    for task, each_s in zip(tasks[first:], elapsed_s, strict=False):
                        on_message({"type": "result", "task": task.id, "verdict": "ok", "elapsed_s": each_s})
                elif not self._is_answered(message):
                    on_message(message)
        finally:
            self._download.forget()

    def _is_answered(self, message: dict[str, Any]) -> bool:
        """Do what a task on the host asks of the controller; tell whether the message was such a wish."""
        kind = message["type"]
        if kind == "need":
            self._begin_upload(str(message["digest"]), int(message["transfer"]))
        elif kind == "got":
            self._continue_upload(int(message["size_bytes"]))
        elif kind == "offer":
            self._download.begin(int(message["transfer"]), int(message["size_bytes"]))
        elif kind == "offered":
            self._download.end(int(message["transfer"]), str(message["sha256"]), int(message["size_bytes"]))
        elif kind == "lacking":
            self._send_module(str(message["module"]))
        elif kind == "reachable":
            threading.Thread(target=self._prove_reachable, args=(float(message["window_s"]),), daemon=True).start()
        else:
            return False
        return True

    def _raise_last_words(self) -> None:
        """Raise AgentError when an agent that takes nothing more has said why."""
        with contextlib.suppress(UnreachableError):
            while True:
                message = self._next_message(time.monotonic() + LAST_WORDS_S)
                if message["type"] == "fatal":
                    raise AgentError(str(message["message"]), host=self.host)

    def _module_frame(self, tasks: Sequence[Task]) -> bytes:
        classes = {cls for task in tasks for cls in _classes_in(task)}
        modules = [name for name in bundle.modules_for(classes) if name not in self._sent_modules]
        if not modules:
            return b""
        self._sent_modules.update(modules)
        wanted = tuple(sorted({cls.__module__ for cls in classes}.intersection(modules)))
        return bundle.modules_frame(tuple(modules), wanted, self._bytecode)

    def _send_module(self, name: str) -> None:
        """Send a module that a function on the host imports, with what that one needs."""
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

    def _next_message(self, give_up: float) -> dict[str, Any]:
        """Return the next message but heartbeats, each of which puts ``give_up`` off."""
        assert self._channel is not None
        wait_s = give_up - time.monotonic()
        while True:
            try:
                found = self._decoder.next_frame()
                if found is not None and found[0] == b"B":
                    self._download.take(*wire.split_chunk(found[1]))
                    continue
                if found is not None:
                    message = wire.decode(found[1])
                    if message["type"] != "beat":
                        return message
                    continue
                data = self._channel.read(1 << 18, wait_s)
            except TimeoutError:
                raise UnreachableError(f"no sign of life for {wait_s:.0f} s", host=self.host) from None
            except wire.ProtocolError as error:
                raise AgentError(f"the agent's output broke: {error}", host=self.host) from error
            if not data:
                raise UnreachableError(
                    "the connection ended in the middle of the run",
                    host=self.host,
                    next_step="see whether the host is up, then run the same command again: it goes on from there",
                )
            self._decoder.feed(data)

    # -- blobs and reachability -----------------------------------------------------------------------------------
    def _begin_upload(self, digest: str, transfer: int) -> None:
        chunks = self._blobs.chunks(digest) if self._blobs is not None else iter(())
        self._upload = _Upload(transfer, chunks)
        self._continue_upload(0)

    def _continue_upload(self, acknowledged: int) -> None:
        upload = self._upload
        if upload is None:
            return
        upload.on_the_way_bytes -= acknowledged
        while upload.on_the_way_bytes < WINDOW:
            try:
                chunk = next(upload.chunks, b"")
            except (KeyError, OSError):
                chunk = b""
            self._send_frames(wire.chunk_frame(upload.transfer, chunk))
            if not chunk:
                self._upload = None
                return
            upload.on_the_way_bytes += len(chunk)

    def _prove_reachable(self, window_s: float) -> None:
        """Reach the host on a new connection, as a next run would, and tell the agent whether and why not.

        Tried until the window closes: a daemon that is just starting may drop a first attempt.
        """
        give_up = time.monotonic() + window_s - REACH_PAUSE_S  # so that the reason arrives before it closes
        why = self._why_unreachable(window_s)
        while why and time.monotonic() + REACH_PAUSE_S < give_up and self.is_open:
            time.sleep(REACH_PAUSE_S)
            why = self._why_unreachable(give_up - time.monotonic())
        with contextlib.suppress(HostError, OSError):
            self._send({"type": "confirm", "reached": not why, "why": why})

    def _why_unreachable(self, timeout_s: float) -> str:
        """Return why a new connection does not get through to a command, "" when it does."""
        try:
            connection = self._connector(self.settings)
            try:
                status = connection.start(["true"]).exit_status(timeout_s)
            finally:
                connection.close()
        except (HostError, OSError) as error:
            return getattr(error, "message", "") or str(error) or type(error).__name__
        return "" if status == 0 else f"a command on it ended with {status}"


def _classes_in(value: Any) -> Iterator[type]:
    """Yield the classes of a task's resource and of the registered values within it."""
    if isinstance(value, tuple):
        for item in value:
            if type(item) not in _SCALARS:
                yield from _classes_in(item)
    elif isinstance(value, Task):
        yield from _classes_in(value.resource)
        if value.until is not None:
            yield from _classes_in(value.until)
    elif hasattr(type(value), "kind") and is_record(type(value)):
        yield type(value)
        for inner in vars(value).values():
            if type(inner) not in _SCALARS:
                yield from _classes_in(inner)
