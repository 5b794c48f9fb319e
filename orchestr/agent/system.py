"""The only door to the host: run commands, read and write files, look at sockets and the clock.

``Reader`` cannot change anything and is all that ``observe`` gets, so check mode is pure by construction.
``System`` adds the writing half. Tests replace both with ``orchestr.transport.memory``.
"""

from __future__ import annotations

import os
import stat as stat_module
import time

from orchestr.agent import door, facts, process
from orchestr.agent.digest import new_sha256
from orchestr.agent.record import record
from orchestr.agent.secret import CUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

OUTPUT_LIMIT = 4 * 1024 * 1024  # bytes kept of a command's stdout or stderr
LONGEST_REMOVAL_S = 24 * 3600.0  # of a tree of any size
BRIEF = "brief"  # the family of what is remembered only while this agent changes nothing and waits for nothing
READ_LIMIT = 64 * 1024 * 1024  # bytes of a file that is read whole: a user may put one of any size where it is expected
DIGEST_LIMIT = 1 << 36  # bytes of a file whose sha256 is taken: a user's may have any size, and no content
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
    ``inode`` tells whether two of them are of one file (0: unknown).
    """

    type: str
    mode: int
    uid: int
    gid: int
    size_bytes: int
    changed_ns: int
    target: str = ""
    modified_ns: int = 0
    inode: int = 0


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
        #: True once the task at work has begun to change the host
        self.has_begun = False
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
        """Return ``read()``, remembered under ``key`` (family first) until one of the family applies.

        With the family BRIEF it is remembered until anything is applied, run or waited for.
        """
        if key not in self._cache:
            self._cache[key] = read()
        return self._cache[key]

    def forget(self, families: Tuple[str, ...]) -> None:
        """Drop the remembered reads of these families; "*" drops all."""
        if "*" in families:
            self._cache.clear()
        for key in [key for key in self._cache if key[0] in families or key[0] == BRIEF]:
            del self._cache[key]

    # -- files ----------------------------------------------------------------------------------------------------
    def read_bytes(self, path: str, limit: Optional[int] = None) -> Optional[bytes]:
        """Return a file's content, None when there is no such file.

        Raises OSError otherwise, also for more than READ_LIMIT bytes without a ``limit``.
        """
        content = self._read(path, limit)
        return None if content is None else content[0]

    def read_file(self, path: str) -> Optional[Tuple[bytes, FileStat]]:
        """Return a file's content and the stat of this very file, for `System.rewrite`; else as `read_bytes`."""
        return self._read(path, None)

    def _read(self, path: str, limit: Optional[int]) -> Optional[Tuple[bytes, FileStat]]:
        try:
            with os.fdopen(door.open_file(path), "rb", 0) as stream:
                status = os.fstat(stream.fileno())
                data = _read_at_most(stream, READ_LIMIT + 1 if limit is None else limit)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if limit is None and len(data) > READ_LIMIT:
            raise OSError("%s is larger than the %d MiB that are read of a file" % (path, READ_LIMIT >> 20))
        return data, _file_stat(status, "")

    def read_text(self, path: str) -> Optional[str]:
        """Return a file's content as text (undecodable bytes replaced), None when there is no such file."""
        data = self.read_bytes(path)
        return None if data is None else data.decode("utf-8", "replace")

    def stat(self, path: str) -> Optional[FileStat]:
        """Return the result of lstat, None when the path does not exist."""
        seized = door.seize(path)
        if seized is not None:
            try:
                status = os.fstat(seized)
            finally:
                os.close(seized)
            if not stat_module.S_ISLNK(status.st_mode):
                return _file_stat(status, "")
        try:
            with door.enter(path) as entry:
                status = entry.stat()
                target = (entry.target() or "") if stat_module.S_ISLNK(status.st_mode) else ""
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _file_stat(status, target)

    def real_path(self, path: str) -> str:
        """Return the path that a link at ``path`` leads to, any other path as it is: where a file is edited in place.

        Raises UnsafePath for a link that a user of the host could have put there.
        """
        status = self.stat(path)
        if status is None or status.type != "link":
            return path
        try:
            with door.enter(path, follow=True) as entry:
                return entry.path
        except (FileNotFoundError, NotADirectoryError):
            return path

    def list_directory(self, path: str) -> List[str]:
        """Return the sorted names in a directory; empty when there is none."""
        try:
            descriptor = door.open_directory(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    def digest(self, path: str) -> Optional[str]:
        """Return the sha256 (hex) of a file, None when it does not exist; in check mode, the predicted one."""
        if path in self.predicted:
            return self.predicted[path]
        try:
            with os.fdopen(door.open_file(path), "rb", 0) as stream:
                size = os.fstat(stream.fileno()).st_size
                most = min(size + 1, 1 << 20)  # a buffer costs as much as it holds
                digest, left = new_sha256(size), min(size, DIGEST_LIMIT) + READ_LIMIT
                for chunk in iter(lambda: stream.read(most), b""):
                    digest.update(chunk)
                    self.allow(0.0)
                    left -= len(chunk)
                    if left < 0:
                        raise OSError("%s is too large to compare, or grows as it is read" % path)
                return str(digest.hexdigest())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def pinned(self, path: str, private: bool = False) -> Any:
        """Return a context whose value is a name of this directory for commands, which nobody can lead elsewhere.

        With ``private`` it raises UnsafePath unless only the agent's user can enter that directory.
        """
        return _filesystem().Pinned(path, private)

    def is_exposed(self, path: str) -> bool:
        """Return True if a user of the host can replace something on the way to a path. Raises OSError."""
        with door.enter(path) as entry:
            return entry.culprit() is not None

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

    def user_id(self, name: str) -> Optional[int]:
        """Return the uid of a user name (a number stands for itself), None when there is no such user."""
        return self._id_in("/etc/passwd", name)

    def group_id(self, name: str) -> Optional[int]:
        """Return the gid of a group name (a number stands for itself), None when there is no such group."""
        return self._id_in("/etc/group", name)

    def _id_in(self, table: str, name: str) -> Optional[int]:
        if name.isdigit():
            return int(name)
        ids: Dict[str, int] = self.once((BRIEF, "ids", table), lambda: _ids_of(self.read_text(table)))
        return ids.get(name)

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
        _filesystem().write_atomically(path, [data], mode, uid, gid)

    def rewrite(self, path: str, data: bytes, before: FileStat) -> None:
        """Like write_bytes, for a file that `read_file` read: its owner, mode, ACL and extended attributes stay.

        Raises OSError when it is not that file any more.
        """
        seen = (before.inode, before.changed_ns)
        _filesystem().write_atomically(path, [data], before.mode, before.uid, before.gid, seen=seen)

    def attributes(self, path: str) -> List[Tuple[str, bytes]]:
        """Return (name, value) of the extended attributes that `rewrite` keeps, the ACL first. Raises OSError."""
        attributes: List[Tuple[str, bytes]] = _filesystem().attributes_at(path)
        return attributes

    def write_blob(
        self, path: str, digest: str, size_bytes: int, *, mode: int = 0o600, uid: int = 0, gid: int = 0
    ) -> None:
        """Like write_bytes, the content fetched from the controller by its sha256 and checked against it."""
        _filesystem().write_atomically(path, self.blob(digest, size_bytes), mode, uid, gid, digest)

    def adopt(self, path: str, digest: str, *, mode: int, uid: int, gid: int) -> None:
        """Set owner and mode of a file that has this sha256; a new file takes its place where a user may have it open.

        Raises OSError for any other content: only a file that is as wanted is given to somebody.
        """
        _filesystem().adopt(path, digest, mode, uid, gid)

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
        _filesystem().make_directory(path, mode, uid, gid, must_be_new)

    def set_mode(self, path: str, mode: int) -> None:
        _filesystem().set_attributes(path, mode)

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        """Set owner and group (-1: as it is) of a file, directory or link itself."""
        _filesystem().set_attributes(path, None, uid, gid)

    def symlink(self, target: str, path: str) -> None:
        """Make or replace a symbolic link in one step."""
        _filesystem().symlink_atomically(target, path)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole directory tree; nothing there is fine."""
        self.allow(LONGEST_REMOVAL_S)
        _filesystem().remove(path)
        self.settle()

    def rename(self, source: str, target: str) -> None:
        """Rename a file or directory; an empty directory at ``target`` is replaced. Raises OSError."""
        _filesystem().rename(source, target)

    def remove_empty(self, path: str) -> None:
        """Remove an empty directory. Raises OSError for one with content."""
        _filesystem().remove_empty(path)

    def remove_leftovers(self) -> None:
        """Remove what agents that were killed left."""
        _filesystem().leftovers.remove()

    def confirm_reachable(self, window_s: float) -> bool:
        """Ask the controller for a new connection to this host; return True when it came within ``window_s``."""
        return self._confirm is not None and self._confirm(window_s)


def _filesystem() -> Any:
    """Return the module that writes; it is sent to a host once a task changes something there."""
    from orchestr.agent import filesystem

    return filesystem


def _read_at_most(stream: BinaryIO, limit: int) -> bytes:
    """Return what a file holds, at most ``limit`` bytes of it."""
    pieces, left = [], limit
    most = min(max(os.fstat(stream.fileno()).st_size + 1, 1 << 16), 1 << 20)  # a buffer costs as much as it holds
    while left > 0:
        piece = stream.read(min(left, most))
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


_TYPES = {
    stat_module.S_IFREG: "file",
    stat_module.S_IFDIR: "directory",
    stat_module.S_IFLNK: "link",
    stat_module.S_IFIFO: "FIFO",
    stat_module.S_IFSOCK: "socket",
}


def _file_stat(status: os.stat_result, target: str) -> FileStat:
    return FileStat(
        _TYPES.get(stat_module.S_IFMT(status.st_mode), "device"),
        stat_module.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_ctime_ns,
        target,
        status.st_mtime_ns,
        status.st_ino,
    )


def _ignore(seconds: float = 0.0) -> None:
    """Take no note of progress: without an agent nobody watches."""


def _text(output: bytes) -> str:
    """Return the text of a command's output; a CUT is its end when it was longer than OUTPUT_LIMIT."""
    if len(output) <= OUTPUT_LIMIT:
        return output.decode("utf-8", "replace")
    return output[: OUTPUT_LIMIT - 1].decode("utf-8", "replace") + CUT


def _ids_of(table: Optional[str]) -> Dict[str, int]:
    """Return name → number of an accounts file (passwd(5), group(5)); the first line of a name counts."""
    ids: Dict[str, int] = {}
    for line in (table or "").splitlines():
        fields = line.split(":", 3)
        if len(fields) > 2 and fields[2].isdigit():
            ids.setdefault(fields[0], int(fields[2]))
    return ids
