"""The version of a file, so that a run reads the same few files once and not for each host."""

from __future__ import annotations

from pathlib import Path


def version_of(file: str) -> tuple[int, ...]:
    """Return numbers that change when the file is replaced or written to; () when it does not exist. Never raises."""
    try:
        status = Path(file).stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
