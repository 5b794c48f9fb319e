"""One child process: the few features of ``subprocess`` that the agent needs; that module takes too long to import."""

from __future__ import annotations

import os
import time
from _signal import SIGPIPE, SIGXFSZ  # type: ignore[import-not-found]  # the package signal imports enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Mapping, Optional, Tuple

_LONGEST_NAP_S = 0.05


class Child:
    """A command in a session (and so a process group) of its own; its stdin is /dev/null unless ``takes_input``.

    It runs in the agent's own working directory, which is /. ``stdin``, ``stdout`` and ``stderr`` are our ends of its
    pipes, -1 when there is none (any more). Raises FileNotFoundError, PermissionError, OSError.
    """

    def __init__(self, argv: List[str], environment: Mapping[str, str], takes_input: bool) -> None:
        pipes: List[int] = []
        self.exit: Optional[int] = None  # negative: the signal that ended it
        try:
            given = _pipe(pipes) if takes_input else (-1, -1)
            out, err = _pipe(pipes), _pipe(pipes)
            actions = [(os.POSIX_SPAWN_DUP2, given[0], 0), (os.POSIX_SPAWN_DUP2, out[1], 1)]
            actions.append((os.POSIX_SPAWN_DUP2, err[1], 2))
            if not takes_input:
                actions[0] = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)  # type: ignore[assignment]
            self.pid = _spawn(argv, dict(environment), actions)
        except BaseException:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        for descriptor in (given[0], out[1], err[1]):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdin, self.stdout, self.stderr = given[1], out[0], err[0]

    def poll(self) -> Optional[int]:
        """Return its exit status, None while it runs."""
        if self.exit is None:
            self._wait(os.WNOHANG)
        return self.exit

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Wait at most ``timeout_s`` for its end; return True when it has ended."""
        if timeout_s is None:
            while self.exit is None:
                self._wait(0)
            return True
        give_up, nap_s = time.monotonic() + timeout_s, 0.0005
        while self.poll() is None:
            left_s = give_up - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(nap_s, left_s))
            nap_s = min(nap_s * 2, _LONGEST_NAP_S)
        return True

    def _wait(self, options: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # the agent's parent ignores SIGCHLD: the status is lost
            pid, status = self.pid, 0
        if pid == self.pid:
            self.exit = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """Close our ends of the pipes; may be called twice."""
        self.close_stdin()
        for descriptor in (self.stdout, self.stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdout = self.stderr = -1


def keep_descriptors() -> None:
    """Let no child inherit the descriptors that the agent itself inherited."""
    for name in os.listdir("/proc/self/fd"):
        try:
            os.set_inheritable(int(name), int(name) <= 2)
        except OSError:
            pass  # the directory being listed


def _pipe(made: List[int]) -> Tuple[int, int]:
    ends = os.pipe()
    made.extend(ends)
    return ends


def _spawn(argv: List[str], environment: Mapping[str, str], actions: Any) -> int:
    """Start the first program of that name that can be executed, as execvp(3) does. Raises OSError."""
    if "/" in argv[0]:
        return _spawn_at(argv[0], argv, environment, actions)
    there = [os.path.join(folder, argv[0]) for folder in os.get_exec_path(environment)]
    there = [path for path in there if os.path.isfile(path)]
    for path in there:  # looked for first: a start that fails costs as much as one that does not
        if os.access(path, os.X_OK):
            return _spawn_at(path, argv, environment, actions)
    raise PermissionError(13, os.strerror(13), there[0]) if there else FileNotFoundError(2, os.strerror(2), argv[0])


def _spawn_at(path: str, argv: List[str], environment: Mapping[str, str], actions: Any) -> int:
    defaults = (SIGPIPE, SIGXFSZ)  # python itself ignores these two
    try:
        return os.posix_spawn(path, argv, environment, file_actions=actions, setsid=True, setsigdef=defaults)
    except NotImplementedError:  # glibc before 2.26: a group of its own, in the agent's session
        return os.posix_spawn(path, argv, environment, file_actions=actions, setpgroup=0, setsigdef=defaults)
