"""Paths: as people write them, and what is said when the system does not let us look."""

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
    given = os.environ.get("ORCHESTR_STATE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "orchestr"


def nearby(path: str) -> str:
    """Return a path as a person here would write it: relative when it is below the current directory."""
    with contextlib.suppress(OSError):  # the current directory may be gone
        return path.removeprefix(f"{Path.cwd()}/")
    return path


def unreadable(path: str | Path, problem: OSError, what: str = "can't be read") -> InputError:
    """Return (not raise) the InputError for a file or directory the system keeps from us, and who owns it."""
    step = f"see whose it is: ls -ld {shlex.quote(nearby(str(_closed_part(Path(path)))))}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        step = "make some room there, then type it again"
    return InputError(f"{what}: {problem.strerror or problem}", file=path, next_step=step)


def _closed_part(path: Path) -> Path:
    """Return the first directory on the way that can't be entered, else the path itself."""
    return next((each for each in reversed(path.parents) if each.exists() and not os.access(each, os.X_OK)), path)


def is_file(path: Path) -> bool:
    """Tell whether there is such a file. Raises InputError when it can't be told."""
    try:
        return path.is_file()
    except OSError as problem:
        raise unreadable(path, problem) from None
