"""The how-to pages on writing roles, resources, checks and systems: every file and command in them works as written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import orchestr as library
from orchestr.cli.main import main
from orchestr.transport.memory import MemoryHost, MemorySystem, memory_connector

ROOT = Path(__file__).parents[2]
PAGES = ("write-a-role", "write-a-resource", "write-checks", "describe-a-system")
#: A code block, and the line above it: `path/of/the/file`:
_BLOCK = re.compile(
    r"(?:^`(?P<path>[^`\n]+)`:\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


def _shell(system: MemorySystem, words: tuple[str, ...], stdin: bytes) -> tuple[int, str, str]:
    """Answer ``sh -c "cat PATH"``, which is what the pages' checks ask for."""
    path = words[-1].partition("cat ")[2]
    content = system.read_bytes(path)
    return (1, "", f"cat: {path}: No such file") if content is None else (0, content.decode(), "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, the working directory."""
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(line: str) -> tuple[int, int]:
    """Run a line of a page; return its exit code and the one the page states in a comment (0 if it states none)."""
    command, _, comment = line.partition("#")
    stated = re.search(r"exit (\d+)", comment)
    program, *words = shlex.split(command)
    if program == "orchestr":
        code = main(words)
    else:
        assert program == "python"
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        code = done.returncode
        print(done.stdout, done.stderr)
    return code, int(stated[1]) if stated else 0


@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_as_written(name: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are put where the page says, its hosts are in memory, each command exits as the page says."""
    page = (ROOT / "docs/how-to" / f"{name}.md").read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(page))
    assert [block["text"] for block in blocks if not block["path"] and block["language"] != "console"] == []
    for block in blocks:
        if block["path"]:
            (project / block["path"]).parent.mkdir(parents=True, exist_ok=True)
            (project / block["path"]).write_text(block["text"], encoding="utf-8")
    inventory = library.load_inventory("inventories/site.yml")
    addresses = [str(inventory.scope(host).value("ansible_host")) for host in inventory.hosts]
    connect = memory_connector({each: MemoryHost(commands={("/bin/sh", "-c"): _shell}) for each in addresses})

    def connecting(settings: Any, **options: Any) -> Any:
        return connect(settings)

    monkeypatch.setattr("orchestr.transport.connect.connect", connecting)
    lines = [line for block in blocks if block["language"] == "console" for line in block["text"].splitlines()]
    assert lines
    assert [(line, code) for line in lines for code, stated in [_run(line)] if code != stated] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_imports_from_orchestr_only(name: str) -> None:
    """Whoever writes what the page describes needs ``import orchestr`` and no inner module."""
    page = (ROOT / "docs/how-to" / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^\s*(?:from|import) orchestr\.(?!testing)\S+", page, re.MULTILINE) == []
