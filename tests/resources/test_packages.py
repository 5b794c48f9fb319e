"""Packages with apt: what dpkg's status file says, and what is done about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.resources.apt import Apt
from orchestr.resources.package_backend import Installed
from orchestr.resources.packages import Package
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.simulated_tools import SimulatedApt

STATUS = (Path(__file__).parent / "recorded" / "dpkg-1.21" / "status").read_text()


def host_with(**offered: str) -> tuple[MemoryHost, SimulatedApt]:
    host = MemoryHost(clock=100_000.0)
    return host, SimulatedApt(host, offered)


def run(host: MemoryHost, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
    system = MemorySystem(host, read_only=check)
    return [converge(Task(resource), system, check, False) for resource in resources]


def commands(host: MemoryHost) -> list[str]:
    """Return what apt-get and dpkg were told to do, in order."""
    verbs = {"update", "install", "remove", "-f", "--configure"}
    return [" ".join(w for w in words if w in verbs) for words in host.log if words[0] in ("apt-get", "dpkg")]


@pytest.fixture
def real() -> MemorySystem:
    """A host with the status file of a Debian 12 node, shortened to a few packages."""
    host = MemoryHost()
    host.add_file("/var/lib/dpkg/status", STATUS)
    return MemorySystem(host, read_only=True)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("adduser", Installed("installed", "3.134")),
        ("libc6:amd64", Installed("installed", "2.36-9+deb12u14")),
        ("libc6:i386", Installed("absent")),
        ("awk", Installed("installed", "1.3.4.20200120-3.1")),
        ("default-dbus-system-bus", Installed("installed", "1.14.10-1~deb12u1")),
        ("dbus-system", Installed("absent")),
        ("cowsay", Installed("absent")),
        ("vim", Installed("half-configured")),
        ("nano", Installed("installed", "7.2-1")),
        ("no-such", Installed("absent")),
    ],
)
def test_dpkgs_own_words_are_understood(real: MemorySystem, name: str, found: Installed) -> None:
    """Installed, on hold, half-way, removed with its configuration left, provided by another, of an architecture."""
    assert Apt().installed(real, name) == found


def test_a_virtual_package_is_not_what_is_removed(real: MemorySystem) -> None:
    """`awk` is there through mawk, but there is no awk to remove."""
    assert Apt().installed(real, "awk", or_provided=False) == Installed("absent")


def test_installed_packages_are_read_once_and_without_a_process() -> None:
    """Fifty converged packages read one file once and start nothing."""
    host, apt = host_with()
    apt.installed = {f"p{number}": ("installed", "1") for number in range(50)}
    apt.write()
    system = MemorySystem(host, read_only=True)
    reads = []
    read_bytes = system.read_bytes
    system.read_bytes = lambda path, limit=None: reads.append(path) or read_bytes(path, limit)  # type: ignore[method-assign,func-returns-value]
    for number in range(50):
        assert converge(Task(Package(f"p{number}")), system, False, False)["verdict"] == "ok"
    assert reads == ["/var/lib/dpkg/status"] and host.log == []


def test_several_packages_are_one_installation() -> None:
    """A tuple of names is installed in one step, only those that are missing."""
    host, apt = host_with(a="1", b="1", c="1")
    apt.installed["b"] = ("installed", "1")
    apt.write()
    result = run(host, Package(("a", "b", "c")))[0]
    assert result["diff"].splitlines() == ["- a: absent", "+ a: installed", "- c: absent", "+ c: installed"]
    [install] = [words for words in host.log if "install" in words]
    assert install[install.index("--") :] == ("--", "a", "c")
    assert "--no-install-recommends" in install and "Dpkg::Options::=--force-confold" in install


def test_old_lists_are_fetched_first_and_fresh_ones_are_not() -> None:
    """Lists are fetched when older than allowed or than the sources; a second package does not fetch again."""
    host, _ = host_with(a="1", b="1", c="1", d="1")
    run(host, Package("a"), Package("b"))
    assert commands(host) == ["update", "install", "install"]
    host.clock += 90_000
    run(host, Package("c"))
    assert commands(host)[3:] == ["update", "install"]


def test_new_sources_make_lists_old() -> None:
    """A source added since the last fetch is fetched, whatever the age of the lists."""
    host, _ = host_with(a="1", b="1")
    run(host, Package("a"))
    host.clock += 10
    system = MemorySystem(host)
    system.make_directory("/etc/apt/sources.list.d")
    system.write_bytes("/etc/apt/sources.list.d/new.list", b"deb ...")
    run(host, Package("b"))
    assert commands(host) == ["update", "install", "update", "install"]


def test_a_name_that_the_lists_lack_is_looked_for_again() -> None:
    """Fresh lists without the name are fetched once more before giving up."""
    host, apt = host_with(a="1")
    run(host, Package("a"))
    apt.hidden = {"late": "1"}
    assert run(host, Package("late"))[0]["verdict"] == "changed"
    assert commands(host) == ["update", "install", "install", "update", "install"]


def test_an_unknown_package_names_the_closest() -> None:
    """A misspelt name fails with the name that was probably meant."""
    host, _ = host_with(nginx="1", nano="1")
    error = run(host, Package("ngnix"))[0]["error"]
    assert (error["message"], error["next_step"]) == ("apt knows no package ngnix", "did you mean nginx?")


def test_a_version_is_pinned_and_matched() -> None:
    """Another version differs, a pattern is enough, and one that is not offered is said to be so."""
    host, apt = host_with(a="2.1")
    apt.installed["a"] = ("installed", "2.0")
    apt.write()
    assert run(host, Package("a", version="2.0*"))[0]["verdict"] == "ok"
    result = run(host, Package("a", version="2.1"))[0]
    assert result["diff"] == "- a: 2.0\n+ a: 2.1" and "a=2.1" in host.log[-1]
    assert "does not offer that version of a" in run(host, Package("a", version="3"))[0]["error"]["message"]


def test_what_a_killed_run_left_is_finished_first() -> None:
    """dpkg's journal and half-configured packages are finished before anything is installed."""
    host, apt = host_with(a="1", b="1")
    host.add_file("/var/lib/dpkg/updates/0001", "")
    apt.installed["b"] = ("half-configured", "1")
    apt.write()
    assert run(host, Package(("a", "b")))[0]["verdict"] == "changed"
    assert commands(host) == ["update", "--configure", "install"]


