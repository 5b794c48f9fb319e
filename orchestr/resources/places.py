"""Where files stand: whether a file can be written, replaced or removed at a path, before it is tried.

Sources: rename(2) (EBUSY for a mount point), ioctl_iflags(2) and lsattr(1) (immutable files), proc(5) for mountinfo.
"""

from __future__ import annotations

from orchestr.agent.resource import ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Set

    from orchestr.agent.system import FileStat, Reader

_AWAY = "move it away first"


def require_file_place(reader: Reader, path: str, may_be_link: bool = False) -> None:
    """Raise ResourceError unless ``path`` is a file (or link), or nothing, that can be replaced or removed."""
    _require_directory(reader, path.rstrip("/").rpartition("/")[0] or "/", path)
    status = require_file(reader, path, may_be_link)
    if path in mounts(reader):
        raise ResourceError(
            "%s is a mount point, so it cannot be replaced" % path,
            "change the file that is mounted there (findmnt %s), or unmount it" % path,
        )
    if status is not None and status.type == "file":
        _require_mutable(reader, path)


def require_file(reader: Reader, path: str, may_be_link: bool = False) -> Optional[FileStat]:
    """Return the stat of a file, None for nothing there. Raises ResourceError for a directory, a FIFO and the like."""
    status = reader.stat(path)
    if status is not None and status.type != "file" and not (may_be_link and status.type == "link"):
        raise ResourceError("%s is a %s, not a %s" % (path, status.type, "link" if may_be_link else "file"), _AWAY)
    return status


def require_directory_place(reader: Reader, path: str, is_removal: bool) -> None:
    """Raise ResourceError unless a directory can be made (or removed) at ``path``; missing parents are made too."""
    status = reader.stat(path)
    if status is not None and status.type != "directory":
        raise ResourceError("%s is a %s, not a directory" % (path, status.type), _AWAY)
    if is_removal:
        below = [point for point in sorted(mounts(reader)) if point == path or point.startswith(path.rstrip("/") + "/")]
        if below:
            raise ResourceError("%s cannot be removed: %s is a mount point" % (path, below[0]), "unmount it first")
    parent = path.rstrip("/").rpartition("/")[0]
    while parent and reader.stat(parent) is None:
        parent = parent.rpartition("/")[0]
    if parent:
        _require_directory(reader, parent, path)


def expect_directory(reader: Reader, path: str, is_there: bool) -> None:
    """Note, in check mode, that a directory and its parents would be there, or that it would be gone."""
    expected = _expect(reader)
    while path.strip("/"):
        expected[path.rstrip("/")] = is_there
        path = path.rpartition("/")[0] if is_there else ""


def _expect(reader: Reader) -> Dict[str, bool]:
    expected: Dict[str, bool] = reader.once(("expected directories",), dict)
    return expected


def _require_directory(reader: Reader, folder: str, path: str) -> None:
    status = reader.stat(folder)
    is_expected: Optional[bool] = _expect(reader).get(folder)
    if status is not None and status.type == "link":
        return  # the kernel follows it
    if is_expected is False or (status is None and not is_expected):
        step = "make it before, with Directory(%r)" % folder
        raise ResourceError("the directory %s of %s is not there" % (folder, path), step)
    if status is not None and status.type != "directory":
        raise ResourceError("%s is a %s, not a directory, so %s cannot be there" % (folder, status.type, path), _AWAY)


def mounts(reader: Reader) -> Set[str]:
    """Return the mount points of the host."""

    def read() -> Set[str]:
        points = set()
        for line in (reader.read_text("/proc/self/mountinfo") or "").splitlines():
            fields = line.split(" ")
            if len(fields) > 4:
                point = fields[4]
                for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                    point = point.replace(code, char)
                points.add(point)
        return points

    points: Set[str] = reader.once(("mounts",), read)
    return points


def _require_mutable(reader: Reader, path: str) -> None:
    done = reader.query(["lsattr", "-d", "--", path])
    flags = done.stdout.partition(" ")[0] if done.ok else ""
    for flag, word in (("i", "immutable"), ("a", "append-only")):
        if flag in flags:
            step = "chattr -%s %s lets it change" % (flag, path)
            raise ResourceError("%s is %s (chattr +%s)" % (path, word, flag), step)
