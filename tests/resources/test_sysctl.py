"""Kernel settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.resources.sysctl import Sysctl
from orchestr.testing import World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedKernel

FILE = "/etc/sysctl.d/60-orchestr.conf"


@pytest.fixture
def host() -> MemoryHost:
    host = MemoryHost()
    SimulatedKernel(host)
    host.add_file("/proc/sys/net/ipv4/ip_forward", "0\n")
    host.add_file("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
    return host


@st.composite
def hosts(draw: st.DrawFn) -> MemoryHost:
    """A kernel with two settings, in a file that names them or does not."""
    host = MemoryHost()
    SimulatedKernel(host)
    for name in "ab":
        host.add_file(f"/proc/sys/net/{name}", draw(st.sampled_from(["1\n", "4096\t8192\n", "7\n"])))
    lines = st.sampled_from(["# mine", "net.a = 1", "net/a=7", "-net.b = 4096 8192", "net.other = 2"])
    if draw(st.booleans()):
        host.nodes["/etc/sysctl.d"] = Node("directory")
        host.add_file(FILE, "\n".join(draw(st.lists(lines))))
    return host


SETTINGS = st.builds(Sysctl, st.sampled_from(["net.a", "net.b", "net/a"]), st.sampled_from(["1", "4096 8192", 2]))
WORLD = World("sysctl", {"sysctl": SETTINGS}, hosts())


def run(host: MemoryHost, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
    system = MemorySystem(host, read_only=check)
    return [converge(Task(resource), system, check, number > 0) for number, resource in enumerate(resources)]


def test_it_holds_now_and_after_a_reboot(host: MemoryHost) -> None:
    """The kernel and the file both get the value; either alone differs."""
    forward = Sysctl("net.ipv4.ip_forward", 1)
    result = run(host, forward)[0]
    assert result["diff"].splitlines() == ["- value: 0", "+ value: 1", "- after boot: not set", "+ after boot: 1"]
    assert host.text(FILE) == "net.ipv4.ip_forward = 1\n"
    host.nodes["/proc/sys/net/ipv4/ip_forward"].data = b"0\n"
    assert run(host, forward)[0]["diff"] == "- value: 0\n+ value: 1"
    host.nodes[FILE].data = b""
    assert run(host, forward)[0]["diff"] == "- after boot: not set\n+ after boot: 1"


def test_spaces_and_tabs_are_the_same(host: MemoryHost) -> None:
    """The kernel shows tabs between the parts of a value where people write spaces."""
    assert (
        "value: 4096" not in run(host, Sysctl("net.ipv4.tcp_rmem", "4096  131072 6291456"))[0]["diff"].split("after")[0]
    )


def test_one_line_for_each_name(host: MemoryHost) -> None:
    """Doubles, other spellings of the name and spacing become one line; other lines and comments stay."""
    host.nodes.pop(FILE, None)
    host.add_file(FILE, "# mine\nnet/ipv4/ip_forward=0\nvm.swappiness = 10\n-net.ipv4.ip_forward = 1")
    run(host, Sysctl("net.ipv4.ip_forward", 1))
    assert host.text(FILE) == "# mine\nnet.ipv4.ip_forward = 1\nvm.swappiness = 10\n"


def test_several_settings_share_a_file_also_in_a_plan(host: MemoryHost) -> None:
    """A plan of two settings of one file knows both without writing either."""
    both = [Sysctl("net.ipv4.ip_forward", 1), Sysctl("net.ipv4.tcp_rmem", "1 2 3")]
    assert [result["verdict"] for result in run(host, *both, check=True)] == ["changed", "changed"]
    run(host, *both)
    assert len(host.text(FILE).splitlines()) == 2


def test_a_name_with_a_dot_in_it(host: MemoryHost) -> None:
    """An interface called eth0.100 is written with slashes, as sysctl.d(5) says."""
    setting = Sysctl("net/ipv4/conf/eth0.100/rp_filter", 1)
    assert setting.proc_path == "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"
    assert Sysctl("net.ipv4.conf.eth0/100.rp_filter", 1).proc_path == setting.proc_path


def test_a_setting_this_kernel_lacks_is_named(host: MemoryHost) -> None:
    """A misspelt name, or one of a module that is not loaded, is a clear error."""
    assert "no setting net.ipv4.ip_foward" in run(host, Sysctl("net.ipv4.ip_foward", 1))[0]["error"]["message"]


def test_a_value_the_kernel_refuses_is_not_written_down(host: MemoryHost) -> None:
    """What the kernel does not take now must not be waiting for the next boot."""
    error = run(host, Sysctl("net.ipv4.ip_forward", "refused"))[0]["error"]
    assert "does not take" in error["message"] and "Invalid argument" in error["stderr"] and FILE not in host.nodes


@pytest.mark.parametrize(
    ("name", "value"), [("", 1), ("a b", 1), ("../x", 1), ("/x", 1), ("a=b", 1), ("a", ""), ("a", "1\n2")]
)
def test_what_is_no_setting_is_refused(name: str, value: str | int) -> None:
    """Names that leave /proc/sys and values of several lines are refused before any host is touched."""
    with pytest.raises(ValueError, match="kernel setting"):
        Sysctl(name, value)
