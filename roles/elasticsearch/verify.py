"""Elasticsearch runs, its kernel lets it, and nobody outside the system's network reaches it."""

from __future__ import annotations

from typing import Any

from orchestr.planning.plan import Host
from orchestr.verification.outside import Outside
from orchestr.verification.system_services import assert_healthy, assert_within_the_system

from . import LEAST_MAP_COUNT, PORT, TRANSPORT_PORT


def test_is_healthy(machine: Host) -> None:
    """Elasticsearch runs once, wherever the inventory puts it, and its own health check passes."""
    assert_healthy(machine, "elasticsearch")


def test_is_reached_within_the_system_only(outside: Outside, machine: Host) -> None:
    """Neither from outside nor from another host does a port of it answer."""
    assert_within_the_system(outside, machine, (PORT, TRANSPORT_PORT))


def test_the_kernel_gives_it_enough_maps(host: Any) -> None:
    """vm.max_map_count is as high as it needs to start again."""
    found = int(host.check_output("cat /proc/sys/vm/max_map_count"))
    assert found >= LEAST_MAP_COUNT, (
        f"vm.max_map_count is {found}: Elasticsearch would not start again; run orchestr again, or where "
        f"elasticsearch_max_map_count is 0, set it to {LEAST_MAP_COUNT}"
    )
