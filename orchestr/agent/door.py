"""The way to a file, walked one name at a time, so that nobody can lead root elsewhere.

A user of the host can put a link, a FIFO or another name of somebody's file wherever that user may write, also between
two calls. So no path is handed to the kernel as a whole: every directory on the way is opened from the one before it,
links not followed, and held open while its entry is read or changed. A link is followed only where it is root's (or of
the user the agent runs as), and nobody else can write to the directory that holds it, nor replace anything on the way
to that directory: /var/run, and links of the administrator. Any other link is refused with an `UnsafePath`.

Sources: openat(2), symlink(7), path_resolution(7), proc(5) for fd/.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module

from orchestr.agent.light_threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Set, Tuple

MAX_LINKS = 40  # as the kernel has it
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITABLE_BY_OTHERS = 0o022
#: Temporaries of writes that have begun: (descriptor of the directory, name in it).
unfinished: Set[Tuple[int, str]] = set()
beginning = Lock()  # held while a temporary is made and noted, so that none is missed when writing ends
#: Where agents note temporaries before they make them (`leftovers`); "" is nowhere.
notes_directory = ""
notes: List[Tuple[int, str]] = []  # descriptor and path of this agent's notes, once there are any
_root: List[int] = []  # a descriptor of /, which stays open


class UnsafePath(OSError):
    """A path leads over something that a user of the host controls. ``next_step`` says how to go on."""

    def __init__(self, message: str, path: str, next_step: str) -> None:
        super().__init__(errno.ELOOP, message, path)
        self.next_step = next_step

    def __str__(self) -> str:
        return str(self.strerror)


class Entry:
    """A name in a directory that is held open: ``name`` and ``directory`` (a descriptor) are for ``dir_fd`` calls.

    ``path`` is the whole way without links, for messages. Close it, or use it in a ``with``.
    """

    __slots__ = ("_names", "_way", "name")

    def __init__(self) -> None:
        if not _root:
            _root.append(os.open("/", _DIRECTORY))
        self._way: List[int] = [_root[0]]
        self._names: List[str] = []
        self.name = "."

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OSError) and isinstance(error.filename, str) and not error.filename.startswith("/"):
            error.filename = self.path  # a name alone says nothing to a reader
            error.filename2 = None
        self.close()

    def close(self) -> None:
        """Close all directories of the way."""
        while len(self._way) > 1:
            os.close(self._way.pop())

    @property
    def directory(self) -> int:
        return self._way[-1]

    @property
    def folder(self) -> str:
        """Return the path of the directory that holds the entry."""
        return "/" + "/".join(self._names)

    @property
    def path(self) -> str:
        return self.folder if self.name == "." else self.folder.rstrip("/") + "/" + self.name

    # -- the way ------------------------------------------------------------------------------------------------------
    def down(self, name: str) -> None:
        """Go into a directory. Raises NotADirectoryError, also for a link."""
        self._way.append(_open_directory(name, self._way[-1]))
        self._names.append(name)

    def up(self) -> None:
        """Go back to the directory before; from / to /."""
        if self._names:
            os.close(self._way.pop())
            self._names.pop()

    def restart(self) -> None:
        """Go back to /."""
        self.close()
        self._names.clear()

    def culprit(self) -> Optional[Tuple[str, int]]:
        """Return the first directory of the way in which others can replace names, and its owner; None without one."""
        for folder, status in self.open_directories():
            return folder, status.st_uid
        return None

    def open_directories(self) -> Iterator[Tuple[str, os.stat_result]]:
        """Yield the directories of the way in which others can replace names.

        In a directory with the sticky bit (/tmp) nobody can replace what root owns, but anybody can make new names.
        """
        for number, descriptor in enumerate(self._way):
            status = os.fstat(descriptor)
            is_held = status.st_mode & stat_module.S_ISVTX and number + 1 < len(self._way)
            if not is_trusted(status.st_uid) or (status.st_mode & _WRITABLE_BY_OTHERS and not is_held):
                yield "/" + "/".join(self._names[:number]), status

    # -- the entry ----------------------------------------------------------------------------------------------------
    def stat(self) -> os.stat_result:
        """Return the result of lstat. Raises FileNotFoundError."""
        return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def target(self) -> Optional[str]:
        """Return the text of a link, None for anything else."""
        return _target(self.name, self.directory)

    def open_regular(self, shown: str = "") -> int:
        """Open a regular file to read. Raises UnsafePath for a FIFO or a device, which would block or never end."""
        descriptor = os.open(self.name, _REGULAR, dir_fd=self.directory)
        try:
            status = os.fstat(descriptor)
            if not stat_module.S_ISREG(status.st_mode):
                if stat_module.S_ISDIR(status.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
                path = shown or self.path
                raise UnsafePath("%s is not a regular file" % path, path, "move it away first")
            self.require_own_name(status)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def require_own_name(self, status: os.stat_result) -> None:
        """Raise UnsafePath for a file of somebody else that a user gave a second name here (link(2))."""
        if status.st_nlink < 2 or stat_module.S_ISDIR(status.st_mode):
            return
        culprit = self.culprit()
        if culprit is not None and (is_trusted(status.st_uid) or status.st_uid != os.fstat(self.directory).st_uid):
            raise UnsafePath(
                "%s is one of several names of a file of %s, and others can write to %s: it is not used"
                % (self.path, named(status.st_uid), culprit[0]),
                self.path,
                "remove %s, or copy it in its place" % self.path,
            )


def enter(path: str, follow: bool = False, make_parents: bool = False) -> Entry:
    """Return the entry a path names; with ``follow``, the one it leads to when it is a link.

    ``make_parents`` makes missing directories of the way (0755, the agent's). Raises UnsafePath, FileNotFoundError,
    NotADirectoryError, OSError.
    """
    entry = Entry()
    try:
        _walk(entry, path, follow, make_parents)
    except BaseException as error:
        entry.close()
        if isinstance(error, OSError) and not isinstance(error, UnsafePath):
            error.filename = path
        raise
    return entry


def _walk(entry: Entry, path: str, follow: bool, make_parents: bool) -> None:
    if "\0" in path:
        raise ValueError("%r holds a null character" % path)
    names = _split(path if path.startswith("/") else os.path.join(os.getcwd(), path))
    links = 0
    while names:
        name = names.pop()
        if name == "..":
            entry.up()
            continue
        target = None
        if names:
            target = _go_down(entry, name, make_parents)
            if target is None:
                continue
        else:
            target = _target(name, entry.directory) if follow else None
            if target is None:
                entry.name = name
                return
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        _require_followable(entry, name, target)
        if target.startswith("/"):
            entry.restart()
        names += _split(target)


def _split(path: str) -> List[str]:
    """Return the names of a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _go_down(entry: Entry, name: str, make_missing: bool) -> Optional[str]:
    """Go into a directory of the way; return the text of a link instead, where it is one."""
    try:
        try:
            entry.down(name)
        except FileNotFoundError:
            if not make_missing:
                raise
            try:
                os.mkdir(name, 0o755, dir_fd=entry.directory)
            except FileExistsError:
                pass  # made by another just now
            entry.down(name)
        return None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        target = _target(name, entry.directory)
        if target is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
        return target


def _require_followable(entry: Entry, name: str, target: str) -> None:
    """Raise UnsafePath unless only trusted users could have put a link there, and it is theirs.

    In a directory of root's a link of another was put there by root, for that other one: data that was moved.
    """
    culprit, why = entry.culprit(), ""
    if culprit is not None:
        why = "%s of %s is not root's alone to write" % (culprit[0], named(culprit[1]))
    else:
        owner = os.stat(name, dir_fd=entry.directory, follow_symlinks=False).st_uid
        why = "" if is_trusted(owner) else "it belongs to %s" % named(owner)
    if why:
        link = "%s/%s" % (entry.folder.rstrip("/"), name)
        raise UnsafePath(
            "%s is a link to %s, and %s: the link is not followed" % (link, target, why),
            link,
            "name the path it leads to, or put a directory or file of its own in the place of the link",
        )


def seize(path: str) -> Optional[int]:
    """Return a descriptor (O_PATH) of the file or directory at a path that has no link on its way, else None.

    The kernel walks the path as a whole, and names the place of what it came to: another one means that it followed a
    link, and the way has to be walked name by name. Nothing is opened by that (a device may act on it), and a user can
    rename only files that are the user's to rename. Never raises.
    """
    try:
        descriptor = os.open(path, _PLACE)
    except (OSError, ValueError):
        return None
    try:
        if os.readlink("/proc/self/fd/%d" % descriptor) == path:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _open_seized(path: str) -> Optional[int]:
    """Open a regular file with one name and no link on its way, to read; None for anything else."""
    descriptor = seize(path)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat_module.S_ISREG(status.st_mode) or status.st_nlink > 1:
            return None
        return os.open("/proc/self/fd/%d" % descriptor, _REGULAR & ~os.O_NOFOLLOW)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def open_file(path: str) -> int:
    """Open a regular file to read, links followed where that is safe. Raises OSError."""
    opened = _open_seized(path)
    if opened is not None:
        return opened
    try:
        try:
            with enter(path) as entry:
                return entry.open_regular(path)
        except OSError as error:
            if error.errno != errno.ELOOP or isinstance(error, UnsafePath):
                raise
        with enter(path, follow=True) as entry:
            return entry.open_regular(path)
    except OSError as error:
        if not isinstance(error, UnsafePath):
            error.filename = path
        raise


def open_directory(path: str) -> int:
    """Open a directory to list it or to work in it, links followed where that is safe. Raises OSError."""
    with enter(path, follow=True) as entry:
        return open_directory_at(entry)


def open_directory_at(entry: Entry) -> int:
    """Open the directory that an entry is. Raises NotADirectoryError, also for a link."""
    return _open_directory(entry.name, entry.directory)


def _open_directory(name: str, directory: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory)
    except PermissionError:  # one that may be passed but not listed
        return os.open(name, _DIRECTORY | os.O_PATH, dir_fd=directory)


def _target(name: str, directory: int) -> Optional[str]:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def is_trusted(uid: int) -> bool:
    """Return True for root and the user the agent runs as."""
    return uid in (0, os.geteuid())


def named(uid: int) -> str:
    """Return the name of a user, for a message."""
    try:
        with open("/etc/passwd", encoding="utf-8", errors="replace") as stream:
            names = [line.split(":")[0] for line in stream if line.split(":")[2:3] == [str(uid)]]
    except OSError:
        names = []
    return "user %s" % (names[0] if names else uid)


# -- the end of the agent ---------------------------------------------------------------------------------------------
def begin_no_more() -> None:
    """Let no write begin in this process from now on: a thread that tries waits for the process's end."""
    beginning.acquire(timeout=2)  # a directory that hangs must not keep the agent alive


def discard_unfinished() -> None:
    """Remove the temporaries of writes that will not finish (the controller is gone)."""
    for directory, temporary in list(unfinished):
        discard(directory, temporary)


def discard_notes() -> None:
    """Remove this agent's notes: none of its temporaries is left."""
    while notes:
        descriptor, path = notes.pop()
        os.close(descriptor)
        try:
            os.unlink(path)
        except OSError:
            pass
    try:
        os.rmdir(notes_directory)
    except OSError:  # another agent has notes, or there is none
        pass


def discard(directory: int, name: str) -> None:
    """Remove a temporary, if it is there."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass
