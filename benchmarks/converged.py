"""Forty converged tasks on three lab nodes, orchestr beside the floor, interleaved; medians to build/bench.json.

    python benchmarks/converged.py [RUNS]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "build" / "lab"
INVENTORY = ROOT / "benchmarks/project/inventories/lab.yml"
ADDRESSES = ("192.168.56.13", "192.168.56.14", "192.168.56.15")
COMMANDS = {
    "floor": [sys.executable, "benchmarks/floor.py", str(LAB / "id_ed25519"), str(LAB / "known_hosts"), *ADDRESSES],
    "orchestr": [str(Path(sys.executable).with_name("orchestr")), "run", str(INVENTORY)],
}


def timed(command: list[str]) -> float:
    """Run a command to its end and return its seconds. Raises when it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    elapsed = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return elapsed


def enable_firewalls() -> None:
    """Turn ufw on where it is off, so that rules are looked for in the kernel too."""
    for address in ADDRESSES:
        login = ["ssh", "-i", str(LAB / "id_ed25519"), "-o", f"UserKnownHostsFile={LAB / 'known_hosts'}"]
        timed([*login, f"root@{address}", "ufw allow 22/tcp && ufw --force enable"])


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    enable_firewalls()
    timed(COMMANDS["orchestr"])
    for command in COMMANDS.values():
        timed(command)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            seconds[name].append(timed(command))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ratio = medians["orchestr"] / medians["floor"]
    for name, each in seconds.items():
        print(f"{name:10} median {medians[name]:.3f} s   min {min(each):.3f}   max {max(each):.3f}   ({runs} runs)")
    print(f"converged, 40 tasks, 3 hosts: orchestr is {ratio:.2f} x the floor (target: at most 2)")
    record = {
        "converged_3": {"orchestr_s": medians["orchestr"], "floor_s": medians["floor"], "runs": runs},
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    (ROOT / "build/bench.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
