"""The cluster as seen from one of its own hosts, and the addresses that count as inside. For checks: see ``Inside``."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import testinfra  # type: ignore[import-untyped]  # it has annotations, but no marker that says so

from orchestr.verification.outside import Outside, PortState

if TYPE_CHECKING:
    from testinfra.host import Host as TestinfraHost  # type: ignore[import-untyped]  # as above

    from orchestr.planning.plan import Peer

#: How long to wait where silence is hoped for: a packet lost on the way is sent again after a second (RFC 6298).
SILENCE_S = 1.3

# Standard library of any Python 3; it prints one JSON line. A port may take long to be refused by a busy machine, so
# only silence counts as filtered. A refusal arrives as an HTTPError, an answer like any other.
_TALK = """
import json, socket, sys
address, port, said, timeout = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
state, answer = "filtered", ""
try:
    way = socket.create_connection((address, port), timeout)
    state = "open"
    if said:
        way.sendall((said + "\\r\\n").encode())
        answer = way.recv(4096).decode("utf-8", "replace")
except ConnectionRefusedError:
    state = "closed"
except OSError:
    pass
print(json.dumps([state, answer]))
"""
_GET = """
import json, sys, urllib.error, urllib.request
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *ignored):
        return None
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
try:
    found = [opener.open(sys.argv[1], timeout=float(sys.argv[2])).status, ""]
except urllib.error.HTTPError as error:
    found = [error.code, ""]
except OSError as error:
    found = [0, str(getattr(error, "reason", error))]
print(json.dumps(found))
"""


class Inside:
    """Looks from a host of the inventory: ``Inside(host)``; ``Inside.of("lk1")`` for another than the checked one."""

    def __init__(self, host: TestinfraHost) -> None:
        self._host = host

    @classmethod
    def of(cls, name: str) -> Inside:
        """Return the view from a connected host; looking skips the check when it is not connected."""
        return cls(testinfra.get_host(f"orchestr://{name}"))

    def connects(self, address: str, port: int, timeout_s: float = SILENCE_S) -> PortState:
        """Try a TCP connection from the host: ``open``, ``closed`` (refused) or ``filtered`` (no answer)."""
        state: PortState = self._ask(_TALK, address, port, "", timeout_s)[0]
        return state

    def says(self, address: str, port: int, line: str, timeout_s: float = 3.0) -> str:
        """Send a line from the host and return the beginning of the answer, "" when there is none."""
        return str(self._ask(_TALK, address, port, line, timeout_s)[1])

    def get(self, url: str, timeout_s: float = 5.0) -> tuple[int, str]:
        """GET a URL from the host; return the status and "", or 0 and why there was no answer. Follows no redirect."""
        status, why = self._ask(_GET, url, timeout_s)
        return int(status), str(why)

    def _ask(self, program: str, *arguments: Any) -> list[Any]:
        words = " ".join(["%s"] * (len(arguments) + 1))
        done = self._host.run(f"python3 -c {words}", program, *map(str, arguments))
        assert done.rc == 0, f"python3 on the host could not look: {done.stderr.strip()[-300:]}"
        answer: list[Any] = json.loads(done.stdout)
        return answer


def views(peers: Iterable[Peer], address: str, port: int) -> dict[str, PortState]:
    """Return how a port looks from each of these hosts that is connected, all looking at once."""
    names = [peer.name for peer in connected(peers)]

    def look(name: str) -> PortState:
        return Inside.of(name).connects(address, port)

    with ThreadPoolExecutor(max_workers=max(1, min(16, len(names)))) as pool:
        looks = [pool.submit(copy_context().run, look, name) for name in names]
        return {name: look.result() for name, look in zip(names, looks, strict=True)}


def closed_to_outside(outside: Outside, machine: Peer, port: int) -> bool:
    """Return True if a port accepts no connection from this machine, at the address where we reach the host.

    Its private address is not looked at: in this machine's own network it may be somebody else's.
    """
    return outside.connects(outside_address(machine), port, SILENCE_S) != "open"


def outside_address(machine: Peer) -> str:
    """Return where this machine, the controller, reaches a host: its ansible_host, else its name."""
    given = str(machine.variable("ansible_host", machine.name))
    with contextlib.suppress(OSError):
        return str(socket.getaddrinfo(given, None, type=socket.SOCK_STREAM)[0][4][0])
    return machine.address  # a name that only the SSH configuration knows


def is_insider(machine: Peer, sources: Iterable[str]) -> bool:
    """Return True if the controller is itself let in: among ``sources``, or on the machine; then it cannot look."""
    client = str(machine.facts.get("ssh_connection", "")).partition(" ")[0]
    if not client or client in machine.facts.get("addresses", ()):
        return True
    address = ipaddress.ip_address(client.partition("%")[0])
    return any(address in ipaddress.ip_network(source, strict=False) for source in sources)


def connected(peers: Iterable[Peer]) -> list[Peer]:
    """Return the hosts that take part in this verification and were reached."""
    return [peer for peer in peers if peer.facts]
