"""One run at a time on a host: a lock that lives exactly as long as the agent, so it cannot leak."""

from __future__ import annotations

import os
import time

from orchestr.agent.light_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional


class HostLock:
    """An flock on a file only this user can write. ``holder`` (who, run, since) is shown to the next run."""

    def __init__(self, holder: Dict[str, Any], path: Optional[str] = None) -> None:
        self._mine = holder
        self._path = path or directory_of_agents() + "/lock"
        self._descriptor = -1

    def acquire(self, wait_s: float) -> bool:
        """Take the lock, waiting for an agent that is just ending; False when another run keeps it. Raises OSError."""
        import fcntl

        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        give_up = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if self._mine.get("run") and self.holder().get("run") == self._mine["run"]:
                    os.close(descriptor)  # another name of this machine, in the same run, holds it for both
                    return True
                if time.monotonic() > give_up:
                    os.close(descriptor)
                    return False
                time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, dumps(self._mine).encode("utf-8"), 0)
        self._descriptor = descriptor
        return True

    def holder(self) -> Dict[str, Any]:
        """Return the present holder's description of itself; empty when it cannot be read."""
        try:
            with open(self._path, encoding="utf-8") as stream:
                holder = loads(stream.read())
        except (OSError, ValueError):
            return {}
        return holder if isinstance(holder, dict) else {}

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def directory_of_agents() -> str:
    """Return the directory that the agents of this user share, for this user alone (0700); it may not be there yet."""
    if os.getuid() == 0:
        return "/run/orchestr"
    base = os.environ.get("XDG_RUNTIME_DIR") or os.path.expanduser("~/.cache")
    return os.path.join(base, "orchestr")
