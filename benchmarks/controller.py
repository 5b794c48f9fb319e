"""The cases without machines: fleets in memory, and what starting the command line takes."""

from __future__ import annotations

import functools
import json
import statistics
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.lab import quietly
from benchmarks.meter import measure
from benchmarks.plays import Case, rounded, say
from benchmarks.tools import ORCHESTR

#: What ``orchestr --help`` has no use for: connections, inventories, parameters, templates, reports, tests, secrets.
UNNEEDED = ("paramiko", "fabric", "invoke", "cryptography", "yaml", "pydantic", "jinja2", "rich", "pytest", "testinfra",
            "tenacity", "asyncio", "orchestr.engine", "orchestr.inventory", "orchestr.transport")
IMPORTS = f"""
import json, sys, time
began = time.perf_counter()
from orchestr.cli.main import main
imported_s = time.perf_counter() - began
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
unneeded = [name for name in {UNNEEDED!r} if name in sys.modules]
print(json.dumps([imported_s, len(sys.modules), unneeded]))
"""


def memory_1000(runs: Mapping[str, int]) -> Case:
    """A thousand hosts in memory, forty tasks each and none."""
    return in_memory(1000, runs["orchestr"])


def memory_5000(runs: Mapping[str, int]) -> Case:
    """Five thousand; with how much more a host costs there than among a thousand."""
    few, many = in_memory(1000, runs["orchestr"]), in_memory(5000, runs["orchestr"])
    growth = {
        "cpu_growth": rounded(many["cpu_ms_per_host"] / few["cpu_ms_per_host"]),
        "memory_kb_per_further_host": rounded((many["memory_kb"] - few["memory_kb"]) / 4000),
    }
    return {**many, **growth}


@functools.cache  # both cases need the thousand
def in_memory(hosts: int, runs: int) -> Case:
    """Run a fleet in memory, each time in a process of its own; medians."""
    forty = [_fleet(hosts, "forty") for _ in range(runs)]
    none = [_fleet(hosts, "none") for _ in range(runs)]
    memory_kb = _median(forty, "memory_kb")
    return {
        "orchestr_s": rounded(_median(forty, "wall_s")),
        "runs": len(forty),
        "cpu_ms_per_host": rounded(_median(forty, "cpu_s") / hosts * 1000),
        "agents_cpu_ms_per_host": rounded(_median(forty, "agents_cpu_s") / hosts * 1000),
        "memory_kb": memory_kb,
        "memory_kb_per_host": rounded(memory_kb / hosts),
        "process_mb": rounded(_median(forty, "process_mb")),
        "task_free_s": rounded(_median(none, "wall_s")),
        "task_free_cpu_ms_per_host": rounded(_median(none, "cpu_s") / hosts * 1000),
        "task_free_memory_kb_per_host": rounded(_median(none, "memory_kb") / hosts),
    }


def starting(runs: Mapping[str, int]) -> Case:
    """``orchestr --help``: its seconds, the import of the command line, and which modules came with it."""
    timed = [measure([str(ORCHESTR), "--help"]) for _ in range(runs["orchestr"])]
    bare = [measure([sys.executable, "-c", "pass"]) for _ in range(runs["orchestr"])]
    imports = [json.loads(quietly([sys.executable, "-c", IMPORTS])) for _ in range(runs["orchestr"])]
    return {
        "orchestr_s": rounded(statistics.median(run.wall_s for run in timed)),
        "runs": len(timed),
        "cpu_s": rounded(statistics.median(run.cpu_s for run in timed)),
        "bare_python_s": rounded(statistics.median(run.wall_s for run in bare)),
        "import_s": rounded(statistics.median(each[0] for each in imports)),
        "modules": imports[0][1],
        "unneeded_modules": len(imports[0][2]),
        "unneeded": imports[0][2],
    }


def _fleet(hosts: int, tasks: str) -> dict[str, Any]:
    done = measure([sys.executable, "-m", "benchmarks.memory_fleet", str(hosts), tasks])
    found: dict[str, Any] = json.loads(done.output)
    say(f"  {hosts} hosts in memory, tasks: {tasks:6} {found['wall_s']:8.3f} s")
    return found


def _median(each: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(run[key] for run in each))
