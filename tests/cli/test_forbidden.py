"""What the system does not let us read is bad input: exit 2, which file, and what to type next."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import HANG_S

SITE = "inventories/site.yml"
#: Root may read everything; without these capabilities it is like anybody else.
LIKE_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
pytestmark = pytest.mark.skipif(bool(LIKE_ANYBODY) and not shutil.which("setpriv"), reason="root, and no setpriv")

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def typed(project: Path) -> Iterator[Typed]:
    """Type a command line in the project as somebody who may not read everything; modes are put back at the end."""
    root = str(Path(__file__).parents[2])

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*LIKE_ANYBODY, sys.executable, "-m", "orchestr", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, timeout=HANG_S, cwd=project
        )

    yield call
    for path in project.rglob("*"):
        path.chmod(0o700)


def _make(project: Path, name: str, text: str = "") -> Path:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


CASES = {
    "an inventory": (SITE, SITE, ["plan", SITE]),
    "the directory of an inventory": ("inventories", SITE, ["plan", SITE]),
    "an inventory directory": ("inventories", "inventories", ["inventory", "inventories"]),
    "a directory in it": ("inventories/more", "inventories/more", ["inventory", "inventories"]),
    "a file in it": ("inventories/more/more.yml", "inventories/more/more.yml", ["inventory", "inventories"]),
    "group_vars": ("inventories/group_vars", "inventories/group_vars", ["plan", SITE]),
    "a directory of group_vars": ("inventories/group_vars/web", "inventories/group_vars/web", ["plan", SITE]),
    "the playbooks": ("playbooks", "playbooks/site.yml", ["plan", SITE]),
    "a playbook": ("playbooks/site.yml", "playbooks/site.yml", ["plan", SITE]),
    "a file of -e": ("secret", "secret/vars.yml", ["plan", SITE, "-e", "@secret/vars.yml"]),
    "a vault password": ("secret", "secret/word", ["plan", SITE, "--vault-password-file", "secret/word"]),
    "a file of secrets": ("secret", "secret/vars.yml", ["secrets", "view", "secret/vars.yml"]),
    "the records, for history": ("state/runs", "state", ["history"]),
    "the records, for show": ("state/runs", "state", ["show", "last"]),
    "the records, for rollback": ("state", "state", ["rollback", "last"]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_may_not_be_read(project: Path, typed: Typed, name: str) -> None:
    """It exits with 2 and names the file, never as a fault in orchestr."""
    forbidden, named, words = CASES[name]
    for each in ("inventories/more/more.yml", "secret/vars.yml", "inventories/group_vars/web/a.yml", "secret/word"):
        _make(project, each, "a: {}\n")
    (project / "state/runs").mkdir(parents=True)
    (project / forbidden).chmod(0)
    done = typed(*words)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert f"error: {named}: " in done.stderr
    assert "Permission denied" in done.stderr
    steps = (f"\n  → check owner and mode: ls -ld {forbidden}\n", "\n  → set ORCHESTR_STATE")
    assert any(step in done.stderr for step in steps)
