"""Names mean exactly one thing before a tool gets them, and a tool that half-applies is not called in vain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.resources.firewall.rules import Rule
from orchestr.resources.packages import Package
from orchestr.resources.services import Service
from orchestr.resources.sysctl import Sysctl
from orchestr.resources.users import Group, User
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedAccounts, SimulatedApt, SimulatedSystemd


def run(host: MemoryHost, resource: Resource, check: bool = False) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(host, read_only=check), check, False)


@pytest.mark.parametrize(
    "name",
    ["acl-", "acl:amd64-", "redis/stable", "redis=7", "lib*", "redis?", "^redis", "redis$", "Redis", "-y", "+redis",
     ".a", "redis:any", "redis:native", "redis:", "redis:amd 64", "redis\n", ""],
)  # fmt: skip
def test_a_package_is_named_not_described(name: str) -> None:
    """What apt reads as an order, a choice, a pattern or an option is refused where it is written."""
    with pytest.raises(ValueError, match="name"):
        Package(name)
    with pytest.raises(ValueError, match="name"):
        Package(any_of=("redis", name))


@pytest.mark.parametrize("name", ["g++", "docker.io", "libc6:amd64", "0ad", "libstdc++6", "python3.11"])
def test_ordinary_names_of_packages_are_taken(name: str) -> None:
    """Plus signs, dots, digits and an architecture belong to names."""
    assert Package(name).label == name


@pytest.mark.parametrize("name", ["gcc+", "redis.server"])
def test_apt_is_not_asked_for_a_name_it_would_take_for_an_expression(name: str) -> None:
    """Where no package has exactly that name, apt-get install is not called at all."""
    host = MemoryHost()
    SimulatedApt(host, {"gcc": "12", "redis-server": "7"})
    result = run(host, Package(name))
    assert (result["verdict"], result["error"]["message"]) == ("failed", f"apt knows no package {name}")
    assert not [words for words in host.log if words[:2] == ("apt-get", "install")]


def test_a_name_with_a_plus_that_is_known_is_installed() -> None:
    """g++ is g++."""
    host = MemoryHost()
    apt = SimulatedApt(host, {"g++": "12"})
    assert run(host, Package("g++"))["verdict"] == "changed" and "g++" in apt.installed


STATUS = """Package: tar
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 1.34

Package: init
Protected: yes
Status: install ok installed
Version: 1

Version: 3
Package: odd
Description: fields in any order
 Status: install ok not-installed
 Version: 9
Status: hold ok installed
Architecture: all
"""


@pytest.fixture
def debian() -> MemoryHost:
    host = MemoryHost()
    SimulatedApt(host)
    host.nodes["/var/lib/dpkg/status"] = Node("file", STATUS.encode())
    return host


def test_dpkg_status_is_read_by_its_grammar(debian: MemoryHost) -> None:
    """Fields stand in any order, and a description's lines are none of them."""
    reader = MemorySystem(debian, read_only=True)
    assert Package(("tar", "init", "odd")).observe(reader) == dict.fromkeys(("tar", "init", "odd"), "installed")
    assert Package("odd", version="3").observe(reader) == {"odd": "3"}
    assert Package(("odd:amd64", "tar:amd64", "tar:arm64")).observe(reader) == {
        "odd:amd64": "installed", "tar:amd64": "installed", "tar:arm64": "absent",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "why"), [("tar", "essential"), ("init", "protected"), ("odd", "on hold")])
def test_a_plan_says_that_a_package_cannot_be_removed(debian: MemoryHost, name: str, why: str) -> None:
    """What apt would refuse is refused in the plan, and apt is not called in the run."""
    for check in (True, False):
        result = run(debian, Package(name, present=False), check)
        assert result["verdict"] == "failed" and why in result["error"]["message"]
    assert not [words for words in debian.log if words[0] == "apt-get"]


@pytest.mark.parametrize("name", ["worker@", "worker@.service", "ssh*", "a?b", "[ab]", "/dev/sda", "-a", "", "a b"])
def test_a_unit_is_named_not_described(name: str) -> None:
    """Templates, patterns, paths and options are no units."""
    with pytest.raises(ValueError, match=r"template|unit"):
        Service(name)


@pytest.mark.parametrize("name", ["nginx", "worker@1", "getty@tty1.service", r"dev-disk-by\x2duuid.swap", "a:b"])
def test_ordinary_names_of_units_are_taken(name: str) -> None:
    """An instance of a template is one unit."""
    assert Service(name).label.startswith(name)


def test_an_alias_is_enabled_by_its_units_own_name() -> None:
    """Systemctl enable refuses an alias, so it is called with the name systemd gives."""
    host = MemoryHost()
    systemd = SimulatedSystemd(host)
    unit = systemd.add("ssh.service", active="active", file_state="disabled")
    systemd.units["sshd.service"] = unit
    assert run(host, Service("sshd"))["verdict"] == "changed"
    assert ("systemctl", "enable", "--quiet", "--", "ssh.service") in host.log


@pytest.mark.parametrize(
    "make",
    [
        lambda: User("bob", home="srv/bob"), lambda: User("bob", home="/srv/../etc"), lambda: User("bob", shell="bash"),
        lambda: User("bob", comment="a\rb"), lambda: User("bob", uid=-1), lambda: User("bob", uid=0xFFFFFFFF),
        lambda: Group("g", gid=-1), lambda: User("1000"), lambda: User("-x"), lambda: User("a,b"),
        lambda: Sysctl("net.ipv4.conf.*.rp_filter", 1), lambda: Sysctl("-net.a", 1), lambda: Sysctl("net..a", 1),
        lambda: Sysctl("#net.a", 1), lambda: Sysctl("net/../vm/x", 1), lambda: Sysctl("net.a", "1\r2"),
        lambda: Rule(443, sources=("fe80::1%eth0",)), lambda: Rule(443, sources=("::ffff:192.0.2.1",)),
    ],
)  # fmt: skip
def test_what_a_tool_would_read_otherwise_is_refused(make: Callable[[], object]) -> None:
    """Accounts, settings and sources mean exactly what they say, or are refused where they are written."""
    with pytest.raises(ValueError):
        make()


def test_a_home_moves_only_where_usermod_can_move_it() -> None:
    """Usermod writes /etc/passwd before it finds the new home taken: it is not called then, and the plan says so."""
    host = MemoryHost()
    SimulatedAccounts(host)
    assert run(host, User("bob"))["verdict"] == "changed"
    host.nodes["/srv"] = host.nodes["/srv/bob"] = Node("directory")
    wanted = User("bob", home="/srv/bob")
    for check in (True, False, False):
        result = run(host, wanted, check)
        assert result["verdict"] == "failed" and "there already" in result["error"]["message"]
    assert "/home/bob" in host.text("/etc/passwd") and not [words for words in host.log if words[0] == "usermod"]
    assert "directory /none of" in run(host, User("bob", home="/none/bob"))["error"]["message"]
    del host.nodes["/home/bob"]
    assert run(host, wanted)["verdict"] == "changed" and "-m" not in host.log[-1]


def test_a_home_that_cannot_be_made_leaves_no_account() -> None:
    """Useradd writes /etc/passwd before it finds a file in the home's place, or above it: it is not called then."""
    host = MemoryHost()
    SimulatedAccounts(host)
    host.add_file("/srv/file", "")
    for home in ("/srv/file", "/srv/file/bob"):
        for check in (True, False):
            result = run(host, User("bob", home=home), check)
            assert (result["verdict"], "/srv/file is a file" in result["error"]["message"]) == ("failed", True)
    assert not [words for words in host.log if words[0] == "useradd"]
