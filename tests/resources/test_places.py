"""A plan names what keeps a file from being written, and an edit in place changes the content alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import filesystem
from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.system import System
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File, Link
from orchestr.resources.lines import Block, Line
from orchestr.resources.sysctl import Sysctl
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedKernel

WRITERS: list[Callable[[str], Resource]] = [
    lambda path: File(path, "x"),
    lambda path: EnvFile.of(path, {"A": "1"}),
    lambda path: Line(path, "x", create=True),
    lambda path: Block(path, "m", "x", create=True),
    lambda path: Link(path, "/nowhere"),
]


def both(resource: Resource, system: Callable[[bool], System]) -> dict[str, Any]:
    """Return the one error that a plan and a run end in."""
    planned, done = (converge(Task(resource), system(check), check, False) for check in (True, False))
    assert planned["verdict"] == done["verdict"] == "failed", (planned, done)
    assert planned["error"]["message"] == done["error"]["message"]
    assert done["error"]["next_step"]
    return dict(done["error"])


def on(host: MemoryHost) -> Callable[[bool], System]:
    return lambda check: MemorySystem(host, read_only=check)


@pytest.mark.parametrize("make", WRITERS)
def test_a_directory_fifo_or_socket_in_the_place_is_named(make: Callable[[str], Resource], tmp_path: Path) -> None:
    """Nothing is opened, so that a FIFO does not hang; it is said what is there."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, word in (("fifo", "FIFO"), ("directory", "directory"), ("socket", "socket")):
            error = both(make(str(tmp_path / name)), lambda check: System())
            assert f"is a {word}, not a " in error["message"] and error["next_step"] == "move it away first"


@pytest.mark.parametrize("make", WRITERS)
def test_a_missing_parent_is_named(make: Callable[[str], Resource]) -> None:
    """A plan of such a file alone fails, with the directory to make."""
    error = both(make("/srv/app/f"), on(MemoryHost()))
    assert error["message"] == "the directory /srv/app of /srv/app/f is not there"


@pytest.mark.parametrize("make", WRITERS)
def test_a_parent_that_is_a_file_is_named(make: Callable[[str], Resource]) -> None:
    """It is said which one it is."""
    host = MemoryHost()
    host.add_file("/srv", "")
    assert "/srv is a file, not a directory" in both(make("/srv/f"), on(host))["message"]
    assert "/srv is a file, not a directory" in both(Directory("/srv/d/e"), on(host))["message"]


def test_a_parent_that_an_earlier_task_makes_is_as_good_as_there() -> None:
    """A plan of directory and file says changed twice."""
    system = MemorySystem(MemoryHost(), read_only=True)
    tasks = [Directory("/srv/app"), File("/srv/app/f", "x"), File("/srv/f", "y")]
    results = [converge(Task(resource), system, True, number > 0) for number, resource in enumerate(tasks)]
    assert [result["verdict"] for result in results] == ["changed"] * 3


MOUNTS = "36 35 98:0 / /etc/my\\040hosts rw,noatime - ext3 /dev/root rw\n37 35 98:0 / /srv/data rw - ext4 /dev/sdb rw\n"


@pytest.mark.parametrize("make", WRITERS[:4])
def test_a_mount_point_is_named(make: Callable[[str], Resource]) -> None:
    """A file that is bind-mounted cannot be replaced, nor can a tree with a mount in it be removed."""
    host = MemoryHost()
    host.add_file("/proc/self/mountinfo", MOUNTS)
    host.add_file("/etc/my hosts", "old\n")
    assert "/etc/my hosts is a mount point" in both(make("/etc/my hosts"), on(host))["message"]
    host.nodes["/srv"] = host.nodes["/srv/data"] = Node("directory")
    assert "/srv/data is a mount point" in both(Directory("/srv", present=False), on(host))["message"]


@pytest.mark.parametrize(
    ("flags", "word"), [("----i---------e-------", "immutable"), ("-----a--------e-------", "append-only")]
)
def test_an_immutable_file_is_named(flags: str, word: str) -> None:
    """Lsattr says it before the rename would."""
    host = MemoryHost()
    host.add_file("/etc/f", "old\n")
    host.commands[("lsattr", "-d", "--", "/etc/f")] = f"{flags} /etc/f\n"
    for make in WRITERS[:4]:
        assert f"/etc/f is {word}" in both(make("/etc/f"), on(host))["message"]


def test_a_sysctl_file_that_is_a_link_is_edited_where_it_leads() -> None:
    """Debian's /etc/sysctl.d/99-sysctl.conf stays a link."""
    host = MemoryHost()
    SimulatedKernel(host)
    host.add_file("/etc/sysctl.conf", "# mine\n")
    host.add_file("/proc/sys/net/ipv4/ip_forward", "1\n")
    host.nodes["/etc/sysctl.d"] = Node("directory")
    host.nodes["/etc/sysctl.d/99-sysctl.conf"] = Node("link", target="../sysctl.conf", mode=0o777)
    resource = Sysctl("net.ipv4.ip_forward", 1, file="/etc/sysctl.d/99-sysctl.conf")
    assert converge(Task(resource), MemorySystem(host), False, False)["verdict"] == "changed"
    assert host.nodes["/etc/sysctl.d/99-sysctl.conf"].type == "link"
    assert (host.text("/etc/sysctl.conf"), host.nodes["/etc/sysctl.conf"].mode) == (
        "# mine\nnet.ipv4.ip_forward = 1\n", 0o644,
    )  # fmt: skip


@pytest.mark.parametrize("data", ["a=1\n".encode("utf-16"), b"a=1\0\n", b"Port=1\rb=2\r"])
@pytest.mark.parametrize("make", [lambda path: Line(path, "a=2", match="^a="), lambda path: Block(path, "m", "x")])
def test_a_file_whose_lines_cannot_be_told_is_not_edited(make: Callable[[str], Resource], data: bytes) -> None:
    """UTF-16, binary and bare carriage returns are refused as such."""
    host = MemoryHost()
    host.add_file("/etc/f", data)
    assert "edited" in both(make("/etc/f"), on(host))["message"] and host.nodes["/etc/f"].data == data


def test_a_byte_order_mark_is_kept_and_is_not_part_of_the_first_line() -> None:
    """A Line finds the first line, and unreadable bytes and line ends stay."""
    host = MemoryHost()
    host.add_file("/etc/f", b"\xef\xbb\xbfPort=1\r\nx \xff\r\n")
    line = Line("/etc/f", "Port=2", match="^Port=")
    planned = MemorySystem(host, read_only=True)
    converge(Task(line), planned, True, False)
    assert converge(Task(line), MemorySystem(host), False, False)["verdict"] == "changed"
    assert host.nodes["/etc/f"].data == b"\xef\xbb\xbfPort=2\r\nx \xff\r\n"
    assert planned.predicted["/etc/f"] == MemorySystem(host).digest("/etc/f")


def test_an_edit_in_place_keeps_extended_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file has beside mode and owner is set on the new one; a lost ACL is an error.

    Before its mode: the group's bits of a file with an ACL are its mask, and would be a right without it.
    """
    path = tmp_path / "f"
    path.write_text("a=1\n")
    path.chmod(0o660)
    calls: list[tuple[str, bytes, int]] = []
    attributes = [("system.posix_acl_access", b"acl"), ("user.note", b"n")]
    monkeypatch.setattr(filesystem, "attributes_of", lambda path: attributes)

    def setxattr(descriptor: int, name: str, value: bytes) -> None:
        calls.append((name, value, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        if name == "user.note":
            raise OSError(95, "not supported")

    monkeypatch.setattr(os, "setxattr", setxattr)
    result = converge(Task(Line(str(path), "a=2", match="^a=")), System(), False, False)
    assert result["verdict"] == "changed" and path.read_text() == "a=2\n"
    assert calls == [("system.posix_acl_access", b"acl", 0o600), ("user.note", b"n", 0o660)]

    def refuse(descriptor: int, name: str, value: bytes) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    assert converge(Task(Line(str(path), "a=3", match="^a=")), System(), False, False)["verdict"] == "failed"
    assert path.read_text() == "a=2\n"
