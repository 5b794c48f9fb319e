"""A site as its users meet it: asked for by name at the address of each proxy, whatever DNS says. For checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import testinfra  # type: ignore[import-untyped]  # it has annotations, but no marker that says so

from orchestr.applications.routes import FrontDoor, proxies
from orchestr.verification.inside import connected, outside_address
from orchestr.verification.outside import Outside, Response
from orchestr.verification.websocket import WebSocket

if TYPE_CHECKING:
    from orchestr.planning.plan import Host, Peer

SENT_WITHIN_S = 20.0
HANDSHAKE_S = 20.0  # a server may have to ask another node before it opens a session
ANSWER_S = 12.0  # a proxy looks for a working upstream for some seconds before it says 502


@dataclass(frozen=True)
class Site:
    """A name at the address of one proxy; ``ca`` is a file with the authority to trust, None for the usual ones."""

    outside: Outside
    address: str
    door: FrontDoor
    ca: str | None

    @property
    def name(self) -> str:
        return self.door.name

    def ask(
        self, url: str, *, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """Make a request. Raises AssertionError that names the address when it cannot be reached."""
        try:
            return self.outside.get(
                url,
                address=self.address,
                ca=self.ca,
                verify=self.door.is_verified,
                timeout_s=ANSWER_S,
                method=method,
                body=body,
                headers=headers,
            )
        except OSError as error:
            raise AssertionError(
                f"{url} at {self.address}: {error}; look at: {self.door.logs}, ufw status, "
                "and for a certificate that is not valid at the DNS records of the name"
            ) from None

    def websocket(self, url: str, headers: dict[str, str]) -> WebSocket:
        """Open a WebSocket. Raises HandshakeRefused, OSError."""
        return self.outside.websocket(
            url,
            headers=headers,
            address=self.address,
            ca=self.ca,
            verify=self.door.is_verified,
            timeout_s=HANDSHAKE_S,
        )


def sites(machine: Host, application: str, outside: Outside, directory: Path) -> Iterator[Site]:
    """Yield an application's site at each connected proxy; authorities are written to ``directory``."""
    for role in machine.roles_in_playbook():
        if role.front_door is None:
            continue
        for peer in connected(machine.with_role(role.name)):
            door = role.front_door(peer.as_host(role.name), peer.params(role.name), application)
            yield site_at(peer, door, outside, directory)


def site_at(peer: Peer, door: FrontDoor, outside: Outside, directory: Path) -> Site:
    """Return the site at one proxy's address; its authority is written to ``directory``."""
    return Site(outside, outside_address(peer), door, _authority(peer.name, door, directory))


def _authority(host: str, door: FrontDoor, directory: Path) -> str | None:
    if not door.authority:
        return None
    path = directory / f"{host}.crt"
    path.write_text(testinfra.get_host(f"orchestr://{host}").check_output("cat %s", door.authority))
    return str(path)


def proxy_names(machine: Host) -> set[str]:
    """Return the names of the hosts that are proxies."""
    return {peer.name for peer in proxies(machine)}


def wait_until(condition: Callable[[], bool], within_s: float = SENT_WITHIN_S) -> bool:
    """Wait until a condition holds; return whether it did in time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.25)
    return True
