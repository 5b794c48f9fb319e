"""RabbitMQ is healthy, and only its application's network reaches it."""

from __future__ import annotations

from orchestr import Host, Outside
from orchestr.verification.applications import assert_closed, assert_healthy

from . import MANAGEMENT_PORT, PORT


def test_is_healthy(machine: Host) -> None:
    """RabbitMQ runs exactly once, and its own health check passes."""
    assert_healthy(machine, "rabbitmq")


def test_is_closed_to_other_hosts(outside: Outside, machine: Host) -> None:
    """Its ports answer neither from outside nor from another host."""
    assert_closed(outside, machine, (PORT, MANAGEMENT_PORT))
