"""Atomic writes: no reader ever sees half a file.

A new file is a 0600 temporary with a random name in the destination directory: owner and mode set, fsync, rename,
fsync of the directory. Nothing is kept of the file it replaces, which may hold secrets. All of it happens in
directories that `door` holds open.
"""

from __future__ import annotations

import os
import stat as stat_module
from errno import EBADF, ENODATA, ENOENT, ENOSYS, EOPNOTSUPP

from orchestr.agent import door, leftovers
from orchestr.agent.digest import new_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, List, Optional, Tuple, TypeVar

    from orchestr.agent.door import Entry

    Made = TypeVar("Made")

ACL = "system.posix_acl_access"
#: Attributes that say something about the content, which is another one now.
OF_CONTENT = ("security.capability", "security.ima", "security.evm")


def write_atomically(
    path: str,
    chunks: Iterable[bytes],
    mode: int,
    uid: int,
    gid: int,
    sha256: str = "",
    seen: Optional[Tuple[int, int]] = None,
) -> None:
    """Replace ``path`` by the chunks joined. Raises OSError (nothing changed then), also on a wrong ``sha256``.

    With ``seen``, the (inode, ctime) of the file that the chunks were made from, that file must still be there
    unchanged; its ACL and extended attributes stay. A link at ``path`` is replaced, not followed.
    """
    from hashlib import sha256 as hashlib_sha256

    with door.enter(path) as entry:
        descriptor, temporary = _begin(entry, _create)

        def fill() -> None:
            digest = hashlib_sha256()
            with os.fdopen(descriptor, "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                    digest.update(chunk)
                stream.flush()
                os.fchown(stream.fileno(), uid, gid)
                if seen is None:
                    os.fchmod(stream.fileno(), mode)
                else:
                    _set_rights(stream.fileno(), mode, _attributes_seen(entry, seen))
                os.fsync(stream.fileno())
            if sha256 and digest.hexdigest() != sha256:
                raise OSError("the content that arrived for %s is damaged (sha256 differs)" % path)

        _publish(entry, temporary, fill)


def _publish(entry: Entry, temporary: str, fill: Callable[[], None]) -> None:
    """Give a temporary the name of the entry once ``fill`` has completed it; it is removed if that fails."""
    try:
        fill()
        os.rename(temporary, entry.name, src_dir_fd=entry.directory, dst_dir_fd=entry.directory)
    except BaseException:
        door.discard(entry.directory, temporary)
        raise
    finally:
        door.unfinished.discard((entry.directory, temporary))
    _sync(entry)


def _sync(entry: Entry) -> None:
    """Make renames in the directory of the entry durable."""
    try:
        os.fsync(entry.directory)
    except OSError as error:
        if error.errno != EBADF:  # a directory that may be passed but not read
            raise


def _begin(entry: Entry, make: Callable[[str, int], Made]) -> Tuple[Made, str]:
    """Make something under a random name beside the entry, and note it as unfinished; return it and the name."""
    _sweep(entry)
    with door.beginning:
        temporary = "%s%d-%s" % (leftovers.PREFIX, os.getpid(), os.urandom(8).hex())
        leftovers.note("%s/%s" % (entry.folder.rstrip("/"), temporary))
        made = make(temporary, entry.directory)
        door.unfinished.add((entry.directory, temporary))
        return made, temporary


def _sweep(entry: Entry) -> None:
    """Remove what an agent that was killed left beside the entry: its process is no more."""
    try:
        names = [name for name in os.listdir(entry.directory) if name.startswith(leftovers.PREFIX)]
    except OSError:  # a directory that may be passed but not listed
        return
    for name in names:
        pid = name[len(leftovers.PREFIX) :].partition("-")[0]
        if pid.isdigit() and not leftovers.is_agent(pid):
            door.discard(entry.directory, name)


def _create(name: str, directory: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=directory)


def _attributes_seen(entry: Entry, seen: Tuple[int, int]) -> List[Tuple[str, bytes]]:
    """Return the attributes of the file at the entry. Raises OSError when it is not the one that was ``seen``."""
    descriptor = entry.open_regular()
    try:
        status = os.fstat(descriptor)
        if (status.st_ino, status.st_ctime_ns) != seen:
            raise OSError("%s was changed by somebody else while it was edited; run again" % entry.path)
        return attributes_of(descriptor)
    finally:
        os.close(descriptor)


def attributes_at(path: str) -> List[Tuple[str, bytes]]:
    """Return the attributes that an edit of the file at a path keeps, the ACL first. Raises OSError."""
    descriptor = door.open_file(path)
    try:
        return _kept(attributes_of(descriptor))
    finally:
        os.close(descriptor)


def _kept(attributes: List[Tuple[str, bytes]]) -> List[Tuple[str, bytes]]:
    return sorted((pair for pair in attributes if pair[0] not in OF_CONTENT), key=lambda pair: pair[0] != ACL)


def attributes_of(file: "int | str") -> List[Tuple[str, bytes]]:
    """Return (name, value) of a file's extended attributes, ACL and SELinux label among them; [] if unsupported."""
    if not hasattr(os, "listxattr"):
        return []
    try:
        return [(name, os.getxattr(file, name)) for name in os.listxattr(file)]
    except OSError as error:
        if error.errno in (ENOENT, ENODATA, EOPNOTSUPP, ENOSYS):
            return []
        raise


def _set_rights(descriptor: int, mode: int, attributes: List[Tuple[str, bytes]]) -> None:
    """Set mode and attributes of a new file, so that at no moment anybody has a right that they do not give.

    The ACL comes first: where there is one, the group's bits of ``mode`` are its mask, no right of the group.
    """
    kept = _kept(attributes)
    if not any(name == ACL for name, _ in kept):
        _drop_acl(descriptor)  # one that the directory gives to every new file
    for name, value in kept:
        _set_attribute(descriptor, name, value)
        if name == ACL:
            _set_mode(descriptor, mode)
    _set_mode(descriptor, mode)


def _set_mode(descriptor: int, mode: int) -> None:
    if stat_module.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


def _drop_acl(descriptor: int) -> None:
    try:
        os.removexattr(descriptor, ACL)
    except (OSError, AttributeError):  # there is none
        pass


def _set_attribute(descriptor: int, name: str, value: bytes) -> None:
    """Set an extended attribute. Raises OSError only for an ACL: mode bits without it give the group other rights."""
    try:
        os.setxattr(descriptor, name, value)
    except OSError:
        if name.startswith("system.posix_acl"):
            raise


def symlink_atomically(target: str, path: str) -> None:
    """Make ``path`` a symbolic link to ``target``, replacing a file or link in one step."""

    def link(name: str, directory: int) -> None:
        os.symlink(target, name, dir_fd=directory)

    with door.enter(path) as entry:
        _, temporary = _begin(entry, link)
        _publish(entry, temporary, lambda: None)  # a link is whole when it is made


def make_directory(path: str, mode: int, uid: int, gid: int, must_be_new: bool = False) -> None:
    """Make a directory and its missing parents (0755, the agent's); one that is there gets mode and owner.

    Raises OSError where there is one and it ``must_be_new``, and UnsafePath for one of root's with content that a user
    may have moved there and that would become readable for others.
    """
    with door.enter(path, follow=True, make_parents=True) as entry:
        try:
            os.mkdir(entry.name, 0o700, dir_fd=entry.directory)
            is_new = True
        except FileExistsError:
            if must_be_new:
                raise
            is_new = False
        descriptor = door.open_directory_at(entry)
        try:
            _require_own(entry, descriptor, is_new, mode, (uid, gid))
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def _require_own(entry: Entry, descriptor: int, is_new: bool, mode: int, owners: Tuple[int, int]) -> None:
    """Raise UnsafePath when a directory is not the one that was made, or is given to others with what is in it."""
    status, culprit = os.fstat(descriptor), entry.culprit()
    if culprit is None:
        return
    is_roots = door.is_trusted(status.st_uid)
    is_given = owners[0] not in (-1, status.st_uid) or (owners[1] not in (-1, status.st_gid) and mode & 0o070)
    gives_away = is_given or mode & ~status.st_mode & 0o077
    if (is_new and not is_roots) or ((is_new or (is_roots and gives_away)) and os.listdir(descriptor)):
        raise door.UnsafePath(
            "%s is a directory of user %d with content, and others can write to %s: they may have moved it there"
            % (entry.path, status.st_uid, culprit[0]),
            entry.path,
            "look at what is in it, then set its owner and mode by hand, or move it away",
        )


def set_attributes(path: str, mode: Optional[int], uid: int = -1, gid: int = -1) -> None:
    """Set owner (-1: as it is) and mode (None: as it is) of what is at a path; a link is not followed."""
    with door.enter(path) as entry:
        descriptor = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=entry.directory)
        try:
            status, itself = os.fstat(descriptor), "/proc/self/fd/%d" % descriptor
            entry.require_own_name(status)
            if mode is not None and stat_module.S_ISLNK(status.st_mode):
                raise OSError("%s is a link, which has no mode" % entry.path)
            if (uid, gid) != (-1, -1):
                os.chown(itself, uid, gid)
            if mode is not None:
                os.chmod(itself, mode)
        finally:
            os.close(descriptor)


