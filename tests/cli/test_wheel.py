"""A wheel of this tree is the whole product: away from the checkout it has all packages, roles and playbooks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("orchestr", "roles", "playbooks", "inventories", "setup.cfg", "setup.py", "pyproject.toml", "README.md")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory a wheel was unpacked into, as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(tree)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def _files(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in paths}


def test_every_file_is_in_the_wheel(installed: Path) -> None:
    """Modules are found and not listed; of inventories the examples ship, the lab's do not."""
    assert _files(installed / "orchestr") == _files(ROOT / "orchestr")
    assert _files(installed / "orchestr_roles") == _files(ROOT / "roles")
    assert _files(installed / "orchestr_playbooks") == _files(ROOT / "playbooks")
    examples = {name for name in _files(ROOT / "inventories") if not name.startswith("lab/")}
    assert _files(installed / "orchestr_inventories") == examples
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        *("orchestr", "orchestr_roles", "orchestr_playbooks", "orchestr_inventories")
    }


@pytest.fixture
def away(installed: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a program that sees the wheel and not the checkout."""
    return {**os.environ, "PYTHONPATH": str(installed), "ORCHESTR_STATE": str(tmp_path / "state")}


def _run(away: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, env=away, capture_output=True, text=True)


def test_it_runs_from_the_wheel(away: dict[str, str], tmp_path: Path) -> None:
    """``doc`` knows every role, and ``plan`` plans one of them on this machine."""
    documented = _run(away, tmp_path, "-m", "orchestr", "doc")
    roles = [path.parent.name for path in (ROOT / "roles").glob("*/__init__.py")]
    assert [name for name in roles if name not in documented.stdout] == []
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/site.yml").write_text("- {hosts: all, roles: [base]}\n")
    (tmp_path / "hosts.yml").write_text(
        "all:\n  vars: {ansible_connection: local, base_packages: [], base_directories: {/nowhere: '0750'}}\n"
        "  hosts: {here: }\n"
    )
    planned = _run(away, tmp_path, "-m", "orchestr", "plan", "hosts.yml", "--json")
    assert planned.returncode == 3, planned.stderr
    (change,) = json.loads(planned.stdout)["hosts"]["here"]["changes"]
    assert "/nowhere" in change["name"]


def test_an_inventory_may_name_a_playbook_of_the_wheel(away: dict[str, str], installed: Path, tmp_path: Path) -> None:
    """The project's own playbook is preferred; without one it is the one that ships with orchestr."""
    (tmp_path / "inventories").mkdir()
    shutil.copy(installed / "orchestr_inventories/prod.yml", tmp_path / "inventories/prod.yml")
    program = (
        "import orchestr; from orchestr.planning.playbook_path import playbook_path\n"
        "print(playbook_path(orchestr.load_inventory('inventories/prod.yml')))"
    )
    shipped = installed / "orchestr_playbooks/livekit.yml"
    assert Path(_run(away, tmp_path, "-c", program).stdout.strip()) == shipped
    own = tmp_path / "playbooks/livekit.yml"
    own.parent.mkdir()
    shutil.copy(shipped, own)
    assert Path(_run(away, tmp_path, "-c", program).stdout.strip()) == own
