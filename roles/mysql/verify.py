"""MySQL runs and lets its user in, and nobody outside the system's network reaches it."""

from __future__ import annotations

from orchestr.planning.plan import Host
from orchestr.verification.outside import Outside
from orchestr.verification.system_services import assert_healthy, assert_within_the_system

from . import PORT


def test_is_healthy(machine: Host) -> None:
    """MySQL runs once, wherever the inventory puts it, and its own health check passes."""
    assert_healthy(machine, "mysql")


def test_is_reached_within_the_system_only(outside: Outside, machine: Host) -> None:
    """Neither from outside nor from another host does a port of it answer."""
    assert_within_the_system(outside, machine, (PORT,))