def test_a_lock_that_somebody_holds_is_waited_for() -> None:
    """Unattended upgrades after boot hold a lock: it is asked again until it is free, with no wall clock in between."""
    host, apt = host_with(a="1")
    apt.locked_times = 3
    assert run(host, Package("a"))[0]["verdict"] == "changed"
    host, apt = host_with(a="1")
    apt.locked_times = 10_000
    assert "Could not get lock" in run(host, Package("a"))[0]["error"]["stderr"]


def test_the_first_that_is_offered_is_chosen() -> None:
    """Of alternatives the first with a candidate is installed; any installed one is enough; none is an error."""
    choice = Package(any_of=("docker-ce", "docker.io"))
    host, apt = host_with(**{"docker.io": "26"})
    assert run(host, choice)[0]["verdict"] == "changed" and set(apt.installed) == {"docker.io"}
    assert run(host, choice)[0]["verdict"] == "ok"
    host, _ = host_with()
    assert "offers none of docker-ce, docker.io" in run(host, choice)[0]["error"]["message"]


def test_removal_leaves_the_configuration() -> None:
    """A removed package is absent although dpkg remembers its configuration."""
    host, apt = host_with(a="1")
    run(host, Package("a"))
    assert [run(host, Package("a", present=False))[0]["verdict"] for _ in range(2)] == ["changed", "ok"]
    assert apt.installed["a"][0] == "config-files" and "purge" not in str(host.log)


def test_a_host_without_a_known_package_system_says_so() -> None:
    """No apt-get: a clear error, unknown while a plan has changes before it."""
    error = run(MemoryHost(), Package("a"))[0]["error"]
    assert "no package system orchestr knows (apt-get)" in error["message"]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"names": ("a", "b"), "version": "1"}, {"names": "-y"}, {"names": "a b"}, {"names": "a=1"}, {"names": ""}],
)
def test_names_that_are_none_are_refused(arguments: dict[str, Any]) -> None:
    """What apt-get would take for an option, a version or two names is refused before any host is touched."""
    with pytest.raises(ValueError, match=r"package|name"):
        Package(**arguments)
