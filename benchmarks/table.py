"""The record as Markdown: a table of seconds, one of costs, and the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.targets import Record, targets

TOOLS = ("orchestr", "floor", "pyinfra", "mitogen", "ansible")
COSTS = (("cpu_s", "controller CPU, s"), ("peak_memory_mb", "peak memory, MB"), ("remote_cpu_s", "hosts' CPU, s"),
         ("wire_bytes", "bytes on the wire"))


def report(record: Record) -> str:
    """Return the whole report."""
    costs = record.get("converged_3", {}).get("cost", {})
    sections = {
        "Seconds (medians)": table(("case", *TOOLS, "runs"), [_seconds(name, case) for name, case in _cases(record)]),
        "Cost of `converged_3`": table(("tool", *(title for _, title in COSTS)), list(_costs(costs))),
        "Further figures": table(("case", "figure", "value"), list(_figures(record))),
        "Targets": table(
            ("what", "wanted", "measured", "verdict"),
            [(each.what, each.wanted, each.measured, each.verdict) for each in targets(record)],
        ),
    }
    shown = {title: list(lines) for title, lines in sections.items()}
    return "\n".join("\n".join([f"## {title}\n", *lines, ""]) for title, lines in shown.items() if lines)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table with its columns aligned, numbers to the right; none for no rows."""
    if not rows:
        return
    cells = [list(titles), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_number = [all(_is_number(row[index]) for row in cells[1:]) for index in range(len(titles))]
    lines = [[text.rjust(width) if number else text.ljust(width)
              for text, width, number in zip(row, widths, is_number, strict=True)] for row in cells]
    rule = ["-" * (width - 1) + ":" if number else "-" * width for width, number in zip(widths, is_number, strict=True)]
    for row in (lines[0], rule, *lines[1:]):
        yield f"| {' | '.join(row)} |"


def _cases(record: Record) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((name, case) for name, case in record.items() if any(f"{tool}_s" in case for tool in TOOLS))


def _seconds(name: str, case: Mapping[str, Any]) -> list[str]:
    runs = case.get("runs_of", {})
    counts = "/".join(str(runs[tool]) for tool in TOOLS if tool in runs) or str(case.get("runs", ""))
    return [name, *(_number(case.get(f"{tool}_s")) for tool in TOOLS), counts]


def _costs(costs: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    return ([tool, *(_number(costs[tool].get(key)) for key, _ in COSTS)] for tool in TOOLS if tool in costs)


def _figures(record: Record) -> Iterator[list[str]]:
    shown = {"runs", *(f"{tool}_s" for tool in TOOLS)}
    for name, case in record.items():
        for key, value in case.items():
            if key not in shown and not isinstance(value, (dict, list)):
                yield [name, key, value if isinstance(value, str) else _number(value)]


def _is_number(text: str) -> bool:
    return text in ("", "–") or text.replace(",", "").replace(".", "").replace("/", "").isdigit()


def _number(value: float | None) -> str:
    """Return a number for a reader: an en dash for none, thousands apart, at most three digits behind the point."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3f}".rstrip("0").rstrip(".")
