"""Plays for groups that an inventory does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestr.engine.run import Run, RunOptions
from orchestr.errors import InputError
from orchestr.inventory import load_inventory
from orchestr.planning.playbook import load_playbook

ROLE = '"""Do nothing."""\n\n\ndef deploy(host, params):\n    return iter(())\n'


def hosts_of(root: Path, pattern: str) -> list[str]:
    """Return the hosts of one play with this pattern, where the inventory has the groups web and cache."""
    for name, text in {
        "roles/idle/__init__.py": ROLE,
        "inventory.yml": "all: {children: {web: {hosts: {a: , b: }}, cache: {hosts: {c: }}}}\n",
        "playbook.yml": f"- {{hosts: all, roles: [idle]}}\n- {{hosts: '{pattern}', roles: [idle]}}\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    inventory, playbook = load_inventory(root / "inventory.yml"), load_playbook(root / "playbook.yml")
    return Run(inventory, playbook, RunOptions(), lambda event: None, lambda *_: None).play_hosts[1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [("database", []), ("web:database", ["a", "b"]), ("database,cache,search", ["c"]), ("web:database:!b", ["a"])],
)
def test_absent_groups_are_no_hosts(tmp_path: Path, pattern: str, hosts: list[str]) -> None:
    """A group the inventory does not have adds no host, alone or among others, so one playbook serves many."""
    assert hosts_of(tmp_path, pattern) == hosts


@pytest.mark.parametrize("pattern", ["wep", "cache:wep", "web:!cach", "web:&databases"])
def test_a_misspelt_or_subtracted_group_is_an_error(tmp_path: Path, pattern: str) -> None:
    """A name nearly that of a group is a mistake; so is taking away, or narrowing to, what is not there."""
    with pytest.raises(InputError):
        hosts_of(tmp_path, pattern)


def test_names_that_the_playbook_tells_apart_are_no_misspelling(tmp_path: Path) -> None:
    """swarm_workers is absent, not a misspelt swarm_managers, where another play is for swarm_managers."""
    (tmp_path / "roles/idle").mkdir(parents=True)
    (tmp_path / "roles/idle/__init__.py").write_text(ROLE)
    (tmp_path / "inventory.yml").write_text("all: {children: {swarm_managers: {hosts: {a: }}}}\n")
    plays = [f"- {{hosts: {name}, roles: [idle]}}" for name in ("swarm_managers", "swarm_workers")]
    (tmp_path / "playbook.yml").write_text("\n".join(plays))
    inventory, playbook = load_inventory(tmp_path / "inventory.yml"), load_playbook(tmp_path / "playbook.yml")
    run = Run(inventory, playbook, RunOptions(), lambda event: None, lambda *_: None)  # type: ignore[arg-type]
    assert run.play_hosts == {0: ["a"], 1: []}
