"""The report of a fault in orchestr itself: a file of the user's own, every secret in memory hidden."""

from __future__ import annotations

import os
import platform
import secrets
import sys
import time
import traceback
from pathlib import Path

from orchestr import __version__
from orchestr.paths import state_directory
from orchestr.planning.role_lines import role_line_of as role_line_of
from orchestr.redaction import redact


def save_report(error: BaseException) -> Path | None:
    """Write the traceback to a new file (0600) in the state directory; return its path, None if that failed."""
    lines = [
        f"orchestr {__version__}, Python {platform.python_version()}, {platform.platform()}",
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        f"orchestr {' '.join(sys.argv[1:2])} …",
        "".join(traceback.format_exception(error)),
    ]
    try:
        directory = state_directory() / "faults"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(redact("\n".join(lines) + "\n"))
    except OSError:
        return None
    return path
