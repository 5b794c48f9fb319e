"""The record as a picture: horizontal bars on a logarithmic scale, as SVG written by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.targets import Record

COLOURS = {"orchestr": "#1f6feb", "floor": "#8b949e", "pyinfra": "#3fb950", "mitogen": "#d29922", "ansible": "#da3633"}
LEFT, WIDTH, RIGHT = 190, 560, 90
BAR, GAP, TOP = 16, 14, 56


def svg(record: Record) -> str:
    """Return the picture of all cases that have seconds."""
    cases = {name: bars_of(case) for name, case in record.items() if bars_of(case)}
    values = [seconds for bars in cases.values() for seconds in bars.values()]
    if not values:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    least, most = decades(values)
    height = TOP + sum(len(bars) * BAR + GAP for bars in cases.values()) + 10
    body = [*_grid(least, most, height), *_groups(cases, least, most)]
    total = LEFT + WIDTH + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
        '<text x="10" y="20" font-size="15" fill="#1f2328">Seconds (medians), logarithmic; less is better</text>\n'
        + "".join(line + "\n" for line in body)
        + "</svg>\n"
    )


def bars_of(case: Mapping[str, Any]) -> dict[str, float]:
    """Return tool → seconds, of the tools that ran and took time."""
    return {tool: case[f"{tool}_s"] for tool in COLOURS if (case.get(f"{tool}_s") or 0) > 0}


def decades(values: list[float]) -> tuple[int, int]:
    """Return the powers of ten that enclose all values.

    >>> decades([0.08, 230.0])
    (-2, 3)
    """
    return math.floor(math.log10(min(values))), math.floor(math.log10(max(values))) + 1


def position(seconds: float, least: int, most: int) -> float:
    """Return how far right of the axis a value lies, in pixels: 0 for 10**least, WIDTH for 10**most."""
    return (math.log10(seconds) - least) / (most - least) * WIDTH


def _grid(least: int, most: int, height: int) -> Iterator[str]:
    for power in range(least, most + 1):
        x = LEFT + position(10.0**power, least, most)
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 8}" stroke="#d0d7de"/>'
        yield f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle" fill="#59636e">{10.0**power:g} s</text>'


def _groups(cases: Mapping[str, Mapping[str, float]], least: int, most: int) -> Iterator[str]:
    y = TOP
    for name, bars in cases.items():
        yield f'<text x="10" y="{y + BAR - 4}" font-weight="bold" fill="#1f2328">{escape(name)}</text>'
        for tool, seconds in bars.items():
            length = max(1.0, position(seconds, least, most))
            yield f'<text x="{LEFT - 6}" y="{y + BAR - 4}" text-anchor="end" fill="#1f2328">{tool}</text>'
            yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{COLOURS[tool]}"/>'
            yield f'<text x="{LEFT + length + 4:.1f}" y="{y + BAR - 4}" fill="#1f2328">{seconds:.3g}</text>'
            y += BAR
        y += GAP
