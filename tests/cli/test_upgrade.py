"""upgrade and rollback on the command line, on hosts in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import INVENTORY, Orchestr

SITE = "inventories/site.yml"
GROWN = "inventories/grown.yml"


@pytest.fixture(autouse=True)
def grown(project: Path) -> None:
    """Before: web1 alone. After: all three. The checks need no shell."""
    (project / GROWN).write_text(INVENTORY)
    (project / SITE).write_text("all:\n  children:\n    web:\n      hosts:\n        web1: {ansible_host: 10.0.0.1}\n")
    (project / "roles/app/verify.py").write_text("def test_name(machine):\n    assert machine.name\n")


def test_upgrade_tells_how_every_machine_stands(orchestr: Orchestr) -> None:
    """New machines are added, the one that is the same is said to be unchanged, and the checks follow."""
    orchestr("run", SITE)
    outcome = orchestr("upgrade", SITE, "--to", GROWN)
    assert outcome.code == 0
    assert "web1  unchanged\n" in outcome.out
    assert "web2  added (2 changes)\n" in outcome.out
    assert "All 3 checks on 3 hosts passed." in outcome.out


def test_upgrade_as_json(orchestr: Orchestr) -> None:
    """One object: the run, the topology, each machine's state, and what verify found."""
    orchestr("run", SITE)
    outcome = orchestr("upgrade", SITE, "--to", GROWN, "--json")
    found = json.loads(outcome.out)
    assert (found["verb"], found["exit"]) == ("upgrade", 0)
    assert found["topology"] == {"new": ["web2", "db1"], "kept": ["web1"], "removed": []}
    assert found["states"]["web1"] == "unchanged"
    assert found["verify"]["hosts"]["db1"]["checks"][0]["outcome"] == "passed"


def test_rollback_goes_back(orchestr: Orchestr) -> None:
    """rollback RUN takes the inventories from the record of that upgrade."""
    orchestr("run", SITE)
    run = json.loads(orchestr("upgrade", SITE, "--to", GROWN, "--json").out)["run"]
    found = json.loads(orchestr("rollback", run, "--json").out)
    assert found["topology"]["removed"] == ["web2", "db1"]
    assert orchestr("rollback", "nothing").code == 2


def test_upgrade_needs_a_target(orchestr: Orchestr) -> None:
    """Without --to nothing happens but a message that says so."""
    outcome = orchestr("upgrade", SITE)
    assert outcome.code == 2
    assert "missing option '--to'" in outcome.err
