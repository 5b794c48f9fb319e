"""Import invoke, which fabric and paramiko need, without the ``unittest.mock`` that only its ``MockContext`` uses.

``unittest.mock`` brings asyncio and ssl with it: 40 ms of each command that connects by SSH, as much as a host costs
in a run that changes nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

MOCK = "unittest.mock"


def import_invoke() -> None:
    """Import invoke; its ``Mock`` is imported when somebody makes a ``MockContext``. Does nothing the second time."""
    if "invoke" in sys.modules or MOCK in sys.modules:
        return
    stand_in = ModuleType(MOCK)
    stand_in.__dict__.update(Mock=_make_mock, __getattr__=_attribute)
    sys.modules[MOCK] = stand_in
    try:
        importlib.import_module("invoke")
    finally:
        _withdraw(stand_in)


def _withdraw(stand_in: ModuleType) -> None:
    if sys.modules.get(MOCK) is stand_in:
        del sys.modules[MOCK]


def _make_mock(*values: Any, **named: Any) -> Any:
    return importlib.import_module(MOCK).Mock(*values, **named)


def _attribute(name: str) -> Any:
    """Return an attribute of the real module, for another thread that imports it at this moment."""
    if name.startswith("__"):  # asked for by the import system
        raise AttributeError(name)
    sys.modules.pop(MOCK, None)
    return getattr(importlib.import_module(MOCK), name)
