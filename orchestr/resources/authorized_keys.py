"""The file with the keys that open an account (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""

from __future__ import annotations

import re

from orchestr.agent.record import replace
from orchestr.agent.resource import ResourceError
from orchestr.agent.system import FileStat, Reader, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, List, Optional, Sequence, Tuple

# A key line is [options] type base64 [comment]; the base64 of every key starts with the length of its type's name.
_BODY = re.compile(r"(?:^|\s)(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+\s+(AAAA[A-Za-z0-9+/]+={0,3})(?:\s|$)")


def body_of(line: str) -> str:
    """Return the base64 body that identifies a key, "" for a line without a key."""
    match = None if line.lstrip().startswith("#") else _BODY.search(line)
    return match.group(1) if match else ""


def keys_with(lines: Sequence[str], keys: Iterable[str], only_these: bool) -> List[str]:
    """Return ``lines`` with these keys in them, each once; with ``only_these``, without any other line.

    Raises ValueError for a text that is not a public key.
    """
    wanted = {}
    for key in keys:
        body = body_of(key)
        if not body or "\n" in key.strip():
            raise ValueError("%r is not a line of authorized_keys" % key[:60])
        if body in wanted:
            raise ValueError("the key %s is given twice" % key.strip()[:60])
        wanted[body] = key.strip()
    if only_these:
        return list(wanted.values())
    kept: List[str] = []
    for line in lines:
        line = wanted.get(body_of(line), line)
        if not body_of(line) or line not in kept:
            kept.append(line)
    return kept + [key for key in wanted.values() if key not in kept]


def present_keys(lines: Sequence[str], keys: Sequence[str], only_these: bool) -> Tuple[str, ...]:
    """Return those of ``keys`` that are there, in their order, and with ``only_these`` whatever else is there."""
    there = [line.strip() for line in lines if line.strip()]
    others = [line for line in there if line not in keys] if only_these else []
    return (*(key for key in keys if key in there), *others)


def read_keys(reader: Reader, home: str, uid: int) -> List[str]:
    """Return the lines of an account's authorized_keys, as sshd(8) sees them. Raises UnsafePath for a user's link.

    sshd reads the file as the account. One that the account cannot read holds no keys, and may be anybody's secret: its
    user can put every file there that the user can rename.
    """
    return _read(reader, home, uid)[0].decode("utf-8", "replace").splitlines()


def _read(reader: Reader, home: str, uid: int) -> Tuple[bytes, Optional[FileStat]]:
    content = reader.read_file(home + "/.ssh/authorized_keys")
    if content is None:
        return b"", None
    data, status = content
    return (b"", None) if status.uid != uid and not status.mode & 0o004 else (data, status)


def edit_keys(system: System, home: str, edit: Callable[[List[str]], Iterable[str]], uid: int, gid: int) -> None:
    """Replace the lines of an account's authorized_keys by ``edit(lines)``; 0600 in a 0700 directory, the account's.

    The account's user can put anything into its home, so a link is followed only where that user could not have made
    it (in root's home). Raises ResourceError, UnsafePath, OSError.
    """
    folder = home + "/.ssh"
    present = system.stat(folder)
    if present is not None and present.type != "directory":
        raise ResourceError("%s is a %s, not a directory" % (folder, present.type), "move it away first")
    system.make_directory(folder, mode=0o700, uid=uid, gid=gid)
    before, status = _read(system, home, uid)
    lines = edit(before.decode("utf-8", "surrogateescape").splitlines())
    data = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
    path = system.real_path(folder + "/authorized_keys")
    if status is None:
        system.write_bytes(path, data, mode=0o600, uid=uid, gid=gid)
    else:
        system.rewrite(path, data, replace(status, mode=0o600, uid=uid, gid=gid))
