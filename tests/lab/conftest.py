"""The lab for tests: real nodes, reset before a module that asks for it. A lab that is missing fails, never skips."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "build" / "lab"
ADDRESSES = {f"lab{number}": f"192.168.56.{10 + number}" for number in range(1, 6)}


def ssh(node: str, *command: str, user: str = "root", input: str | None = None, check: bool = True) -> str:
    """Run a command on a node with OpenSSH's own client, not ours; return its output."""
    done = subprocess.run(
        [
            "ssh",
            "-i",
            str(LAB / "id_ed25519"),
            "-o",
            f"UserKnownHostsFile={LAB / 'known_hosts'}",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=10",
            f"{user}@{ADDRESSES[node]}",
            "--",
            *command,
        ],
        input=input,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{node}: {command}: exit {done.returncode}: {done.stderr[-2000:]}{done.stdout[-500:]}")
    return done.stdout


def lab(*words: str) -> None:
    """Call the lab's own script (reset, freeze, thaw, kill, start) for some nodes."""
    done = subprocess.run(
        ["bash", str(ROOT / "tests/lab/lab.sh"), *words], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, f"lab.sh {' '.join(words)}: {done.stderr[-2000:]}"


@pytest.fixture(scope="session", autouse=True)
def nodes() -> dict[str, str]:
    """All nodes, up; name → address."""
    if not all(_has_sshd(address) for address in ADDRESSES.values()):
        lab("up")
    return ADDRESSES


def _has_sshd(address: str) -> bool:
    try:
        socket.create_connection((address, 22), 2).close()
    except OSError:
        return False
    return True


LIVEKIT_VERSION, OLDEST_LIVEKIT_VERSION = "v1.13.5", "v1.8.4"


def livekit_image(version: str) -> str:
    """Have LiveKit's own server of a version as an image; return its name. Fails where there is only the stand-in."""
    script = str(ROOT / "tests/lab/images/livekit.sh")
    subprocess.run(["bash", script, "image", version], capture_output=True, timeout=900, cwd=ROOT)
    state = subprocess.run(["bash", script, "status", version], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert state.returncode == 0, f"these tests are about LiveKit's own server, and there is none: {state.stdout}"
    return f"livekit/livekit-server:{version}"


@pytest.fixture(scope="session")
def real_livekit(nodes: dict[str, str]) -> str:
    """The image of LiveKit's own server that the lab's inventories name."""
    return livekit_image(LIVEKIT_VERSION)


@pytest.fixture(scope="session")
def older_livekit(nodes: dict[str, str]) -> str:
    """The image of the oldest LiveKit that the role knows."""
    return livekit_image(OLDEST_LIVEKIT_VERSION)


@pytest.fixture(scope="module")
def bare(request: pytest.FixtureRequest, nodes: dict[str, str]) -> Iterator[list[str]]:
    """The nodes a module names in ``NODES`` (default: all), back to bare once for it and its alone meanwhile.

    Another pytest on the same lab waits: it would reset the nodes under this one's feet.
    """
    names: list[str] = list(getattr(request.module, "NODES", nodes))
    with contextlib.ExitStack() as held:
        for name in sorted(names):
            lock = held.enter_context((LAB / f"{name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        lab("reset", *names)
        yield names


@pytest.fixture
def on() -> Callable[..., str]:
    """`ssh`, for tests that prefer a fixture to an import."""
    return ssh


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test records its runs in a directory of its own."""
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    return tmp_path / "state"
