"""The test seam stands on the agent alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TRANSPORT = Path(__file__).resolve().parents[3] / "orchestr" / "transport"
ABOVE = ("engine", "planning", "applications", "upgrade", "verification", "reports", "cli")


@pytest.mark.parametrize("path", sorted(TRANSPORT.glob("*.py")), ids=lambda path: path.stem)
def test_transport_imports_nothing_from_above(path: Path) -> None:
    """A transport carries bytes for the engine and knows nothing of it."""
    modules = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not [module for module in modules if module.startswith(tuple(f"orchestr.{name}" for name in ABOVE))]
