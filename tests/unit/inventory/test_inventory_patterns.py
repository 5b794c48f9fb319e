"""Host patterns select what Ansible selects, and a name nobody has is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestr.errors import InputError
from orchestr.inventory import Inventory, Position, load_inventory

INVENTORY = """
all:
  hosts: {solo: , lonely.example.org: }
  children:
    web: {hosts: {"web[1:4]": , shared: }}
    db: {hosts: {db1: , db2.example.org: , shared: }}
    prod: {children: {web: , cache: {hosts: {c1: }}}}
    six: {hosts: {"2001:db8::1": , 10.0.0.1: }}
    empty:
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory file the patterns are tried on."""
    path = tmp_path_factory.mktemp("patterns") / "i.yml"
    path.write_text(INVENTORY)
    return path


@pytest.fixture(scope="module")
def inventory(path: Path) -> Inventory:
    """That inventory, read by orchestr."""
    return load_inventory(path)


@pytest.fixture(scope="module")
def ansible(path: Path) -> Any:
    """That inventory, read by Ansible in this process."""
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader

    return InventoryManager(loader=DataLoader(), sources=[str(path)])


def _names(inventory: Inventory, pattern: str, limit: str | None = None) -> list[str]:
    return [host.name for host in inventory.select(pattern, limit)]


PATTERNS = [
    "all", "*", "web", "web:db", "web,db", "web:&db", "all:!web", "!web", "&web", "web:!web1", "web[0]", "web[-1]",
    "web[1:2]", "web[2:]", "web[0:0]", "web[1:99]", "web*", "web?", "*.example.org", "~web[12]", r"~.*\.example\.org",
    "~(web|db).*:!db1", "prod", "prod:&shared", "prod[0]", "ungrouped", "solo", "shared", "empty", "six", "10.0.0.1",
    "2001:db8::1", "db1,web1,db1", "web1:web", " web1 , db1 ", "all[0]", "all:!~.*", "prod:!cache", "&web:db",
    "web[1:3]:!web2", "lonely.example.org", "db:&*.example.org", "nosuch*", "~nosuch", "[wd]*", "web:web",
    "!web:!db:six",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_agrees(pattern: str, inventory: Inventory, ansible: Any) -> None:
    """A pattern gives the same hosts as in Ansible, in the same order."""
    assert _names(inventory, pattern) == [host.name for host in ansible.get_hosts(pattern)]


TERMS = st.sampled_from(
    [
        "all",
        "web",
        "db",
        "prod",
        "six",
        "web1",
        "c1",
        "shared",
        "web*",
        "~.*1",
        "*.org",
        "web[0]",
        "db[0:1]",
        "ungrouped",
    ]
)
PREFIXED = st.builds("{}{}".format, st.sampled_from(["", "", "!", "&"]), TERMS)


@settings(max_examples=150, deadline=None)
@given(terms=st.lists(PREFIXED, min_size=1, max_size=4), separator=st.sampled_from([":", ","]))
def test_any_composition_agrees(inventory: Inventory, ansible: Any, terms: list[str], separator: str) -> None:
    """Whatever terms are put together, Ansible selects the same hosts in the same order."""
    pattern = separator.join(terms)
    assert _names(inventory, pattern) == [host.name for host in ansible.get_hosts(pattern)]


@settings(max_examples=60, deadline=None)
@given(pattern=PREFIXED, limit=PREFIXED)
def test_limit_narrows_as_in_ansible(inventory: Inventory, ansible: Any, pattern: str, limit: str) -> None:
    """``limit`` keeps of the pattern's hosts those that Ansible's ``--limit`` keeps."""
    ansible.subset(limit)
    try:
        expected = [host.name for host in ansible.get_hosts(pattern)]
    finally:
        ansible.subset(None)
        ansible.clear_caches()
    assert _names(inventory, pattern, limit) == expected


@pytest.mark.parametrize(
    ("pattern", "suggestion"),
    [("wbe", "web"), ("web:!wbe1", "web1"), ("all:&prd", "prod"), ("ungroupd", "ungrouped"), ("dbx[0]", "db")],
)
def test_unknown_name(pattern: str, suggestion: str, inventory: Inventory) -> None:
    """A plain name that is neither host nor group is refused, also in an exclusion, naming the closest."""
    with pytest.raises(InputError) as caught:
        inventory.select(pattern)
    assert caught.value.suggestion == suggestion


def test_unknown_name_keeps_its_place(inventory: Inventory) -> None:
    """The error stands where the caller says the pattern was written."""
    with pytest.raises(InputError) as caught:
        inventory.select("wbe", position=Position("playbook.yml", 3, 10))
    assert str(caught.value).startswith("playbook.yml:3:10: ")


@pytest.mark.parametrize("pattern", ["web[9]", "~web(", "empty[0]"])
def test_impossible_pattern(pattern: str, inventory: Inventory) -> None:
    """An index past the end and a broken regular expression are input errors."""
    with pytest.raises(InputError, match="host pattern"):
        inventory.select(pattern)


def test_limit_from_a_file(inventory: Inventory, tmp_path: Path) -> None:
    """``@file`` in a limit is one pattern a line."""
    (tmp_path / "retry").write_text("web2\n\ndb1\n")
    assert _names(inventory, "all", f"@{tmp_path}/retry") == ["web2", "db1"]
    with pytest.raises(InputError, match="can't read"):
        inventory.select("all", f"@{tmp_path}/nothing")
