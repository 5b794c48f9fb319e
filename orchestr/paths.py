"""Paths as they are shown to people."""

from __future__ import annotations

import contextlib
from pathlib import Path


def nearby(path: str) -> str:
    """Return a path as a person here would write it: relative when it is below the current directory."""
    with contextlib.suppress(OSError):  # the current directory may be gone
        return path.removeprefix(f"{Path.cwd()}/")
    return path
