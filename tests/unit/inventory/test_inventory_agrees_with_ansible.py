"""orchestr and Ansible read the same hosts, groups and variables out of one file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_reader import ansible_inventory

from orchestr.inventory import graph, load_inventory, to_ansible_dict

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]


def _inventories() -> dict[str, Path]:
    tricky = [*sorted((HERE / "agree").glob("*.yml")), HERE / "agree/precedence/hosts.yml", HERE / "agree/directory"]
    for project in sorted((HERE / "agree/projects").iterdir()):
        tricky.append(project / "hosts.yml" if (project / "hosts.yml").exists() else project)
    own = [each for each in sorted((PROJECT / "inventories").rglob("*.yml")) if "_vars" not in str(each)]
    return {str(each.relative_to(PROJECT)): each for each in [*tricky, *own]}


INVENTORIES = _inventories()


@pytest.fixture(scope="module")
def ansible() -> dict[str, str]:
    """Ansible's list and graph of every inventory."""
    lists = {f"{name} list": ["-i", str(path), "--list"] for name, path in INVENTORIES.items()}
    graphs = {f"{name} graph": ["-i", str(path), "--graph"] for name, path in INVENTORIES.items()}
    return ansible_inventory({**lists, **graphs})


def test_there_are_more_than_twenty_tricky_inventories() -> None:
    """The agreement is tried on at least twenty inventories written to be hard."""
    assert len([name for name in INVENTORIES if "/agree/" in name]) >= 20


@pytest.mark.parametrize("name", INVENTORIES)
def test_list_agrees(name: str, ansible: dict[str, str]) -> None:
    """``to_ansible_dict`` is what ``ansible-inventory --list`` prints."""
    expected = json.loads(ansible[f"{name} list"])
    listed = json.loads(json.dumps(to_ansible_dict(load_inventory(INVENTORIES[name]))))
    assert _comparable(listed) == _comparable(expected)


@pytest.mark.parametrize("name", INVENTORIES)
def test_graph_agrees(name: str, ansible: dict[str, str]) -> None:
    """``graph`` is what ``ansible-inventory --graph`` prints."""
    assert graph(load_inventory(INVENTORIES[name])) == ansible[f"{name} graph"].rstrip("\n")


def test_the_reader_is_the_real_command(ansible: dict[str, str]) -> None:
    """What the forked reader answers is what the installed ``ansible-inventory`` prints."""
    name = "tests/unit/inventory/agree/precedence/hosts.yml"
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(INVENTORIES[name]), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    assert json.loads(done.stdout) == json.loads(ansible[f"{name} list"])


def test_extra_variables_agree(tmp_path: Path) -> None:
    """Extra variables win over everything and are listed on every host, as with ``-e``."""
    path = INVENTORIES["tests/unit/inventory/agree/precedence/hosts.yml"]
    arguments = ["-i", str(path), "--list", "-e", '{"p5": 9, "p6": 9, "new": [1]}']
    expected = json.loads(ansible_inventory({"extra": arguments})["extra"])
    assert to_ansible_dict(load_inventory(path, extra_vars={"p5": 9, "p6": 9, "new": [1]})) == expected


def test_binary_values_are_listed_as_they_are_written(tmp_path: Path) -> None:
    """Ansible cannot list ``!!binary`` at all; here it comes out as base64 again."""
    (tmp_path / "i.yml").write_text("all: {hosts: {a: {x: !!binary aGVsbG8=}}}\n")
    listed = to_ansible_dict(load_inventory(tmp_path / "i.yml"))
    assert json.loads(json.dumps(listed))["_meta"]["hostvars"]["a"]["x"] == "aGVsbG8="


def _comparable(listed: dict[str, object]) -> str:
    """NaN differs from itself, and the order of a set means nothing: compare the text of the JSON, sets sorted."""
    return json.dumps(listed, sort_keys=True, indent=1)
