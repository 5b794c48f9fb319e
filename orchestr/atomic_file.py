"""Files on this machine that are whole whenever somebody looks: written beside their place, then put there.

The part written beside is readable by its owner only, under a name that nobody can foresee, and never left behind by a
failure.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600


def write(path: Path, data: bytes, *, mode: int = PRIVATE, is_durable: bool = False) -> None:
    """Replace a file (or make it) with ``data``; ``is_durable`` waits until it is on the disk. Raises OSError."""
    with beside(path, data, mode=mode, is_durable=is_durable) as temporary:
        put(temporary, path, is_durable=is_durable)


def create(path: Path, data: bytes) -> bool:
    """Make a file that is not there yet, on the disk when this returns; return False if it is. Raises OSError."""
    with beside(path, data, is_durable=True) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def beside(
    path: Path,
    data: bytes = b"",
    *,
    mode: int = PRIVATE,
    owner: tuple[int, int] | None = None,
    is_durable: bool = False,
) -> Iterator[Path]:
    """Give the path of a new file with ``data`` in the directory of ``path``; it is removed at the end if still there.

    ``owner`` (uid, gid) is set where this user may do that. Raises OSError.
    """
    temporary = path.parent / f".orchestr-{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if owner is not None:
                with contextlib.suppress(OSError):  # only root can give a file away
                    os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            if is_durable:
                os.fsync(descriptor)
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def put(temporary: Path, path: Path, *, is_durable: bool = False) -> None:
    """Give a file written beside ``path`` that name, in place of the file that has it now. Raises OSError."""
    temporary.replace(path)
    if is_durable:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