class Pinned:
    """A directory held open, and as the value of a ``with`` a name of it that commands of this host can use."""

    def __init__(self, path: str, private: bool) -> None:
        self._path, self._is_private = path, private
        self._descriptor = -1

    def __enter__(self) -> str:
        self._descriptor = door.open_directory(self._path)
        status = os.fstat(self._descriptor)
        if self._is_private and (not door.is_trusted(status.st_uid) or status.st_mode & 0o077):
            self.__exit__()
            exchanged = "%s was exchanged by %s" % (self._path, door.named(status.st_uid))
            raise door.UnsafePath(exchanged, self._path, "run the same command again")
        return "/proc/%d/fd/%d" % (os.getpid(), self._descriptor)

    def __exit__(self, *error: Any) -> None:
        os.close(self._descriptor)


def adopt(path: str, sha256: str, mode: int, uid: int, gid: int) -> None:
    """Set owner and mode of the regular file with this sha256. Raises OSError for any other.

    A user who owned it may have it open to write, so one that gets another owner is copied and replaced.
    """
    with door.enter(path) as entry, os.fdopen(entry.open_regular(), "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_uid not in (uid, 0, os.geteuid()):
            chunks = iter(lambda: stream.read(1 << 20), b"")
            write_atomically(path, chunks, mode, uid, gid, sha256)
            return
        digest = new_sha256(status.st_size)
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise OSError("%s was changed by somebody else meanwhile; run again" % path)
        os.fchown(stream.fileno(), uid, gid)
        os.fchmod(stream.fileno(), mode)


def rename(source: str, target: str) -> None:
    """Rename a file or directory; an empty directory at ``target`` is replaced. Raises OSError."""
    with door.enter(source) as before, door.enter(target) as after:
        os.rename(before.name, after.name, src_dir_fd=before.directory, dst_dir_fd=after.directory)
        _sync(before)
        _sync(after)


def remove_empty(path: str) -> None:
    """Remove an empty directory. Raises OSError for one with content."""
    with door.enter(path) as entry:
        os.rmdir(entry.name, dir_fd=entry.directory)
        _sync(entry)


def remove(path: str) -> None:
    """Remove a file, link or tree. Nothing there is fine."""
    try:
        with door.enter(path) as entry:
            if stat_module.S_ISDIR(entry.stat().st_mode):
                remove_tree(entry.name, entry.directory)
                return
            os.unlink(entry.name, dir_fd=entry.directory)
            _sync(entry)
    except (FileNotFoundError, NotADirectoryError):
        return


def remove_tree(name: str, directory: int) -> None:
    """Remove a directory with all it holds; links are removed, never followed."""
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        for child in os.listdir(descriptor):
            try:
                os.unlink(child, dir_fd=descriptor)
            except IsADirectoryError:
                remove_tree(child, descriptor)
            except FileNotFoundError:
                pass
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=directory)
