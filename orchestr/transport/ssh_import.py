"""Import the SSH transport without unittest.mock: paramiko imports invoke, which uses that in a helper for tests only.

unittest.mock brings asyncio with it; both are a twentieth of what a converged run of a few hosts costs the controller.
Where somebody has imported it already, nothing is done.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

MOCK = "unittest.mock"


def import_ssh() -> None:
    """Import `orchestr.transport.ssh`, and with it fabric and paramiko."""
    if "orchestr.transport.ssh" in sys.modules:
        return
    with _stand_in_for_mock():
        import orchestr.transport.ssh  # noqa: F401


@contextlib.contextmanager
def _stand_in_for_mock() -> Iterator[None]:
    stand_in = ModuleType(MOCK)
    stand_in.__dict__.update(Mock=_mock, __getattr__=_real)
    is_ours = sys.modules.setdefault(MOCK, stand_in) is stand_in
    try:
        yield
    finally:
        if is_ours:
            sys.modules.pop(MOCK, None)


def _real(name: str) -> Any:
    """Return what another thread, which asks for the module just then, wants of it: from the real one."""
    if name.startswith("__"):  # what the import system asks of every module
        raise AttributeError(name)
    sys.modules.pop(MOCK, None)
    return getattr(importlib.import_module(MOCK), name)


def _mock(*given: Any, **options: Any) -> Any:
    """Return what the real one does, imported when someone asks."""
    from unittest.mock import Mock

    return Mock(*given, **options)
