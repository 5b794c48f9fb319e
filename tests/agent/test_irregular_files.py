"""Reads never hang: where a file is expected, a FIFO, a device or a socket is an error at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from orchestr.agent.system import Reader


@pytest.fixture(params=["fifo", "link to a fifo", "link to /dev/zero", "socket"])
def irregular(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "x"
    monkeypatch.chdir(tmp_path)  # the path of a socket is limited
    if request.param == "socket":
        socket.socket(socket.AF_UNIX).bind("x")
    elif "/dev/zero" in request.param:
        path.symlink_to("/dev/zero")
    else:
        fifo = tmp_path / "fifo" if "link" in request.param else path
        os.mkfifo(fifo)
        if "link" in request.param:
            path.symlink_to(fifo)
    return str(path)


def test_reading_it_is_refused(irregular: str) -> None:
    """Content and digest alike; the error names the path."""
    for read in (Reader().read_bytes, Reader().read_text, Reader().digest):
        with pytest.raises(OSError, match="x"):
            read(irregular)


def test_a_directory_is_named_as_one(tmp_path: Path) -> None:
    """As python itself does."""
    with pytest.raises(IsADirectoryError):
        Reader().read_bytes(str(tmp_path))


def test_files_of_the_kernel_are_read() -> None:
    """They are regular files without a size."""
    assert Reader().read_text("/proc/self/comm")
