"""Writing files: what is left behind when the agent has to go in the middle of it."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import filesystem
from tests.waiting import HANG_S

A_MOMENT_S = 0.2  # in which a thread that is not held up would have run to its end


@pytest.mark.parametrize("maker", ["mkstemp", "mkdtemp"])
def test_no_temporary_escapes_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: str) -> None:
    """A temporary made in the very moment the controller is lost is known to what removes the unfinished ones."""
    monkeypatch.setattr(filesystem, "_beginning", threading.Lock())
    make = getattr(tempfile, maker)
    noted: list[set[str]] = []
    is_over = threading.Event()
    link = os.symlink

    def link_when_over(*names: str) -> None:
        assert is_over.wait(HANG_S)
        link(*names)

    def end() -> None:
        filesystem.begin_no_more()
        noted.append(set(filesystem._unfinished))
        is_over.set()

    def make_while_it_ends(**options: Any) -> Any:
        made = make(**options)
        threading.Thread(target=end).start()
        is_over.wait(A_MOMENT_S)
        return made

    monkeypatch.setattr(tempfile, maker, make_while_it_ends)
    if maker == "mkstemp":
        filesystem.write_atomically(str(tmp_path / "file"), _chunks(is_over), 0o600, -1, -1)
    else:
        monkeypatch.setattr(os, "symlink", link_when_over)
        filesystem.symlink_atomically("target", str(tmp_path / "link"))
    assert len(noted[0]) == 1


def _chunks(is_over: threading.Event) -> Iterator[bytes]:
    is_over.wait(HANG_S)
    yield b"content"


def test_nothing_begins_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the agent is to end, a write that has not begun does not begin any more."""
    monkeypatch.setattr(filesystem, "_beginning", threading.Lock())
    filesystem.begin_no_more()
    late = threading.Thread(
        target=filesystem.write_atomically, args=(str(tmp_path / "file"), [b""], 0o600, -1, -1), daemon=True
    )
    late.start()
    late.join(A_MOMENT_S)
    assert late.is_alive()
    assert list(tmp_path.iterdir()) == []
    filesystem._beginning.release()
    late.join(5)
