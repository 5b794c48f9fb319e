"""What is to be reached, and by how much it was: pure functions of the record that ends in build/bench.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """``ratio`` is what was measured over what is allowed (or, for a least, the other way round): at most 1 is met."""

    what: str
    wanted: str
    measured: str
    ratio: float

    @property
    def verdict(self) -> str:
        """Return ``met``, or by how much it was missed."""
        return "met" if self.ratio <= 1 else f"missed by {(self.ratio - 1) * 100:.0f} %"


def at_most(what: str, value: float, limit: float, unit: str) -> Target:
    ratio = value / limit if limit else 1.0 + value
    return Target(what, f"≤ {_short(limit)}{unit}", f"{_short(value)}{unit}", ratio)


def at_least(what: str, value: float, limit: float, unit: str) -> Target:
    return Target(what, f"≥ {_short(limit)}{unit}", f"{_short(value)}{unit}", limit / value if value > 0 else 1e9)


def targets(record: Record) -> Iterator[Target]:
    """Yield the targets that the record has figures for."""
    for case, hosts, floor, peers in (
        ("converged_3", 3, 1.6, {"pyinfra": 6, "mitogen": 15, "ansible": 30}),
        ("converged_24", 24, 1.4, {"pyinfra": 8, "mitogen": 35, "ansible": 90}),
    ):
        yield from _beside(record, case, f"converged, {hosts} hosts", floor, peers)
    yield from _first(record)
    yield from _far(record)
    yield from _beside(record, "fleet_200", "200 SSH hosts", 1.5, {})
    for case, key, what, limit, unit in AT_MOST:
        value = record.get(case, {}).get(key)
        if value is not None:
            yield at_most(what, value, limit, unit)
    for case, key, what, limit, unit in AT_LEAST:
        value = record.get(case, {}).get(key)
        if value is not None:
            yield at_least(what, value, limit, unit)


AT_MOST = (
    ("fleet_200", "peak_memory_mb", "200 SSH hosts, controller's peak memory", 250, " MB"),
    ("memory_5000", "cpu_ms_per_host", "5,000 memory hosts, controller's CPU per host", 1, " ms"),
    ("memory_5000", "memory_kb_per_host", "5,000 memory hosts, memory per host", 50, " KB"),
    ("memory_5000", "cpu_growth", "5,000 memory hosts, CPU per host over that of 1,000", 1.15, "×"),
    ("image_repush", "bytes_fraction", "image with a new top layer, of the image's bytes", 0.05, ""),
    ("help", "orchestr_s", "orchestr --help", 0.15, " s"),
    ("help", "unneeded_modules", "orchestr --help, modules it does not need", 0, ""),
)
AT_LEAST = (
    ("image_push", "speed_one", "image to one host, speed over the pipe's", 1, "×"),
    ("image_push", "speed_three", "image to three hosts, speed over three pipes'", 1, "×"),
)


def _beside(record: Record, case: str, what: str, floor: float, peers: Mapping[str, float]) -> Iterator[Target]:
    found = record.get(case, {})
    own = found.get("orchestr_s")
    if own is None:
        return
    if "floor_s" in found:
        yield at_most(f"{what}, over the floor", own / found["floor_s"], floor, "×")
    for peer, limit in peers.items():
        if f"{peer}_s" in found:
            yield at_least(f"{what}, faster than {peer}", found[f"{peer}_s"] / own, limit, "×")


def _first(record: Record) -> Iterator[Target]:
    found = record.get("first_3", {})
    peers = [found[f"{peer}_s"] for peer in ("pyinfra", "mitogen", "ansible") if f"{peer}_s" in found]
    if "orchestr_s" in found and peers:
        yield at_least("first play, 3 hosts, faster than the fastest peer", min(peers) / found["orchestr_s"], 3, "×")


def _far(record: Record) -> Iterator[Target]:
    trips = record.get("distance_3", {}).get("extra_round_trips")
    if trips is not None:
        yield at_most("50 ms away, round trips beyond the handshake's", trips, 3, "")


def _short(number: float) -> str:
    """Return three significant digits.

    >>> [_short(each) for each in (0.05, 1.6, 30, 250, 19.912)]
    ['0.05', '1.6', '30', '250', '19.9']
    """
    return f"{number:.3g}"


def main() -> None:
    """Print the verdicts of build/bench.json."""
    with open("build/bench.json", encoding="utf-8") as stream:
        for target in targets(json.load(stream)):
            print(f"{target.what}: {target.measured} ({target.wanted}): {target.verdict}")


if __name__ == "__main__":
    main()
