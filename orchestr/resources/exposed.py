"""Paths that programs of root get: nobody but root may be able to put something else there, also while they run.

A program walks to a path by itself and follows links; a check of the walk before it would lose the race. So such a path
is refused where a user can write to it, or to a directory on the way, unless that user is root anyway: the one by whose
sudo the agent is root, or a member of a group whose members may do everything.
"""

from __future__ import annotations

import os

from orchestr.agent import door
from orchestr.agent.resource import ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Optional

    from orchestr.agent.system import Reader

ROOT_GROUPS = ("root", "docker", "sudo", "wheel", "lxd")
_BY_GROUP, _BY_OTHERS = 0o020, 0o002


def require_roots_files(reader: Reader, paths: Iterable[str], program: str) -> None:
    """Raise ResourceError for a file that a user can write to or exchange; a missing one is as its directory is."""
    for path in map(reader.real_path, paths):
        require_roots_way(reader, path, program)
        status = reader.stat(path)
        if status is not None and status.type == "file":
            writer = _writer(reader, status.uid, status.gid, status.mode)
            if writer:
                raise _refused(path, path, writer, program)


def require_roots_way(reader: Reader, path: str, program: str) -> None:
    """Raise ResourceError for a path on whose way a user can write to a directory. Raises UnsafePath for its links."""
    present = path
    while True:
        try:
            if not reader.is_exposed(present):
                return
            break
        except FileNotFoundError:  # a missing one is as its directory is
            present = os.path.dirname(present.rstrip("/"))
    with door.enter(present) as entry:
        for folder, status in entry.open_directories():
            writer = _writer(reader, status.st_uid, status.st_gid, status.st_mode)
            if writer:
                raise _refused(path, folder, writer, program)


def _refused(path: str, writable: str, writer: str, program: str) -> ResourceError:
    return ResourceError(
        "%s can be written by %s, who could lead %s, which acts as root, from %s to something else"
        % (writable, writer, program, path),
        "name a path in directories that only root can write to, or make this one so (chown, chmod go-w)",
    )


def _writer(reader: Reader, uid: int, gid: int, mode: int) -> str:
    """Return who can write besides those who are root anyway, "" for nobody."""
    if not _is_roots(reader, uid):
        return "user %s" % (_user_name(reader, uid) or uid)
    if mode & _BY_OTHERS:
        return "everybody"
    if mode & _BY_GROUP and not _is_roots_group(reader, gid):
        return "the group %s" % (_group_name(reader, gid) or gid)
    return ""


def _is_roots(reader: Reader, uid: int) -> bool:
    """Return True for a user who is root anyway."""
    if uid in (0, os.geteuid()) or str(uid) == os.environ.get("SUDO_UID"):
        return True
    entries = [fields for fields in _lines(reader, "/etc/passwd") if fields[2] == str(uid)]
    names, groups = {fields[0] for fields in entries}, {fields[3] for fields in entries}
    return any(
        fields[0] in ROOT_GROUPS and (fields[2] in groups or not names.isdisjoint(fields[3].split(",")))
        for fields in _lines(reader, "/etc/group")
    )


def _is_roots_group(reader: Reader, gid: int) -> bool:
    """Return True for a group of this host all of whose members, if any, are root anyway."""
    name = _group_name(reader, gid)
    if name is None or name in ROOT_GROUPS:
        return name is not None
    listed = [fields[3].split(",") for fields in _lines(reader, "/etc/group") if fields[0] == name]
    members = {member for names in listed for member in names}
    users = [fields for fields in _lines(reader, "/etc/passwd") if fields[0] in members or fields[3] == str(gid)]
    unknown = members - {fields[0] for fields in users} - {""}
    return not unknown and all(_is_roots(reader, int(fields[2])) for fields in users)


def _user_name(reader: Reader, uid: int) -> Optional[str]:
    return next((fields[0] for fields in _lines(reader, "/etc/passwd") if fields[2] == str(uid)), None)


def _group_name(reader: Reader, gid: int) -> Optional[str]:
    return next((fields[0] for fields in _lines(reader, "/etc/group") if fields[2] == str(gid)), None)


def _lines(reader: Reader, table: str) -> List[List[str]]:
    lines = [line.split(":") for line in (reader.read_text(table) or "").splitlines()]
    return [fields for fields in lines if len(fields) > 3 and fields[2].isdigit()]
