"""The rules the layout stands on: what may import what, who may print, what every resource and role must have."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestr.resources
from orchestr.agent.resource import Resource, kinds
from orchestr.engine import bundle

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "orchestr"
TRAVELLING = sorted([*(PACKAGE / "agent").rglob("*.py"), *(PACKAGE / "resources").rglob("*.py")])
ROLES = sorted(path.parent for path in (ROOT / "roles").glob("*/__init__.py"))


def imports(path: Path) -> Iterator[str]:
    """Yield the modules a source file imports, type-checking blocks left out."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", TRAVELLING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_travels_needs_nothing_but_the_standard_library(path: Path) -> None:
    """The agent and the resources import the standard library and each other, nothing else."""
    for module in imports(path):
        top = module.partition(".")[0]
        assert top in sys.stdlib_module_names or module.startswith(("orchestr.agent", "orchestr.resources")), module


#: Modules that cost a host more to import than most tasks take. Types go under ``if TYPE_CHECKING:``, records replace
#: dataclasses and named tuples, light_json and light_threading (or the C modules beneath) the others.
SLOW = {"dataclasses", "typing", "subprocess", "json", "threading", "queue", "signal", "struct", "enum", "functools"}
IMPORTED_FOR_CHANGES = {"compose/apply.py"}  # sent when something is applied; the start of an agent never waits for it


@pytest.mark.parametrize("path", TRAVELLING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_travels_imports_nothing_slow(path: Path) -> None:
    """No module of ours imports a slow one while it is imported itself."""
    slow = SLOW - {"json"} if str(path).endswith(tuple(IMPORTED_FOR_CHANGES)) else SLOW
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & slow
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in slow, f"line {node.lineno} imports {node.module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "agent").rglob("*.py")), ids=lambda path: path.stem)
def test_the_agent_knows_no_resource(path: Path) -> None:
    """A new resource type needs no edit in the agent."""
    assert not [module for module in imports(path) if module.startswith("orchestr.resources")]


def test_the_bundle_is_complete() -> None:
    """Every agent module that an agent module imports travels with it, or is sent when it is asked for."""
    for module in bundle.AGENT_MODULES:
        assert set(bundle.imports_of(module, by_functions=False)) <= {*bundle.AGENT_MODULES}, module
        assert set(bundle.imports_of(module)) <= {*bundle.AGENT_MODULES, *bundle.WRITING_MODULES}, module
    for module in bundle.WRITING_MODULES:
        assert {module} <= set(bundle.modules_asked_for(module, ())) <= set(bundle.WRITING_MODULES)


def test_the_bundle_is_the_same_every_time() -> None:
    """The same start gives the same bytes."""
    start = {"nonce": "n", "run": "r"}
    assert bundle.program(start) == bundle.program(dict(start))


def test_only_reports_and_the_command_line_print() -> None:
    """The library prints nothing: print and sys.stdout appear in reports and cli only."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] in ("reports", "cli", "agent", "resources"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}"


def registered_resources() -> list[type]:
    for module in pkgutil.walk_packages(orchestr.resources.__path__, "orchestr.resources."):
        importlib.import_module(module.name)
    return [cls for cls in kinds().values() if issubclass(cls, Resource) and cls.__module__.startswith("orchestr.res")]


@pytest.mark.parametrize("cls", registered_resources(), ids=lambda cls: cls.kind)
def test_every_resource_says_what_it_touches(cls: type) -> None:
    """A resource's docstring begins with its contract and says what it observes and changes."""
    text = cls.__doc__ or ""
    assert "Observes" in text, cls
    assert "Change" in text or getattr(cls, "is_gate", False), cls


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_is_whole(role: Path) -> None:
    """A role has a docstring, a README and checks from outside; each parameter says what it is."""
    from orchestr.planning.role import load_role

    loaded = load_role(role.name, ROOT)
    assert loaded.summary
    assert (role / "README.md").is_file()
    assert (role / "verify.py").is_file()
    for name, field in loaded.params_class.model_fields.items():
        assert field.description, f"{role.name}: parameter {name} has no description"
