"""Tell whether a file is still the one that was read: a run asks for the same few files once per host."""

from __future__ import annotations

from pathlib import Path


def version_of(file: str) -> tuple[int, ...]:
    """Return what changes when the file is replaced or written to, nothing when there is none. Never raises."""
    try:
        found = Path(file).stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
