"""Atomic writes: no reader ever sees half a file, and a replaced file can be restored.

A new file is a 0600 temporary with a random name in the destination directory: owner and mode set, fsync, rename,
fsync of the directory. The file it replaces is kept under ``/var/lib/orchestr/backups/<run>/`` (0700), where
``orchestr rollback`` finds it.
"""

from __future__ import annotations

import os
from errno import ENODATA, ENOENT, ENOSYS, EOPNOTSUPP

from orchestr.agent.light_threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Optional, Set, Tuple

STATE_DIRECTORY = "/var/lib/orchestr"
PREFIX = ".orchestr-"
BACKUPS_KEPT = 10  # runs whose replaced files are kept on a host

_unfinished: Set[str] = set()
_beginning = Lock()  # held while a temporary is made and noted, so that none is missed when writing ends


def write_atomically(
    path: str,
    chunks: Iterable[bytes],
    mode: int,
    uid: int,
    gid: int,
    run_id: str = "",
    sha256: str = "",
    attributes: Iterable[Tuple[str, bytes]] = (),
) -> None:
    """Replace ``path`` by the chunks joined. Raises OSError (nothing changed then), also on a wrong ``sha256``.

    ``attributes`` are extended attributes the new file gets (`attributes_of`), its ACL among them.
    """
    from hashlib import sha256 as new_sha256
    from tempfile import mkstemp

    directory = os.path.dirname(path) or "/"
    with _beginning:
        descriptor, temporary = mkstemp(prefix=PREFIX, dir=directory)
        _unfinished.add(temporary)
    try:
        digest = new_sha256()
        with os.fdopen(descriptor, "wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                digest.update(chunk)
            stream.flush()
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            for name, value in attributes:
                _set_attribute(stream.fileno(), name, value)
            os.fsync(stream.fileno())
        if sha256 and digest.hexdigest() != sha256:
            raise OSError("the content that arrived for %s is damaged (sha256 differs)" % path)
        keep(path, run_id)
        os.rename(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    finally:
        _unfinished.discard(temporary)
    sync_directory(directory)


def attributes_of(path: str) -> List[Tuple[str, bytes]]:
    """Return (name, value) of a file's extended attributes, ACL and SELinux label among them; [] if unsupported."""
    if not hasattr(os, "listxattr"):
        return []
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
    except OSError as error:
        if error.errno in (ENOENT, ENODATA, EOPNOTSUPP, ENOSYS):
            return []
        raise


def _set_attribute(descriptor: int, name: str, value: bytes) -> None:
    """Set an extended attribute. Raises OSError only for an ACL: mode bits without it give the group other rights."""
    try:
        os.setxattr(descriptor, name, value)
    except OSError:
        if name.startswith("system.posix_acl"):
            raise


def symlink_atomically(target: str, path: str) -> None:
    """Make ``path`` a symbolic link to ``target``, replacing a file or link in one step."""
    import shutil
    from tempfile import mkdtemp

    directory = os.path.dirname(path) or "/"
    with _beginning:
        holder = mkdtemp(prefix=PREFIX, dir=directory)
        _unfinished.add(holder)
    try:
        temporary = os.path.join(holder, "link")
        os.symlink(target, temporary)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        _unfinished.discard(holder)
    sync_directory(directory)


def remove(path: str, run_id: str = "") -> None:
    """Remove a file, link or tree; a file is kept for rollback first."""
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
        return
    keep(path, run_id)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(os.path.dirname(path) or "/")


def keep(path: str, run_id: str) -> Optional[str]:
    """Copy a regular file that is about to change to this run's backups, once; return where, None if not kept."""
    if not run_id or os.path.islink(path) or not os.path.isfile(path):
        return None
    target = os.path.join(STATE_DIRECTORY, "backups", run_id, path.lstrip("/"))
    if os.path.exists(target):
        return target
    os.makedirs(STATE_DIRECTORY, mode=0o700, exist_ok=True)
    os.chmod(STATE_DIRECTORY, 0o700)
    if not os.path.isdir(os.path.join(STATE_DIRECTORY, "backups", run_id)):
        _forget_old_backups(os.path.join(STATE_DIRECTORY, "backups"))
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    status = os.stat(path)
    temporary = target + PREFIX
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with open(path, "rb") as source, os.fdopen(descriptor, "wb") as copy:
        for chunk in iter(lambda: source.read(1 << 20), b""):
            copy.write(chunk)
        copy.flush()
        os.fchown(copy.fileno(), status.st_uid, status.st_gid)
        os.fchmod(copy.fileno(), status.st_mode & 0o7777)
        os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(temporary, target)
    return target


def _forget_old_backups(directory: str) -> None:
    """Keep the backups of the last BACKUPS_KEPT runs (names begin with the time): they may hold old secrets."""
    import shutil

    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    for name in names[: max(0, len(names) - BACKUPS_KEPT + 1)]:
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


def sync_directory(path: str) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_no_more() -> None:
    """Let no write begin in this process from now on: a thread that tries waits for the process's end."""
    _beginning.acquire(timeout=2)  # a directory that hangs must not keep the agent alive


def discard_unfinished() -> None:
    """Remove the temporaries of writes that will not finish (the controller is gone)."""
    for temporary in list(_unfinished):
        _discard(temporary)


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except IsADirectoryError:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass
