"""Roles are strangers to each other and to the engine: adding one edits its own folder, playbook and inventories."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.name for path in (ROOT / "roles").glob("*/__init__.py"))
#: Names of roles that are words of the engine as well: a kind of resource or tool, never meant as the role.
WORDS = {"docker", "firewall", "swarm"}
SOURCES = [*sorted((ROOT / "orchestr").rglob("*.py")), *sorted((ROOT / "roles").rglob("*.py"))]


def named_roles(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each role that a source names in a string, `Use` left out: it is where a role is named."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = {id(inner) for node in ast.walk(tree) if _is_use(node) for inner in ast.walk(node)}
    own = path.relative_to(ROOT).parts[1] if path.is_relative_to(ROOT / "roles") else ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in allowed and _is_role(node.value, own):
            yield node.lineno, node.value
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("orchestr_roles."):
            yield node.lineno, str(node.module)


def _is_use(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Use"


def _is_role(value: object, own: str) -> bool:
    return isinstance(value, str) and value in ROLES and value != own and value not in WORDS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_role_is_named(path: Path) -> None:
    """No module of the engine names a role, and no role names another one, but for what it says it uses."""
    assert not list(named_roles(path))
