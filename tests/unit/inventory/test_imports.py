"""No module of the inventory, the templates or the vault needs another to be imported before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[3] / "orchestr"
FIRST = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "orchestr"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""


def test_each_module_can_be_imported_first() -> None:
    """Imports form no circle: whichever module comes first, everything it needs is there."""
    names = [
        f"orchestr.{path.parent.name}.{path.stem}"
        for package in ("inventory", "templating", "vault")
        for path in sorted((PACKAGE / package).glob("*.py"))
        if path.stem != "__init__"
    ]
    assert len(names) > 25
    done = subprocess.run([sys.executable, "-c", FIRST, *names], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
