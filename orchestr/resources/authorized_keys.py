"""The file with the keys that open an account (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""

from __future__ import annotations

import re

from orchestr.agent.resource import ResourceError
from orchestr.agent.system import Reader, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Sequence, Tuple

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


def read_keys(reader: Reader, home: str) -> List[str]:
    """Return the lines of an account's authorized_keys."""
    return (reader.read_text(home + "/.ssh/authorized_keys") or "").splitlines()


def write_keys(system: System, home: str, lines: Sequence[str], uid: int, gid: int) -> None:
    """Write an account's authorized_keys, 0600 in a 0700 directory, both the account's.

    The account's user can put anything into its home, so nothing is followed through a link. Raises ResourceError.
    """
    folder = home + "/.ssh"
    status = system.stat(folder)
    if status is not None and status.type != "directory":
        raise ResourceError("%s is a %s, not a directory" % (folder, status.type), "move it away first")
    system.make_directory(folder, mode=0o700, uid=uid, gid=gid)
    data = "".join(line + "\n" for line in lines).encode("utf-8")
    system.write_bytes(folder + "/authorized_keys", data, mode=0o600, uid=uid, gid=gid)
