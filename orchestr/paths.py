"""Paths in short form, and errors for files and directories that cannot be read."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from pathlib import Path

from orchestr.errors import InputError


def state_directory() -> Path:
    """Return the directory for records of this user's runs.

    ``$ORCHESTR_STATE``, else ``$XDG_STATE_HOME/orchestr``, else ``~/.local/state/orchestr``.
    """
    directory = os.environ.get("ORCHESTR_STATE")
    if directory:
        return Path(directory)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "orchestr"


def nearby(path: str) -> str:
    """Return a path relative to the current directory if it is below it, else unchanged."""
    with contextlib.suppress(OSError):  # the current directory may be gone
        return path.removeprefix(f"{Path.cwd()}/")
    return path


def unreadable(path: str | Path, problem: OSError, failure: str = "can't be read") -> InputError:
    """Return (not raise) the InputError for an OSError on a file or directory; the next step shows its owner."""
    step = f"check owner and mode: ls -ld {shlex.quote(nearby(str(_closed_part(Path(path)))))}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        step = "free disk space there, then repeat the command"
    return InputError(f"{failure}: {problem.strerror or problem}", file=path, next_step=step)


def _closed_part(path: Path) -> Path:
    """Return the first parent directory without permission to enter it, else the path itself."""
    closed = (parent for parent in reversed(path.parents) if parent.exists() and not os.access(parent, os.X_OK))
    return next(closed, path)


def is_file(path: Path) -> bool:
    """Return True if the file exists. Raises InputError when the system does not permit the check."""
    try:
        return path.is_file()
    except OSError as problem:
        raise unreadable(path, problem) from None
