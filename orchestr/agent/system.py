"""The only door to the host: run commands, read and write files, look at sockets and the clock.

``Reader`` cannot change anything and is all that ``observe`` gets, so check mode is pure by construction.
``System`` adds the writing half. Tests replace both with ``orchestr.transport.memory``.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
import time

from orchestr.agent import facts, process
from orchestr.agent.digest import new_sha256
from orchestr.agent.record import record
from orchestr.agent.secret import CUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

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


@record
class FileStat:
    """The result of lstat: ``type`` is file, directory, link, FIFO, socket or device; ``mode`` its bits.

    ``changed_ns`` is ctime (content, owner, mode or name), ``modified_ns`` mtime (content; can be set by hand).
    """

    type: str
    mode: int
    uid: int
    gid: int
    size_bytes: int
    changed_ns: int
    target: str = ""
    modified_ns: int = 0


class CommandFailed(Exception):
    """A command ended with a status that is not 0, or ran out of time."""

    def __init__(self, completed: Completed, reason: str = "") -> None:
        self.completed = completed
        cause = reason or "exit status %d" % completed.exit
        super().__init__("%s: %s" % (" ".join(completed.argv[:6]), cause))


class Reader:
    """The reading half: nothing here changes the host."""

    def __init__(self) -> None:
        self._cache: Dict[Tuple[str, ...], Any] = {}
        #: check mode: path → sha256 that a file would have after the changes so far (None: gone)
        self.predicted: Dict[str, Optional[str]] = {}
        #: kind → labels of all resources of this request, so that a family can be read at once
        self.labels: Dict[str, Tuple[str, ...]] = {}
        #: (kind, label) → what a resource published (`Resource.publish`)
        self.notes: Dict[Tuple[str, str], Any] = {}
        #: monotonic time after which commands are ended, set per task
        self.deadline: Optional[float] = None
        #: Progress of a task: ``allow(seconds)`` before a step with a time limit of its own, ``settle()`` after it.
        self.allow: Callable[[float], None] = _ignore
        self.settle: Callable[[], None] = _ignore

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

    def once(self, key: Tuple[str, ...], read: Callable[[], Any]) -> Any:
        """Return ``read()``, remembered under ``key`` (family first) until one of the family applies."""
        if key not in self._cache:
            self._cache[key] = read()
        return self._cache[key]

    def forget(self, families: Tuple[str, ...]) -> None:
        """Drop the remembered reads of these families; "*" drops all."""
        if "*" in families:
            self._cache.clear()
        for key in [key for key in self._cache if key[0] in families]:
            del self._cache[key]

    # -- files ----------------------------------------------------------------------------------------------------
    def read_bytes(self, path: str, limit: Optional[int] = None) -> Optional[bytes]:
        """Return a file's content, None when there is no such file. Raises OSError otherwise."""
        try:
            with _open_regular(path) as stream:
                return stream.read() if limit is None else stream.read(limit)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_text(self, path: str) -> Optional[str]:
        """Return a file's content as text (undecodable bytes replaced), None when there is no such file."""
        data = self.read_bytes(path)
        return None if data is None else data.decode("utf-8", "replace")

    def stat(self, path: str) -> Optional[FileStat]:
        """Return the result of lstat, None when the path does not exist."""
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind = stat_module.S_IFMT(status.st_mode)
        types = {
            stat_module.S_IFREG: "file",
            stat_module.S_IFDIR: "directory",
            stat_module.S_IFLNK: "link",
            stat_module.S_IFIFO: "FIFO",
            stat_module.S_IFSOCK: "socket",
        }
        target = os.readlink(path) if kind == stat_module.S_IFLNK else ""
        return FileStat(
            types.get(kind, "device"),
            stat_module.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size,
            status.st_ctime_ns,
            target,
            status.st_mtime_ns,
        )

    def list_directory(self, path: str) -> List[str]:
        """Return the sorted names in a directory; empty when there is none."""
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def digest(self, path: str) -> Optional[str]:
        """Return the sha256 (hex) of a file, None when it does not exist; in check mode, the predicted one."""
        if path in self.predicted:
            return self.predicted[path]
        try:
            with _open_regular(path) as stream:
                digest = new_sha256(os.fstat(stream.fileno()).st_size)
                for chunk in iter(lambda: stream.read(1 << 20), b""):
                    digest.update(chunk)
                    self.allow(0.0)
                return str(digest.hexdigest())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def which(self, program: str) -> Optional[str]:
        """Return the path of a program, None when it is not installed."""
        for folder in ENVIRONMENT["PATH"].split(":"):
            path = folder + "/" + program
            status = self.stat(path)
            if status is not None and (status.type == "link" or status.mode & 0o111):
                return path
        return None

    def user_id(self, name: str) -> Optional[int]:
        """Return the uid of a user name (a number stands for itself), None when there is no such user."""
        return _id_in(self.read_text("/etc/passwd"), name)

    def group_id(self, name: str) -> Optional[int]:
        """Return the gid of a group name (a number stands for itself), None when there is no such group."""
        return _id_in(self.read_text("/etc/group"), name)

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
        return self._execute(argv, input, env, timeout_s, check, self._on_output if stream else None)

    def say(self, line: str) -> None:
        """Report the progress of a long change, as a line of output."""
        if self._on_output is not None:
            self._on_output(line + "\n")

    def write_bytes(self, path: str, data: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        """Write a file so that a reader sees the old or the new whole, keeping the old for rollback."""
        from orchestr.agent import filesystem

        filesystem.write_atomically(path, [data], mode, uid, gid, self.run_id)

    def rewrite(self, path: str, data: bytes, before: FileStat) -> None:
        """Like write_bytes, for a file that is there: its owner, mode, ACL and extended attributes stay."""
        from orchestr.agent import filesystem

        attributes = filesystem.attributes_of(path)
        filesystem.write_atomically(
            path, [data], before.mode, before.uid, before.gid, self.run_id, attributes=attributes
        )

    def write_blob(
        self, path: str, digest: str, size_bytes: int, *, mode: int = 0o600, uid: int = 0, gid: int = 0
    ) -> None:
        """Like write_bytes, the content fetched from the controller by its sha256 and checked against it."""
        from orchestr.agent import filesystem

        filesystem.write_atomically(path, self.blob(digest, size_bytes), mode, uid, gid, self.run_id, digest)

    def blob(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob's content from the controller, chunk by chunk."""
        if self._fetch is None:
            raise OSError("this run has no controller to fetch from")
        return self._fetch(digest, size_bytes)

    def make_directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Make a directory and its missing parents (0755, owned by the agent's user)."""
        parent = os.path.dirname(path.rstrip("/"))
        if parent:
            os.makedirs(parent, mode=0o755, exist_ok=True)
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
        os.chown(path, uid, gid)
        os.chmod(path, mode)

    def set_mode(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        os.chown(path, uid, gid, follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        """Make or replace a symbolic link in one step."""
        from orchestr.agent import filesystem

        filesystem.symlink_atomically(target, path)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole directory tree; nothing there is fine."""
        from orchestr.agent import filesystem

        self.allow(LONGEST_REMOVAL_S)
        filesystem.remove(path, self.run_id)
        self.settle()

    def confirm_reachable(self, window_s: float) -> bool:
        """Ask the controller for a new connection to this host; return True when it came within ``window_s``."""
        return self._confirm is not None and self._confirm(window_s)


def _open_regular(path: str) -> "BinaryIO":
    """Open a regular file to read. Raises OSError for anything else: a FIFO or a device would block or never end.

    A user of the host may put one where a file is expected; neither waits here for a writer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    mode = os.fstat(descriptor).st_mode
    if not stat_module.S_ISREG(mode):
        os.close(descriptor)
        number = errno.EISDIR if stat_module.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, os.strerror(number) if number == errno.EISDIR else "not a regular file", path)
    return os.fdopen(descriptor, "rb")


def _ignore(seconds: float = 0.0) -> None:
    """Take no note of progress: without an agent nobody watches."""


def _text(output: bytes) -> str:
    """Return the text of a command's output; a CUT is its end when it was longer than OUTPUT_LIMIT."""
    if len(output) <= OUTPUT_LIMIT:
        return output.decode("utf-8", "replace")
    return output[: OUTPUT_LIMIT - 1].decode("utf-8", "replace") + CUT


def _id_in(table: Optional[str], name: str) -> Optional[int]:
    if name.isdigit():
        return int(name)
    for line in (table or "").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[0] == name:
            return int(fields[2])
    return None
