"""Real calls through Caddy with TLS: two clients of LiveKit's SDK in one room, the gaps of their sound measured.

As a program (``python -m tests.lab.call hold``) it holds one until its stdin ends, then says what was heard.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab.cluster import SITE, authority_certificate
from tests.lab.conftest import ADDRESSES, ROOT
from tests.lab.site import ask

SYSTEMS_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Heard:
    """What bob heard of ada: seconds of tone in all, the gaps in it, and for how long there has been none."""

    heard_s: float
    gaps: list[float]
    silent_s: float
    reconnects: int
    is_connected: bool
    ended: list[str]

    @property
    def longest_gap_s(self) -> float:
        """The longest silence, one that lasts until now included."""
        return max([*self.gaps, self.silent_s])


class Call:
    """ada and bob in a room, heard from here on. Use as a context manager.

    With ``relay_only`` both may use TURN's relays only. Raises AssertionError unless they are heard in time.
    """

    def __init__(self, room: str = "", *, relay_only: bool = False, within_s: float = 40) -> None:
        self.room = room or f"call-{secrets.token_hex(4)}"
        self._directory = tempfile.TemporaryDirectory(prefix="orchestr-call-")
        self._log = Path(self._directory.name, "log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.caller"],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        try:
            tokens = {name: token_for(self.room, name) for name in ("ada", "bob")}
            self._tell(json.dumps({"url": f"wss://{SITE}", "relay_only": relay_only, **tokens}))
            self.wait_until(lambda heard: heard.heard_s > 0.3, "bob does not hear ada", within_s)
        except BaseException:
            self.leave()
            raise

    def _environment(self) -> dict[str, str]:
        """Return an environment in which the site's name is Caddy's address, and Caddy's authority is trusted."""
        directory = Path(self._directory.name)
        usual = SYSTEMS_AUTHORITIES.read_text() if SYSTEMS_AUTHORITIES.exists() else ""
        (directory / "authorities.pem").write_text(usual + authority_certificate())
        (directory / "hosts").write_text(f"{ADDRESSES['lab1']} {SITE}\n")
        return {
            **os.environ,
            "SSL_CERT_FILE": str(directory / "authorities.pem"),
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_HOSTS": str(directory / "hosts"),
        }

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise AssertionError(f"the call has ended: {self.log()}") from None

    def _ask(self, question: str, timeout_s: float) -> Heard:
        assert self._process.stdout is not None
        self._tell(question)
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"the call in {self.room} does not answer: {self.log()}"
        return Heard(**json.loads(line))

    def measure(self) -> Heard:
        """Return what was heard since the call began, or since ``reset``."""
        return self._ask("measure", 60)

    def reset(self) -> Heard:
        """Return what was heard, and begin to count gaps anew."""
        return self._ask("reset", 60)

    def wait_until(self, condition: Callable[[Heard], bool], otherwise: str, within_s: float = 30) -> Heard:
        """Wait for a condition of what was heard; fail with ``otherwise`` when it does not come."""
        give_up = time.monotonic() + within_s
        while not condition(heard := self._ask("measure", within_s)):
            assert time.monotonic() < give_up, f"{otherwise} within {within_s} s: {heard}; {self.log()}"
            time.sleep(0.1)
        return heard

    def is_heard_again(self, within_s: float = 30) -> Heard:
        """Wait until both are connected and the tone is audible at this moment."""
        return self.wait_until(
            lambda heard: heard.is_connected and heard.silent_s < 0.2, "bob does not hear ada again", within_s
        )

    def log(self) -> str:
        """Return the end of the SDK's log."""
        return self._log.read_text()[-1500:] if self._log.exists() else "(it was left)"

    def leave(self) -> None:
        """Leave the room, both."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def token_for(room: str, identity: str) -> str:
    """Return an access token, which the application hands out as it does to browsers."""
    status, answer = ask("POST", "/api/token", {"room": room, "identity": identity})
    assert status == 200, answer
    token: Any = answer["token"]
    return str(token)


def hold() -> None:
    """Hold a call until stdin ends, then print what was heard."""
    with Call() as call:
        print(f"   ada and bob are in the room {call.room}; bob hears ada", flush=True)
        sys.stdin.read()
        heard = call.measure()
    gaps = ", ".join(f"{gap:.2f} s" for gap in heard.gaps) or "none"
    print(f"   bob heard {heard.heard_s:.0f} s of ada; gaps: {gaps}; reconnected: {heard.reconnects} times", flush=True)
    sys.exit(1 if heard.ended or heard.longest_gap_s > 1 else 0)


if __name__ == "__main__":
    hold()
