"""A directory as the inventory: what in it is none is passed over, and nothing at all is an error."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Orchestr


def test_a_subdirectory_without_inventories_is_passed_over(orchestr: Orchestr, project: Path) -> None:
    """As by Ansible: a warning, and the rest is read."""
    (project / "inventories/files").mkdir()
    (project / "inventories/files/init.sql").write_text("select 1;\n")
    outcome = orchestr("inventory", "inventories")
    assert outcome.code == 0
    assert "web1" in outcome.out
    assert "inventories/files: skipped: this directory has no inventory files" in outcome.err


def test_a_directory_with_none_at_all(orchestr: Orchestr, project: Path) -> None:
    """Only the directory that was named is wrong when nowhere below it is an inventory."""
    (project / "empty/deep").mkdir(parents=True)
    outcome = orchestr("inventory", "empty")
    assert outcome.code == 2
    assert "error: empty: this directory has no inventory files" in outcome.err


def test_json_is_json(orchestr: Orchestr, project: Path) -> None:
    """An infinite number is still read (as Ansible reads it), and is told at its place where it can't be printed."""
    site = project / "inventories/site.yml"
    site.write_text(site.read_text().replace("{app_word: hello}", "{app_word: hello, x: {y: [1.5, .inf]}}"))
    assert orchestr("inventory", "inventories/site.yml").code == 0
    told = orchestr("inventory", "inventories/site.yml", "--json")
    assert told.code == 2
    assert json.loads(told.out)["exit"] == 2
    assert "inventories/site.yml:2:40: x: JSON has no .nan and no .inf" in told.err
