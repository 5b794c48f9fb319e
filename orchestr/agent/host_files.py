"""Files of the host, as `observe` reads them."""

from __future__ import annotations

import os
import stat as stat_module

from orchestr.agent import door
from orchestr.agent.digest import new_sha256
from orchestr.agent.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

READ_LIMIT = 64 * 1024 * 1024  # bytes of a file that is read whole: a user may put one of any size where it is expected
DIGEST_LIMIT = 1 << 36  # bytes of a file whose sha256 is taken: a user's may have any size, and no content
BRIEF = "brief"  # the family of what is remembered only while this agent changes nothing and waits for nothing


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


class FileReader:
    """The part of a Reader that reads files."""

    def __init__(self) -> None:
        self._cache: Dict[Tuple[str, ...], Any] = {}
        #: check mode: path → sha256 that a file would have after the changes so far (None: gone)
        self.predicted: Dict[str, Optional[str]] = {}
        #: Progress of a task: ``allow(seconds)`` before a step with a time limit of its own, ``settle()`` after it.
        self.allow: Callable[[float], None] = _ignore
        self.settle: Callable[[], None] = _ignore

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
        return filesystem().Pinned(path, private)

    def is_exposed(self, path: str) -> bool:
        """Return True if a user of the host can replace something on the way to a path. Raises OSError."""
        with door.enter(path) as entry:
            return entry.culprit() is not None

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


def filesystem() -> Any:
    # It is sent to a host once a task changes something there.
    from orchestr.agent import filesystem

    return filesystem


def _read_at_most(stream: BinaryIO, limit: int) -> bytes:
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
    pass  # without an agent nobody watches


def _ids_of(table: Optional[str]) -> Dict[str, int]:
    # passwd(5), group(5): the first line of a name counts
    ids: Dict[str, int] = {}
    for line in (table or "").splitlines():
        fields = line.split(":", 3)
        if len(fields) > 2 and fields[2].isdigit():
            ids.setdefault(fields[0], int(fields[2]))
    return ids
