"""The cases that run the forty tasks: converged, from bare, far away, and on a fleet."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import lab
from benchmarks.fleets import KNOWN_HOSTS, Fleet, LogicalHost, on_nodes, write_fleet, write_known_hosts
from benchmarks.meter import Measured, measure
from benchmarks.schedule import rounds
from benchmarks.tools import TOOLS

ROUND_TRIP_S = 0.05
Case = dict[str, Any]


def converged_3(runs: Mapping[str, int]) -> Case:
    """Forty tasks that find nothing to do, on three hosts; with what each tool costs."""
    fleet = prepared(write_fleet("three", on_nodes(3)), runs)
    peaks = {name: once(name, fleet, is_sampled=True) for name in runs}
    case = summary(interleaved(runs, fleet))
    for name, peak in peaks.items():
        case["cost"][name]["peak_memory_mb"] = rounded(peak.peak_mb)
    return case


def converged_24(runs: Mapping[str, int]) -> Case:
    """The same on 24 logical hosts, eight names per node."""
    fleet = prepared(write_fleet("twentyfour", on_nodes(24)), runs)
    return summary(interleaved(runs, fleet))


def first_3(runs: Mapping[str, int]) -> Case:
    """The same from bare; after each run the floor's checks say whether the end state is the wanted one."""
    fleet = write_fleet("three", on_nodes(3))
    lab.enable_firewalls()
    allow_for(runs)
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    for names in rounds(runs):
        for name in names:
            lab.make_bare()
            done = measure(TOOLS[name].command(fleet), TOOLS[name].env)
            say(f"  first {name:9} {done.wall_s:8.3f} s")
            once("floor", fleet)
            found[name].append(done)
    return summary(found)


def distance_3(runs: Mapping[str, int]) -> Case:
    """Converged, on three hosts 50 ms away, beside the same on hosts nearby."""
    near = prepared(write_fleet("three", on_nodes(3)), runs)
    with proxied(ROUND_TRIP_S) as far_hosts:
        far = write_fleet("far", far_hosts)
        once("orchestr", far)
        found: dict[str, list[Measured]] = {name: [] for name in runs}
        local: dict[str, list[float]] = {"orchestr": [], "handshake": [], "far_handshake": []}
        for names in rounds(runs):
            for name in names:
                found[name].append(once(name, far))
                if name == "orchestr":
                    local["orchestr"].append(once(name, near).wall_s)
                    local["handshake"].append(handshake_s(near))
                    local["far_handshake"].append(handshake_s(far))
    case = summary(found)
    if "orchestr" in runs:
        medians = {name: statistics.median(each) for name, each in local.items()}
        case["local_s"] = rounded(medians["orchestr"])
        case["handshake_s"] = rounded(medians["far_handshake"] - medians["handshake"])
        beyond = case["orchestr_s"] - case["local_s"] - case["handshake_s"]
        case["extra_round_trips"] = rounded(beyond / ROUND_TRIP_S)
    return case


def fleet_200(runs: Mapping[str, int]) -> Case:
    """Two hundred logical hosts; a failure of any of them stops the benchmark."""
    fleet = prepared(write_fleet("twohundred", on_nodes(200)), runs)
    case = summary(interleaved(runs, fleet))
    case["peak_memory_mb"] = case["cost"].get("orchestr", {}).get("largest_process_mb")  # it is one process
    return {**case, "hosts": len(fleet.hosts), "failures": 0}


def allow_for(tools: Iterable[str]) -> None:
    """Give the nodes what the tools need on them before anything is measured."""
    if {"ansible", "mitogen"} & set(tools):
        lab.install_what_ansible_needs()


def prepared(fleet: Fleet, tools: Iterable[str]) -> Fleet:
    """Make the nodes converged, check it by the floor, and return the fleet."""
    lab.enable_firewalls()
    allow_for(tools)
    three = write_fleet("three", on_nodes(3))
    measure(TOOLS["orchestr"].command(three), TOOLS["orchestr"].env)
    once("floor", three)
    return fleet


def once(name: str, fleet: Fleet, *, is_sampled: bool = False) -> Measured:
    """Run a tool that is to find nothing to change. Raises Failed when it does, or misses a host."""
    tool = TOOLS[name]
    done = measure(tool.command(fleet), tool.env, is_sampled=is_sampled)
    tool.expect_converged(fleet, done.output)
    say(f"  {len(fleet.hosts)} hosts {name:9} {done.wall_s:8.3f} s{' (sampled)' if is_sampled else ''}")
    return done


def interleaved(runs: Mapping[str, int], fleet: Fleet) -> dict[str, list[Measured]]:
    """Run every tool as often as it is to, in turns."""
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    for names in rounds(runs):
        for name in names:
            found[name].append(once(name, fleet))
    return found


def summary(found: Mapping[str, Sequence[Measured]]) -> Case:
    """Return medians of seconds, their extremes and the medians of costs, by tool."""
    case: Case = {f"{name}_s": rounded(statistics.median(run.wall_s for run in each)) for name, each in found.items()}
    case["runs"] = max(len(each) for each in found.values())
    case["runs_of"] = {name: len(each) for name, each in found.items()}
    case["least_and_most_s"] = {
        name: [rounded(min(run.wall_s for run in each)), rounded(max(run.wall_s for run in each))]
        for name, each in found.items()
    }
    case["cost"] = {name: costs(each) for name, each in found.items()}
    return case


def costs(each: Sequence[Measured]) -> dict[str, float | None]:
    """Return the medians of what runs cost the controller, the nodes and the wire; None where it is not known."""
    columns: dict[str, list[float | None]] = {
        "cpu_s": [run.cpu_s for run in each],
        "largest_process_mb": [run.max_rss_mb for run in each],
        "remote_cpu_s": [run.remote.cpu_s for run in each],
        "wire_bytes": [run.remote.wire_bytes for run in each],
    }
    return {name: median_or_none(values) for name, values in columns.items()}


def median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return rounded(statistics.median(known)) if len(known) == len(values) and known else None


def rounded(value: float | None) -> float | None:
    """Return four significant digits, whole numbers from a thousand on."""
    if value is None:
        return None
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")


def handshake_s(fleet: Fleet) -> float:
    """Return the seconds of connecting and logging in to all hosts of a fleet at once, by paramiko alone."""
    login = [sys.executable, "-m", "benchmarks.handshake", str(lab.KEY), str(KNOWN_HOSTS), *fleet.endpoints]
    return float(measure(login).output)


@contextmanager
def proxied(round_trip_s: float) -> Iterator[list[LogicalHost]]:
    """Put the nodes at a distance for as long as the context lasts."""
    targets = [f"{address}:22" for address in lab.NODES.values()]
    command = [sys.executable, "-m", "benchmarks.delay_proxy", str(round_trip_s * 1000), *targets]
    proxy = subprocess.Popen(command, cwd=lab.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert proxy.stdin is not None and proxy.stdout is not None
    try:
        ports = [int(word) for word in proxy.stdout.readline().split()]
        places = {address: ("127.0.0.1", port) for address, port in zip(lab.NODES.values(), ports, strict=True)}
        write_known_hosts(lab.KNOWN_HOSTS.read_text(), places)
        yield [LogicalHost(f"far-{name}", *places[address]) for name, address in lab.NODES.items()]
    finally:
        proxy.stdin.close()
        proxy.wait()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
