"""The sessions of one run: opened together, kept alive together, closed together."""

from __future__ import annotations

import getpass
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

from orchestr.agent.wire import BEAT_S
from orchestr.engine.faults import describe_fault
from orchestr.engine.session import Connector, Session, SessionOptions
from orchestr.errors import EXIT_FAILED, HostError, InputError
from orchestr.events import Consumer, HostConnected, HostUnreachable
from orchestr.redaction import redact

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore
    from orchestr.inventory import ConnectionSettings, Inventory

DEFAULT_FORKS = 32
CLOSE_S = 5.0  # the end of a run waits at most this long for its sessions' ends
STUCK_S = 0.5  # when none was done for this long, waiting items no longer wait for the ones that hang
T = TypeVar("T")


class Fleet:
    """Open sessions by host name. ``forks`` hosts are worked on at the same time.

    Use as a context manager: leaving it ends every agent.
    """

    def __init__(
        self,
        inventory: Inventory,
        connector: Connector,
        emit: Consumer,
        *,
        run: str,
        lock: bool = False,
        forks: int = DEFAULT_FORKS,
        blobs: BlobStore | None = None,
        settings: Callable[[str], ConnectionSettings] | None = None,
    ) -> None:
        self._settings = settings or inventory.connection
        self._inventory_path = inventory.path
        self._connector = connector
        self._emit = emit
        self._options = SessionOptions(run, lock, holder=_holder(run) if lock else None)
        self._blobs = blobs
        self._forks = max(1, forks)
        self._sessions: dict[str, Session] = {}
        self._ended = threading.Event()
        self._waiting: list[Future[Any]] = []  # asked of the pool last
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Fleet:
        self._pool = ThreadPoolExecutor(self._forks, thread_name_prefix="host")
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for future in self._waiting:
                if future.cancelled():  # shutdown cancels the rest, and does not wake the threads that wait for it
                    future.set_running_or_notify_cancel()
        self.close_all()

    @property
    def has_ended(self) -> bool:
        """True once the fleet is being left: later failures have that reason."""
        return self._ended.is_set()

    def open(self, hosts: Iterable[str], emit: Consumer | None = None) -> dict[str, dict[str, Any]]:
        """Connect to the hosts not connected yet; return the facts of the hosts that answered. Failures become events.

        ``emit`` takes the events where these hosts are another run's.
        """
        emit = emit or self._emit
        wanted = [host for host in dict.fromkeys(hosts) if host not in self._sessions]

        def connect(host: str) -> dict[str, Any] | None:
            began = time.monotonic()
            session = Session(host, self._settings(host), self._connector, self._options, self._blobs)
            self._sessions[host] = session
            if self.has_ended:  # between two hosts, with fewer forks than hosts
                session.close()
            try:
                facts = session.open()
            except InputError:
                raise
            except HostError as error:
                self._sessions.pop(host, None)
                if self.has_ended:
                    return None
                # The transport knows addresses only; the inventory and the host are known here.
                step = error.next_step.replace(" INVENTORY ", f" {self._inventory_path} ").replace(" HOST", f" {host}")
                emit(unreachable(host, error, step))
                return None
            except Exception as error:
                self._sessions.pop(host, None)
                emit(_fault(host, error))
                return None
            emit(HostConnected(host, round(time.monotonic() - began, 3), session.slow_start))
            return facts

        return {host: facts for host, facts in self.each(wanted, connect).items() if facts is not None}

    def each(self, hosts: Iterable[str], work: Callable[[str], T]) -> dict[str, T]:
        """Do ``work`` for every host, as many at a time as forks allow; return the results in the hosts' order.

        The first exception that is not handled by ``work`` is raised when all have ended; CancelledError when the
        fleet is being left.
        """
        assert self._pool is not None
        names = list(hosts)
        try:
            futures = [self._pool.submit(work, host) for host in names]
        except RuntimeError as error:
            if not self.has_ended:
                raise
            raise CancelledError("the fleet is being left") from error
        self._waiting = futures
        wait(futures)  # in a way that a keyboard interrupt can break, and woken once
        return {host: future.result() for host, future in zip(names, futures, strict=True)}

    def session(self, host: str) -> Session | None:
        """Return a host's open session, None when it is not connected (any more)."""
        return self._sessions.get(host)

    def drop(self, host: str) -> None:
        """Close a host's session and forget it."""
        session = self._sessions.pop(host, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """Close all sessions: one that hangs must not keep the others, nor the user."""
        _to_all(self.drop, list(self._sessions), self._forks, CLOSE_S)

    def _beat(self) -> None:
        """Let agents that wait at a barrier know that the controller is alive."""
        while not self._ended.wait(BEAT_S):
            # A line that takes nothing holds up a writer, and the others wait for a sign of life.
            _to_all(Session.beat, list(self._sessions.values()), self._forks, BEAT_S)


def _to_all(work: Callable[[T], None], items: list[T], forks: int, give_up_s: float) -> None:
    """Do ``work`` with every item in a few threads, in more of them while some hang; wait at most ``give_up_s``."""
    left, done = deque(items), threading.Semaphore(0)
    give_up = time.monotonic() + give_up_s

    def take_turns() -> None:
        while True:
            try:
                item = left.popleft()
            except IndexError:
                return
            try:
                work(item)
            finally:
                done.release()

    def begin() -> None:
        for _ in range(min(forks, len(left))):
            threading.Thread(target=take_turns, daemon=True).start()

    begin()
    count = 0
    while count < len(items) and (remaining_s := give_up - time.monotonic()) > 0:
        if done.acquire(timeout=min(STUCK_S, remaining_s)):
            count += 1
        else:
            begin()


def unreachable(host: str, error: HostError, next_step: str = "") -> HostUnreachable:
    """Return the event of an error of one host, secrets redacted."""
    step = redact(next_step or error.next_step)
    return HostUnreachable(host, redact(error.message), step, redact(error.stderr), error.exit_code)


def _fault(host: str, error: Exception) -> HostUnreachable:
    """Return the failure of one host, for an exception while it is being connected to."""
    return HostUnreachable(host, **describe_fault(error), exit_code=EXIT_FAILED)


def _holder(run: str) -> dict[str, Any]:
    return {
        "who": f"{getpass.getuser()}@{socket.gethostname()}",
        "run": run,
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }
