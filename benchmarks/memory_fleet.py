"""A fleet in memory, in a process of its own: what the controller itself costs per host. Prints one line of JSON.

    python -m benchmarks.memory_fleet HOSTS forty|none

``forty`` are forty tasks that find nothing to do: ten directories, ten files, five lines, ten files and five
directories more, in place of packages, services and firewall rules, which a host in memory does not have. ``none`` is a
role without tasks: what a host costs before it has any. The agents run in this process too; their share of the CPU,
which on machines would be the machines', is taken off where the transport counts it. Memory is the whole process's.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

ROLE = '''
"""Ordinary tasks, as many as `none` or forty."""
from orchestr.resources.files import Directory, File
from orchestr.resources.lines import Line
from orchestr.planning.role import Params as Base

class Params(Base):
    pass

def deploy(host, params):
    if TASKS == "none":
        return
    for number in range(15):
        yield Directory(f"/opt/bench/{number}", mode=0o750)
    for number in range(15):
        yield File(f"/opt/bench/{number}/file", content=f"line {number}\\n" * 50, mode=0o640)
    for number in range(10):
        yield Line(f"/opt/bench/lines-{number}", line=f"setting = {number}", create=True)
'''


def write_project(root: Path, names: list[str], tasks: str) -> Path:
    """Write a project whose hosts are called as given; return its inventory."""
    files = {
        "roles/bench/__init__.py": ROLE.replace("TASKS ==", f"{tasks!r} =="),
        "playbooks/site.yml": "- name: bench\n  hosts: all\n  roles: [bench]\n",
        "inventories/all.yml": "all:\n  hosts:\n" + "".join(f"    {name}:\n" for name in names),
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root / "inventories/all.yml"


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_kb() -> int:
    """Return what the process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def peak_kb() -> int:
    """Return the most it held; of this process alone, whatever the one that started it holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    count, tasks = int(sys.argv[1]), sys.argv[2]
    names = [f"h{number:04}" for number in range(count)]
    with tempfile.TemporaryDirectory() as directory:
        os.environ["ORCHESTR_STATE"] = directory + "/state"
        import orchestr
        from orchestr.transport.memory import MemoryHost, memory_connector

        path = write_project(Path(directory) / "project", names, tasks)
        one = {"h0000": MemoryHost()}
        # What all hosts of a run share (imports, the program) is there before anything is counted.
        orchestr.run(orchestr.load_inventory(path), limit="h0000", connector=memory_connector(one), journal=False)
        hosts = {name: MemoryHost(dict(one["h0000"].nodes)) for name in names}
        before_s, before_kb, began = cpu_s(), resident_kb(), time.perf_counter()
        result = orchestr.run(orchestr.load_inventory(path), connector=memory_connector(hosts))
        wall_s, used_s = time.perf_counter() - began, cpu_s() - before_s
    agents_s = sum(getattr(host, "agent_cpu_s", 0.0) for host in hosts.values())
    outcomes = [result.hosts[name] for name in names]
    assert result.exit_code == 0 and all(each.changed == 0 for each in outcomes), result
    print(json.dumps({
        "hosts": count, "wall_s": wall_s, "cpu_s": used_s - agents_s, "agents_cpu_s": agents_s,
        "memory_kb": peak_kb() - before_kb, "process_mb": peak_kb() / 1024,
    }))


if __name__ == "__main__":
    main()
