"""Elasticsearch is healthy, its kernel setting is high enough, and only its application's network reaches it."""

from __future__ import annotations

from typing import Any

from orchestr import Host, Outside
from orchestr.verification.applications import assert_closed, assert_healthy

from . import LEAST_MAP_COUNT, PORT, TRANSPORT_PORT


def test_is_healthy(machine: Host) -> None:
    """Elasticsearch runs exactly once, and its own health check passes."""
    assert_healthy(machine, "elasticsearch")


def test_is_closed_to_other_hosts(outside: Outside, machine: Host) -> None:
    """Its ports answer neither from outside nor from another host."""
    assert_closed(outside, machine, (PORT, TRANSPORT_PORT))


def test_the_kernel_gives_it_enough_maps(host: Any) -> None:
    """vm.max_map_count is high enough for Elasticsearch to restart."""
    current = int(host.check_output("cat /proc/sys/vm/max_map_count"))
    assert current >= LEAST_MAP_COUNT, (
        f"vm.max_map_count is {current}: Elasticsearch would not restart; run orchestr again, or where "
        f"elasticsearch_max_map_count is 0, set vm.max_map_count to {LEAST_MAP_COUNT}"
    )
