"""The cases that move bytes: an image without a registry, the same after its top layer changed, and a file."""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import lab
from benchmarks.fleets import KNOWN_HOSTS, on_nodes, yaml_inventory
from benchmarks.meter import Measured, measure
from benchmarks.plays import Case, costs, rounded, say
from benchmarks.schedule import rounds
from benchmarks.tools import ORCHESTR

IMAGE = "bench/payload"
LOWER_LAYERS, LOWER_BYTES, TOP_BYTES = 5, 39_000_000, 5_000_000
FILE_BYTES = 200_000_000
PROJECT = lab.WORK / "transfers"
CACHE = lab.WORK / "cache"
ADDRESSES = tuple(lab.NODES.values())
FORGET_IMAGES = f"docker image ls --quiet {IMAGE} | sort -u | xargs -r docker image rm --force >/dev/null"
FORGET_FILE = "rm -f /var/tmp/bench-payload"


def image_push(runs: Mapping[str, int]) -> Case:
    """200 MB of incompressible image to nodes that have none of it: to one and to three, beside the pipe."""
    prepare("first")
    ways = {"orchestr_one": push("first", 1), "floor_one": pipe("first", 1),
            "orchestr": push("first", 3), "floor": pipe("first", 3)}
    found = in_turns(ways, runs, FORGET_IMAGES)
    case = summary(found)
    case["speed_one"] = rounded(case["floor_one_s"] / case["orchestr_one_s"])
    case["speed_three"] = rounded(case["floor_s"] / case["orchestr_s"])
    return case


def image_repush(runs: Mapping[str, int]) -> Case:
    """The same image with another top layer, to three nodes that have the one before."""
    prepare("first")
    prepare("second")
    lab.on_every_node(FORGET_IMAGES)
    measure(*push("first", 3))
    forget = f"docker image rm --force {IMAGE}:second >/dev/null 2>&1 || true"
    case = summary(in_turns({"orchestr": push("second", 3), "floor": pipe("second", 3)}, runs, forget))
    lab.on_every_node(FORGET_IMAGES)
    sent = case["cost"]["orchestr"]["wire_bytes"]
    if sent is not None:
        case["bytes_fraction"] = rounded(sent / (3 * (LOWER_LAYERS * LOWER_BYTES + TOP_BYTES)))
    return case


def file_push(runs: Mapping[str, int]) -> Case:
    """A file of 200 MB to three nodes, beside scp to all three at once and one after the other."""
    lab.WORK.mkdir(parents=True, exist_ok=True)
    payload = lab.WORK / "payload"
    if not payload.exists() or payload.stat().st_size != FILE_BYTES:
        payload.write_bytes(os.urandom(FILE_BYTES))
    inventory = write_inventory("payload", 3, f"payload_path: {payload}")
    copies = [shlex.join(_scp(payload, address)) for address in ADDRESSES]
    ways = {
        "orchestr": _orchestr(inventory, "payload"),
        "floor": (["bash", "-ec", at_once(copies)], {}),
        "scp_in_turn": (["bash", "-ec", "\n".join(copies)], {}),
    }
    return summary(in_turns(ways, runs, FORGET_FILE))


# -- the ways -----------------------------------------------------------------------------------------------------
Way = tuple[list[str], dict[str, str]]


def push(tag: str, hosts: int) -> Way:
    """Return orchestr's command for an image to so many nodes."""
    return _orchestr(write_inventory(f"image-{tag}-{hosts}", hosts, f"image_reference: {IMAGE}:{tag}"), "image")


def pipe(tag: str, hosts: int) -> Way:
    """Return docker save | ssh docker load, node after node, as one does by hand."""
    loads = [f"docker save {IMAGE}:{tag} | {shlex.join(lab.ssh_login(address))} docker load --quiet"
             for address in ADDRESSES[:hosts]]
    return ["bash", "-o", "pipefail", "-ec", "\n".join(loads)], {}


def _orchestr(inventory: Path, playbook: str) -> Way:
    command = [str(ORCHESTR), "run", str(inventory), "--playbook", str(PROJECT / f"playbooks/{playbook}.yml")]
    return command, {"ORCHESTR_STATE": str(lab.WORK / "state"), "XDG_CACHE_HOME": str(CACHE)}


def _scp(payload: Path, address: str) -> list[str]:
    login = lab.ssh_login(address)
    return ["scp", "-q", *login[1:-1], str(payload), f"{login[-1]}:/var/tmp/bench-payload"]


def at_once(commands: Sequence[str]) -> str:
    """Return a shell script that runs commands side by side and fails when one of them does.

    >>> at_once(["a", "b"])
    'a & jobs="$jobs $!"\\nb & jobs="$jobs $!"\\nfor job in $jobs; do wait $job; done'
    """
    return "\n".join([*(f'{each} & jobs="$jobs $!"' for each in commands), "for job in $jobs; do wait $job; done"])


# -- before and after ---------------------------------------------------------------------------------------------
def in_turns(ways: Mapping[str, Way], runs: Mapping[str, int], forget: str) -> dict[str, list[Measured]]:
    """Run every way as often as its tool is to.

    Before each run the nodes forget what was sent, and this machine what orchestr saved of the local engine: both
    orchestr and the pipe have the image saved anew.
    """
    wanted = {name: runs.get(name.partition("_")[0], runs.get("floor", 0)) for name in ways}
    wanted = {name: count for name, count in wanted.items() if count}
    found: dict[str, list[Measured]] = {name: [] for name in wanted}
    for names in rounds(wanted):
        for name in names:
            lab.on_every_node(f"{forget}\nsync")
            shutil.rmtree(CACHE, ignore_errors=True)
            done = measure(*ways[name])
            say(f"  {name:13} {done.wall_s:8.3f} s")
            found[name].append(done)
    lab.on_every_node(forget)
    return found


def summary(found: Mapping[str, Sequence[Measured]]) -> Case:
    """Return medians of seconds and costs by way."""
    case: dict[str, Any] = {
        f"{name}_s": rounded(statistics.median(run.wall_s for run in each)) for name, each in found.items()
    }
    case["runs"] = max(len(each) for each in found.values())
    case["runs_of"] = {name: len(each) for name, each in found.items()}
    case["cost"] = {name: costs(each) for name, each in found.items()}
    return case


def write_inventory(name: str, hosts: int, variable: str) -> Path:
    """Write the project of the transfers with an inventory of the first nodes and one variable for its role."""
    shutil.copytree(lab.ROOT / "benchmarks/transfer_project", PROJECT, dirs_exist_ok=True)
    path = PROJECT / f"inventories/{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml_inventory(on_nodes(hosts), lab.KEY, KNOWN_HOSTS)
    path.write_text(text.replace("  vars:\n", f"  vars:\n    {variable}\n", 1))
    return path


def prepare(tag: str) -> None:
    """Build the image in the local engine: random layers, the lower ones alike for all tags."""
    context = lab.WORK / "image"
    context.mkdir(parents=True, exist_ok=True)
    lower = [f"lower-{number}" for number in range(LOWER_LAYERS)]
    sizes = {**{name: LOWER_BYTES for name in lower}, f"top-{tag}": TOP_BYTES}
    for name, size in sizes.items():
        if not (context / name).exists():
            (context / name).write_bytes(os.urandom(size))
    copies = "".join(f"COPY {name} /{name}\n" for name in [*lower, f"top-{tag}"])
    (context / "Dockerfile").write_text(f"FROM scratch\n{copies.replace(f'/top-{tag}', '/top')}CMD [\"/top\"]\n")
    lab.quietly(["docker", "build", "--quiet", "--tag", f"{IMAGE}:{tag}", str(context)])
