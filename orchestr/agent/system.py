"""The only door to the host: run commands, read and write files, look at sockets and the clock."""
# ``Reader`` cannot change anything and is all that ``observe`` gets, so check mode is pure by construction.
# ``System`` adds the writing half. Tests replace both with ``orchestr.transport.memory``.

from __future__ import annotations

import time

from orchestr.agent import facts, process
from orchestr.agent.host_files import BRIEF, FileReader, filesystem
from orchestr.agent.host_files import FileStat as FileStat
from orchestr.agent.record import record
from orchestr.agent.secret import CUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

OUTPUT_LIMIT = 4 * 1024 * 1024  # bytes kept of a command's stdout or stderr
LONGEST_REMOVAL_S = 24 * 3600.0  # of a tree of any size
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}


@record
class Completed:
    """An ended command: exit status (negative: signal), stdout and stderr as text."""

    argv: Tuple[str, ...]
    exit: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.exit == 0


class CommandFailed(Exception):
    """A command ended with a status that is not 0, or ran out of time."""

    def __init__(self, completed: Completed, reason: str = "") -> None:
        self.completed = completed
        cause = reason or "exit status %d" % completed.exit
        super().__init__("%s: %s" % (" ".join(completed.argv[:6]), cause))


class Reader(FileReader):
    """The reading half: nothing here changes the host."""

    def __init__(self) -> None:
        super().__init__()
        #: kind → labels of all resources of this request, so that a family can be read at once
        self.labels: Dict[str, Tuple[str, ...]] = {}
        #: (kind, label) → what a resource published (`Resource.publish`)
        self.notes: Dict[Tuple[str, str], Any] = {}
        #: monotonic time after which commands are ended, set per task
        self.deadline: Optional[float] = None
        #: True once the task at work has begun to change the host
        self.has_begun = False

    # -- commands -------------------------------------------------------------------------------------------------
    def query(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        env: Optional[Mapping[str, str]] = None,
        timeout_s: float = 60.0,
        check: bool = False,
    ) -> Completed:
        """Run a command that only looks. Exit 127 when it is not installed. ``check`` raises CommandFailed."""
        return self._execute(argv, input, env, timeout_s, check, None)

    def _execute(
        self,
        argv: Sequence[str],
        input: process.Input,
        env: Optional[Mapping[str, str]],
        timeout_s: float,
        check: bool,
        on_output: Optional[Callable[[str], None]],
    ) -> Completed:
        if self.deadline is not None:
            timeout_s = max(0.1, min(timeout_s, self.deadline - time.monotonic()))
        environment = dict(ENVIRONMENT, **(env or {}))
        limit = OUTPUT_LIMIT + 1
        self.allow(timeout_s)
        try:
            status, out, err, timed_out = process.run(list(argv), input, environment, timeout_s, limit, on_output)
        finally:
            self.settle()
        done = Completed(tuple(argv), status, _text(out), _text(err))
        if timed_out:
            raise CommandFailed(done, "ended after %.0f s without finishing" % timeout_s)
        if check and status != 0:
            raise CommandFailed(done)
        return done

    def which(self, program: str) -> Optional[str]:
        """Return the path of a program, None when it is not installed."""

        def search() -> Optional[str]:
            for folder in ENVIRONMENT["PATH"].split(":"):
                path = folder + "/" + program
                status = self.stat(path)
                if status is not None and (status.type == "link" or status.mode & 0o111):
                    return path
            return None

        path: Optional[str] = self.once((BRIEF, "program", program), search)
        return path

    # -- sockets --------------------------------------------------------------------------------------------------
    def http(
        self,
        url: str,
        *,
        socket_path: str = "",
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
    ) -> Tuple[int, bytes]:
        """Ask an HTTP server on TCP, or on a unix socket (url then is just the path). Return status and body.

        Raises OSError when there is no answer. Redirects are not followed.
        """
        self.allow(timeout_s)
        return process.http(url, socket_path, method, dict(headers or {}), body, timeout_s)

    def connects(self, address: str, port: int, timeout_s: float = 3.0) -> bool:
        """Return True if a TCP connection to ``address:port`` is accepted."""
        import socket

        try:
            socket.create_connection((address, port), timeout_s).close()
            return True
        except OSError:
            return False

    def ssh_connection(self) -> str:
        """Return SSH_CONNECTION of the controller's login ("client port server port"), "" when it came another way."""
        return facts.ssh_connection()

    # -- clock ----------------------------------------------------------------------------------------------------
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        """Return the wall clock, seconds since the epoch: the clock of ``FileStat.changed_ns``."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        self.allow(seconds)
        time.sleep(seconds)
        self.forget(())

    def attempts(self, timeout_s: float, interval_s: float) -> Iterator[int]:
        """Yield attempt numbers from 0, ``interval_s`` apart, until ``timeout_s`` or the task's time is over.

        The first comes at once and the last at the end; a loop over them that does not return has waited in vain.
        """
        end = self.monotonic() + timeout_s
        if self.deadline is not None:
            end = min(end, self.deadline)
        number = 0
        while True:
            self.allow(0.0)
            yield number
            left_s = end - self.monotonic()
            if left_s <= 0:
                return
            self.sleep(min(interval_s, left_s))
            number += 1


class System(Reader):
    """The writing half. Only ``apply`` gets one."""

    def __init__(
        self,
        *,
        run_id: str = "",
        on_output: Optional[Callable[[str], None]] = None,
        fetch: Optional[Callable[[str, int], Iterator[bytes]]] = None,
        confirm: Optional[Callable[[float], bool]] = None,
        line: Any = None,
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self._on_output = on_output
        self._fetch = fetch
        self._confirm = confirm
        self.line = line  # to the controller, for content that a host offers (offer.py)
        self.unreached = ""  # why the controller could not reach this host anew when it was last asked to

    def run(
        self,
        argv: Sequence[str],
        *,
        input: process.Input = b"",
        env: Optional[Mapping[str, str]] = None,
        timeout_s: float = 600.0,
        check: bool = True,
        stream: bool = False,
    ) -> Completed:
        """Run a command that changes something; stdin is ``input`` or /dev/null, in a process group of its own.

        ``input`` may be an iterator of chunks, for content too large for memory.
        ``stream`` passes its output on live. Raises CommandFailed on a status other than 0 (unless ``check=False``)
        and when the time is over (its whole group is killed).
        """
        try:
            return self._execute(argv, input, env, timeout_s, check, self._on_output if stream else None)
        finally:
            self.forget(())

    def say(self, line: str) -> None:
        """Report the progress of a long change, as a line of output."""
        if self._on_output is not None:
            self._on_output(line + "\n")

    def write_bytes(self, path: str, data: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        """Write a file so that a reader sees the old or the new whole."""
        filesystem().write_atomically(path, [data], mode, uid, gid)

    def rewrite(self, path: str, data: bytes, before: FileStat) -> None:
        """Like write_bytes, for a file that `read_file` read: its owner, mode, ACL and extended attributes stay.

        Raises OSError when it is not that file any more.
        """
        seen = (before.inode, before.changed_ns)
        filesystem().write_atomically(path, [data], before.mode, before.uid, before.gid, seen=seen)

    def attributes(self, path: str) -> List[Tuple[str, bytes]]:
        """Return (name, value) of the extended attributes that `rewrite` keeps, the ACL first. Raises OSError."""
        attributes: List[Tuple[str, bytes]] = filesystem().attributes_at(path)
        return attributes

    def write_blob(
        self, path: str, digest: str, size_bytes: int, *, mode: int = 0o600, uid: int = 0, gid: int = 0
    ) -> None:
        """Like write_bytes, the content fetched from the controller by its sha256 and checked against it."""
        filesystem().write_atomically(path, self.blob(digest, size_bytes), mode, uid, gid, digest)

    def adopt(self, path: str, digest: str, *, mode: int, uid: int, gid: int) -> None:
        """Set owner and mode of a file that has this sha256; a new file takes its place where a user may have it open.

        Raises OSError for any other content: only a file that is as wanted is given to somebody.
        """
        filesystem().adopt(path, digest, mode, uid, gid)

    def blob(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob's content from the controller, chunk by chunk."""
        if self._fetch is None:
            raise OSError("this run has no controller to fetch from")
        return self._fetch(digest, size_bytes)

    def make_directory(
        self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, must_be_new: bool = False
    ) -> None:
        """Make a directory and its missing parents (0755, owned by the agent's user).

        One that is there gets mode and owner, or with ``must_be_new`` is an OSError.
        """
        filesystem().make_directory(path, mode, uid, gid, must_be_new)

    def set_mode(self, path: str, mode: int) -> None:
        filesystem().set_attributes(path, mode)

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        """Set owner and group (-1: as it is) of a file, directory or link itself."""
        filesystem().set_attributes(path, None, uid, gid)

    def symlink(self, target: str, path: str) -> None:
        """Make or replace a symbolic link in one step."""
        filesystem().symlink_atomically(target, path)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole directory tree; nothing there is fine."""
        self.allow(LONGEST_REMOVAL_S)
        filesystem().remove(path)
        self.settle()

    def rename(self, source: str, target: str) -> None:
        """Rename a file or directory; an empty directory at ``target`` is replaced. Raises OSError."""
        filesystem().rename(source, target)

    def remove_empty(self, path: str) -> None:
        """Remove an empty directory. Raises OSError for one with content."""
        filesystem().remove_empty(path)

    def remove_leftovers(self) -> None:
        """Remove what agents that were killed left."""
        filesystem().leftovers.remove()

    def confirm_reachable(self, window_s: float) -> bool:
        """Ask the controller for a new connection to this host; return True when it came within ``window_s``."""
        return self._confirm is not None and self._confirm(window_s)


def _text(output: bytes) -> str:
    # A CUT is its end when it was longer than OUTPUT_LIMIT.
    if len(output) <= OUTPUT_LIMIT:
        return output.decode("utf-8", "replace")
    return output[: OUTPUT_LIMIT - 1].decode("utf-8", "replace") + CUT
