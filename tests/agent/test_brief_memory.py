"""Reads that are remembered only while the agent changes nothing and waits for nothing: programs and accounts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestr.agent import system as system_module
from orchestr.agent.system import System

CHANGES: dict[str, Callable[[System], object]] = {
    "a task that applied": lambda system: system.forget(("files",)),
    "a command": lambda system: system.run(["true"]),
    "a wait": lambda system: system.sleep(0.0),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(system_module.ENVIRONMENT, "PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_a_program_is_looked_for_once(folder: Path) -> None:
    """In a run that changes nothing, each program costs one walk through PATH."""
    system = System()
    assert system.which("tool") is None
    (folder / "tool").touch(0o755)
    assert system.which("tool") is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_program_is_looked_for_again_after(change: str, folder: Path) -> None:
    """A program that a task, a command or somebody else installed meanwhile is seen."""
    system = System()
    assert system.which("tool") is None
    (folder / "tool").touch(0o755)
    CHANGES[change](system)
    assert system.which("tool") == f"{folder}/tool"


@pytest.mark.parametrize("change", CHANGES)
def test_accounts_are_read_again_after(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user made by useradd in this very task has its number at once."""
    tables = iter(["root:x:0:0::/root:/bin/sh\n", "root:x:0:0::/root:/bin/sh\nshop:x:1001:1001::/:/bin/sh\n"])
    system = System()
    monkeypatch.setattr(system, "read_text", lambda path: next(tables))
    assert system.user_id("shop") is None
    assert system.user_id("root") == 0
    CHANGES[change](system)
    assert system.user_id("shop") == 1001
