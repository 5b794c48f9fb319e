"""Waiting for a condition. No test is about how long something takes: only a hang reaches the bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: Far more than the slowest machine under load needs.
HANG_S = 300.0


def wait_until(condition: Callable[[], Any], otherwise: str = "the condition did not come true") -> Any:
    """Return the condition's value as soon as it is true; fail with ``otherwise`` if it never is."""
    give_up = time.monotonic() + HANG_S
    while not (value := condition()):
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.02)
    return value
