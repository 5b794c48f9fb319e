"""The nodes of the lab that the benchmark uses, how to reach them, and what they themselves spent."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "build/lab"
WORK = ROOT / "build/bench"
KEY = LAB / "id_ed25519"
KNOWN_HOSTS = LAB / "known_hosts"
NODES = {"lab3": "192.168.56.13", "lab4": "192.168.56.14", "lab5": "192.168.56.15"}
#: Takes back what the forty tasks make. Packages and services stay: nodes have no package lists to install from.
TO_BARE = """
rm -rf /opt/bench /var/lib/orchestr /root/.ansible
for port in $(seq 20000 20009); do
    if ufw show added | grep -q "$port/tcp"; then ufw delete allow $port/tcp; fi
done
"""


class Failed(SystemExit):
    """A command that had to succeed did not; the text says which, and what it printed."""


@dataclass(frozen=True)
class Spent:
    """CPU seconds of the nodes and bytes over their links, since they started; None where they cannot be read."""

    cpu_s: float | None
    wire_bytes: int | None

    def since(self, before: Spent) -> Spent:
        cpu_s = None if self.cpu_s is None or before.cpu_s is None else self.cpu_s - before.cpu_s
        is_known = self.wire_bytes is not None and before.wire_bytes is not None
        return Spent(cpu_s, (self.wire_bytes or 0) - (before.wire_bytes or 0) if is_known else None)


@contextmanager
def held() -> Iterator[None]:
    """Keep the tests off the nodes while they are measured, and wait for those that have them."""
    with ExitStack() as locks:
        for name in sorted(NODES):
            fcntl.flock(locks.enter_context((LAB / f"{name}.lock").open("w")), fcntl.LOCK_EX)
        yield


def ssh_login(address: str, *options: str) -> list[str]:
    """Return the beginning of an ssh command line."""
    return ["ssh", "-i", str(KEY), "-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-o", "BatchMode=yes", *options,
            f"root@{address}"]


def quietly(command: list[str], **options: object) -> str:
    """Run a command to its end and return what it printed. Raises Failed with its output."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return str(done.stdout)


def on_every_node(script: str) -> list[str]:
    """Run a shell script on all nodes at once; return what each printed. Raises Failed."""
    logins = [ssh_login(address, "-T") for address in NODES.values()]
    started = [
        subprocess.Popen([*login, "bash", "-e"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
        for login in logins
    ]
    printed = [process.communicate(script)[0] for process in started]
    for process, text in zip(started, printed, strict=True):
        if process.returncode != 0:
            raise Failed(f"on a node: exit {process.returncode}\n{script}\n{text}")
    return printed


def enable_firewalls() -> None:
    """Turn ufw on where it is off, so that rules are looked for in the kernel too."""
    on_every_node("ufw allow 22/tcp; ufw --force enable")


def reset() -> None:
    """Put the nodes back to bare where they are containers, so that nothing of earlier tests runs beside."""
    if all(_node_spent(name).cpu_s is not None for name in NODES):
        quietly(["tests/lab/lab.sh", "reset", *NODES])
    _inspected.clear()


def install_what_ansible_needs() -> None:
    """Install what Ansible's apt module asks of a host; without it every one of its runs would begin by doing so."""
    on_every_node(
        "dpkg-query -W python3-apt >/dev/null 2>&1 && exit 0\n"
        "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -q install -y python3-apt"
    )


def make_bare() -> None:
    """Take back what the play makes, on every node."""
    on_every_node(TO_BARE)


def spent() -> Spent:
    """Return what the nodes have spent so far; read from outside, so that looking costs them nothing."""
    found = [_node_spent(name) for name in NODES]
    cpu = [each.cpu_s for each in found]
    wire = [each.wire_bytes for each in found]
    return Spent(
        None if None in cpu else sum(each or 0.0 for each in cpu),
        None if None in wire else sum(each or 0 for each in wire),
    )


_inspected: dict[str, tuple[str, str]] = {}


def _node_spent(name: str) -> Spent:
    """Nodes that are containers of this machine: their control group and their interface, as this kernel sees them."""
    if name not in _inspected:
        asked = ["docker", "container", "inspect", "--format", "{{.Id}} {{.State.Pid}}", name]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        words = done.stdout.split()
        _inspected[name] = (words[0], words[1]) if len(words) == 2 else ("", "")
    container, process = _inspected[name]
    return Spent(_cpu_s(container), _wire_bytes(process)) if container else Spent(None, None)


def _cpu_s(container: str) -> float | None:
    first = Path(f"/sys/fs/cgroup/cpuacct/docker/{container}/cpuacct.usage")
    if first.exists():
        return int(first.read_text()) / 1e9
    for second in (f"docker/{container}", f"system.slice/docker-{container}.scope"):
        path = Path("/sys/fs/cgroup") / second / "cpu.stat"
        if path.exists():
            numbers = dict(line.split() for line in path.read_text().splitlines())
            return int(numbers["usage_usec"]) / 1e6
    return None


def _wire_bytes(process: str) -> int | None:
    """Return bytes received and sent by all Ethernet interfaces of a process's network."""
    try:
        lines = Path(f"/proc/{process}/net/dev").read_text().splitlines()
    except OSError:
        return None
    columns = [line.partition(":")[2].split() for line in lines if line.strip().startswith("eth")]
    return sum(int(each[0]) + int(each[8]) for each in columns)
