"""The command line of the benchmark.

    python -m benchmarks [CASE...] [--runs N] [--tools orchestr,floor] [--keep-nodes]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping

from benchmarks import controller, lab, meter, plays, transfers
from benchmarks.fleets import write_known_hosts
from benchmarks.plot import svg
from benchmarks.table import report

Case = Callable[[Mapping[str, int]], plays.Case]
#: Case → what runs it, and how often each tool does; slow tools run less often.
CASES: dict[str, tuple[Case, dict[str, int]]] = {
    "converged_3": (plays.converged_3, {"orchestr": 15, "floor": 15, "pyinfra": 5, "mitogen": 3, "ansible": 2}),
    "converged_24": (plays.converged_24, {"orchestr": 7, "floor": 7, "pyinfra": 2, "mitogen": 1, "ansible": 1}),
    "first_3": (plays.first_3, {"orchestr": 5, "pyinfra": 3, "mitogen": 2, "ansible": 2}),
    "distance_3": (plays.distance_3, {"orchestr": 9, "floor": 9, "pyinfra": 2, "mitogen": 1, "ansible": 1}),
    "fleet_200": (plays.fleet_200, {"orchestr": 3, "floor": 3}),
    "memory_1000": (controller.memory_1000, {"orchestr": 3}),
    "memory_5000": (controller.memory_5000, {"orchestr": 3}),
    "image_push": (transfers.image_push, {"orchestr": 3, "floor": 3}),
    "image_repush": (transfers.image_repush, {"orchestr": 3, "floor": 3}),
    "file_push": (transfers.file_push, {"orchestr": 3, "floor": 3}),
    "help": (controller.starting, {"orchestr": 15}),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="orchestr beside the floor and its peers")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"all by default: {', '.join(CASES)}")
    parser.add_argument("--runs", type=int, help="at most so many runs of each tool")
    parser.add_argument("--tools", help="these only, with commas: orchestr, floor, pyinfra, mitogen, ansible")
    parser.add_argument("--keep-nodes", action="store_true", help="do not put the nodes back to bare first")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    return chosen


def main() -> None:
    chosen = arguments()
    lab.WORK.mkdir(parents=True, exist_ok=True)
    write_known_hosts(lab.KNOWN_HOSTS.read_text(), {})
    meter.adopt_orphans()
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
    record: dict[str, Mapping[str, object]] = {"machine": machine}
    with lab.held():
        if not chosen.keep_nodes:
            lab.reset()
        for name in chosen.cases or CASES:
            case, runs = CASES[name]
            print(name, file=sys.stderr, flush=True)
            record[name] = case(limited(runs, chosen.runs, chosen.tools))
            write(record)  # each time, so that a run that is broken off keeps what it has
    print(report(record))


def write(record: Mapping[str, Mapping[str, object]]) -> None:
    """Write build/bench.json, .md and .svg."""
    build = lab.ROOT / "build"
    (build / "bench.json").write_text(json.dumps(record, indent=2) + "\n")
    (build / "bench.md").write_text(report(record))
    (build / "bench.svg").write_text(svg(record))


def limited(runs: Mapping[str, int], most: int | None, tools: str | None) -> dict[str, int]:
    """Return the runs of the wanted tools, at most ``most`` of each."""
    wanted = set(tools.split(",")) if tools else set(runs)
    return {name: min(count, most or count) for name, count in runs.items() if name in wanted}


if __name__ == "__main__":
    main()
