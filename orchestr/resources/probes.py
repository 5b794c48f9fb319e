"""Gates: they wait for an answer, and fail with the last one seen."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.names import CONTROLS, check_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, Optional, Tuple

NOT_IN_URLS = CONTROLS | {" "}
ONE_TRY_S = 5.0  # longest wait for one answer


class Gate(Resource):
    """Base of the gates. Subclasses give ``label``, ``timeout_s``, ``interval_s`` and ``seen``.

    Observes: the answer, once. Changes: nothing; its apply asks every ``interval_s`` until it is right or ``timeout_s``
    is over. Never touches: anything.
    """

    is_gate: ClassVar[bool] = True
    touches: ClassVar[Tuple[str, ...]] = ()
    timeout_s: float
    interval_s: float

    def seen(self, reader: Reader) -> str:
        """Return "" if the answer is right, else a description of it."""
        raise NotImplementedError

    def desired(self) -> Optional[State]:
        return {"answering": True}

    def observe(self, reader: Reader) -> Optional[State]:
        seen = self.seen(reader)
        return {"answering": not seen} if not seen else {"answering": False, "seen": seen}

    def apply(self, system: System, change: Change) -> None:
        began = system.monotonic()
        seen = str((change.before or {}).get("seen", ""))
        for number in system.attempts(self.timeout_s, self.interval_s):
            seen = self.seen(system) if number else seen  # the first look was the one before this change
            if not seen:
                return
        raise ResourceError("%s: %s after %.3g s" % (self.label, seen, system.monotonic() - began))


@record
@registered("tcp_answer")
class TcpAnswer(Gate):
    """Something accepts TCP connections at ``address:port``, seen from the host.

    Observes: whether one connection is accepted. Changes: nothing, it waits. Never touches: anything; nothing is sent.
    """

    address: str = "127.0.0.1"
    port: int = 0
    timeout_s: float = 60.0
    interval_s: float = 0.5

    def __post_init__(self) -> None:
        check_host(self.address)
        if not 1 <= self.port <= 65535:
            raise ValueError("%d is not a port" % self.port)

    @property
    def label(self) -> str:
        return ("[%s]:%d" if ":" in self.address else "%s:%d") % (self.address, self.port)

    def seen(self, reader: Reader) -> str:
        return "" if reader.connects(self.address, self.port, ONE_TRY_S) else "no connection"


@record
@registered("http_answer")
class HttpAnswer(Gate):
    """``url`` answers a GET with ``status`` and a body that contains ``contains``, seen from the host.

    ``host`` is the name to ask for where it is not the one in the url.

    Observes: one answer. Changes: nothing, it waits. Never touches: anything a GET leaves alone.
    """

    url: str
    status: int = 200
    contains: str = ""
    timeout_s: float = 60.0
    interval_s: float = 0.5
    host: str = ""

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        if scheme not in ("http", "https") or not rest or not NOT_IN_URLS.isdisjoint(self.url):
            raise ValueError("%r is not a URL: http://HOST:PORT/PATH" % self.url)
        if self.host:
            check_host(self.host.partition(":")[0] if self.host.count(":") == 1 else self.host)

    @property
    def label(self) -> str:
        return self.url

    def seen(self, reader: Reader) -> str:
        headers: Dict[str, Any] = {"Host": self.host} if self.host else {}
        try:
            status, body = reader.http(self.url, headers=headers, timeout_s=ONE_TRY_S)
        except OSError as error:
            return "no answer (%s)" % (error.strerror or error)
        if status != self.status:
            return "status %d instead of %d" % (status, self.status)
        return "" if self.contains.encode("utf-8") in body else "an answer without %r" % self.contains
