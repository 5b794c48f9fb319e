"""invoke is imported without unittest.mock, and works as if it were not so."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTED = "import sys; from orchestr.transport.invoke_import import import_invoke; import_invoke(); "


def _python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_ssh_needs_neither_mock_nor_asyncio() -> None:
    """Connecting is possible, and what takes long to import is not there."""
    program = (
        IMPORTED + "import orchestr.transport.ssh; print([n for n in ('unittest.mock', 'asyncio') if n in sys.modules])"
    )
    assert _python(IMPORTED + program) == "[]"


@pytest.mark.parametrize("first", [IMPORTED, "import sys, unittest.mock; " + IMPORTED, "import invoke; " + IMPORTED])
def test_the_real_mock_is_there_for_everybody_else(first: str) -> None:
    """A program that uses our library gets the real unittest.mock, and invoke's MockContext works."""
    program = first + (
        "from invoke import MockContext, Result; context = MockContext(run=Result('said')); "
        "print(context.run('x').stdout, context.run.call_count); "
        "from unittest.mock import AsyncMock, Mock; print(isinstance(context.run, Mock), AsyncMock.__module__)"
    )
    assert _python(program) == "said 1\nTrue unittest.mock"


def test_another_thread_gets_the_real_module_meanwhile() -> None:
    """Whoever imports unittest.mock in the middle of it is served from the real one."""
    program = (
        "import sys; from types import ModuleType; from orchestr.transport import invoke_import as module; "
        "begun = []; real = module.importlib.import_module\n"
        "def importing(name):\n"
        "    if name == 'invoke':\n"
        "        from unittest.mock import MagicMock; begun.append(MagicMock.__module__)\n"
        "    return real(name)\n"
        "module.importlib.import_module = importing; module.import_invoke(); print(begun, 'invoke' in sys.modules)"
    )
    assert _python(program) == "['unittest.mock'] True"
