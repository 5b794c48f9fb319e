"""What holds for every resource, whatever it is made of and whatever it finds on the host."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestr.agent import wire
from orchestr.agent.converge import CHANGED, OK, UNKNOWN, converge
from orchestr.agent.resource import Resource, Task, class_of
from orchestr.agent.secret import Secret
from orchestr.resources.commands import Command
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File, Link
from orchestr.resources.lines import Block, Line
from orchestr.resources.packages import Package
from orchestr.resources.services import Service
from orchestr.resources.sysctl import Sysctl
from orchestr.resources.users import Group, User
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedAccounts, SimulatedApt, SimulatedKernel, SimulatedSystemd

KEYS = tuple(f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 20} {letter}@x" for letter in "ABC")
CANARY = "canary-4711"
TEXT = st.text("ab =#'\"\\$\n\réü", max_size=12)
LINE = st.text("ab =#é", min_size=1, max_size=6)
VALUE = TEXT | st.builds(lambda text: Secret(CANARY + text), TEXT)
MODE = st.sampled_from([0o600, 0o640, 0o644, 0o755])
OWNER = st.sampled_from(["root", "nobody", "0"])
GROUP = st.sampled_from(["root", "nogroup"])
PRESENT = st.booleans()


def _content(text: str) -> Secret:
    return Secret(f"{CANARY}\n{text}", [CANARY])


CONTENT = TEXT | st.builds(_content, TEXT)
#: kind → any resource of it, all about the few things that ``hosts`` may already have
RESOURCES: dict[str, st.SearchStrategy[Resource]] = {
    "file": st.builds(File, st.just("/opt/f"), CONTENT, MODE, OWNER, GROUP, PRESENT),
    "directory": st.builds(Directory, st.sampled_from(["/opt/d", "/opt/x/y"]), MODE, OWNER, GROUP, PRESENT),
    "link": st.builds(Link, st.just("/opt/l"), st.sampled_from(["/opt/f", "/nowhere"]), PRESENT),
    "env_file": st.builds(
        lambda variables, **rest: EnvFile("/opt/f", tuple(variables.items()), **rest),
        st.dictionaries(st.sampled_from("ABCD"), VALUE, max_size=4),
        reader=st.sampled_from(["compose", "shell"]),
        mode=MODE,
        owner=OWNER,
        present=PRESENT,
    ),
    "line": st.builds(
        Line,
        st.just("/opt/f"),
        LINE,
        match=st.sampled_from(["", "^a", "b+"]),
        present=PRESENT,
        insert_after=st.sampled_from(["", "a"]),
        create=st.just(True),
    ),
    "block": st.builds(
        Block,
        st.just("/opt/f"),
        st.sampled_from(["one", "two"]),
        CONTENT,
        present=PRESENT,
        create=st.just(True),
        insert_after=st.sampled_from(["", "a"]),
    ),
    "sysctl": st.builds(Sysctl, st.sampled_from(["net.a", "net.b", "net/a"]), st.sampled_from(["1", "4096 8192", 2])),
    "group": st.builds(Group, st.sampled_from(["g", "app"]), gid=st.sampled_from([None, 2000, 2001]), present=PRESENT),
    "user": st.builds(
        User,
        st.sampled_from(["app", "new"]),
        uid=st.sampled_from([None, 3000]),
        group=st.sampled_from(["", "users"]),
        groups=st.sampled_from([(), ("users",), ("docker", "users")]),
        shell=st.sampled_from(["", "/bin/bash"]),
        home=st.sampled_from(["", "/opt/home"]),
        system=st.booleans(),
        comment=st.sampled_from(["", "Someone"]),
        present=PRESENT,
        authorized_keys=st.sampled_from([(), KEYS[:1], KEYS[1:]]),
        only_these_keys=st.booleans(),
        password_hash=st.sampled_from([None, Secret(CANARY)]),
    ),
    "package": st.builds(
        Package,
        st.sampled_from(["redis", ("redis", "caddy"), "late"]),
        present=PRESENT,
        any_of=st.sampled_from([(), ("docker-ce", "docker.io")]),
    ),
    "service": st.builds(
        Service,
        st.sampled_from(["up", "down", "failed"]),
        running=st.sampled_from([True, False, None]),
        enabled=st.sampled_from([True, False, None]),
        config=st.sampled_from([(), ("/opt/f",), ("/opt/f", "/opt/x")]),
        reload_on_change=st.booleans(),
        masked=st.sampled_from([False, False, True]),
    ),
    "command": st.builds(lambda: Command(("touch", "/opt/touched"), creates="/opt/touched")),
}


def _touch(system: MemorySystem, words: tuple[str, ...], input: bytes) -> str:
    system.host.nodes[words[1]] = Node("file")
    return ""


@st.composite
def hosts(draw: st.DrawFn) -> MemoryHost:
    """A host that has some of the things already, some differently, some broken."""
    host = MemoryHost(clock=100_000.0)
    host.commands[("touch",)] = _touch
    host.nodes["/opt/x"] = Node("directory", mode=0o755)
    host.nodes["/etc/sysctl.d"] = Node("directory", mode=0o755)
    for name in ("a", "b"):
        host.add_file(f"/proc/sys/net/{name}", "0\n")
    host.add_file("/etc/sysctl.d/60-orchestr.conf", draw(st.sampled_from(["", "net.a = 1\nnet.a=2", "# x\nnet.b=1\n"])))
    if draw(st.booleans()):
        host.add_file("/opt/f", draw(TEXT), draw(st.sampled_from([0o600, 0o640])), draw(st.sampled_from([0, 65534])))
        host.nodes["/opt/f"].changed_ns = draw(st.sampled_from([1, 10**15]))
    if draw(st.booleans()):
        host.nodes["/opt/l"] = draw(st.sampled_from([Node("link", target="/opt/f"), Node("file", b"x")]))
    if draw(st.booleans()):
        host.nodes["/opt/d"] = Node("directory", mode=0o700, uid=65534)
        host.add_file("/opt/d/inside", "x")
    _tools(draw, host)
    return host


def _tools(draw: st.DrawFn, host: MemoryHost) -> None:
    SimulatedKernel(host)
    accounts = SimulatedAccounts(host)
    system = MemorySystem(host)
    for group in ("users", "docker"):
        accounts.groupadd(system, ("groupadd", group), b"")
    if draw(st.booleans()):
        accounts.useradd(system, ("useradd", "-m", "app"), b"")
        if draw(st.booleans()):
            host.nodes["/home/app/.ssh"] = Node("directory", mode=0o755)
            host.add_file("/home/app/.ssh/authorized_keys", f"# mine\nfrom='x' {KEYS[0]}\nstranger\n")
    offered = {"redis": "7.0", "caddy": "2.6", "docker.io": "26.1"}
    apt = SimulatedApt(host, offered, hidden={"late": "1"}, locked_times=draw(st.sampled_from([0, 2])))
    for name in ("redis", "docker.io"):
        state = draw(st.sampled_from(["", "installed", "config-files", "half-configured", "unpacked"]))
        if state:
            apt.installed[name] = (state, offered[name])
    apt.write()
    if draw(st.booleans()):
        host.add_file("/var/lib/dpkg/updates/0001", "")
    systemd = SimulatedSystemd(host)
    systemd.add("up.service", active="active", can_reload=draw(st.booleans()), file_state="enabled")
    systemd.add("down.service", file_state=draw(st.sampled_from(["disabled", "static"])))
    systemd.add("failed.service", active="failed", sub="failed", result="exit-code")


class Interrupted(BaseException):
    """The agent was killed."""


class InterruptedSystem(MemorySystem):
    """Dies before its write number ``left``."""

    left = 0

    def _written(self) -> None:
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        super()._written()


def snapshot(host: MemoryHost) -> Any:
    return copy.deepcopy(host.nodes)


def settle(resource: Resource, host: MemoryHost) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(host), check=False, has_pending=False)


def cannot(result: dict[str, Any]) -> bool:
    """Tell whether the resource refuses what it found, with a reason a person can act on (a file where a link ...)."""
    return result["verdict"] == "failed" and any(
        reason in result["error"]["message"] for reason in ("not a link", "already exists", "not a directory")
    )


anything = pytest.mark.parametrize("kind", sorted(RESOURCES))
examples = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@anything
@examples
@given(data=st.data())
def test_looking_changes_nothing_and_foretells_the_run(kind: str, data: st.DataObject) -> None:
    """A plan writes nothing, hides every secret, and says changed exactly when a run then changes something."""
    resource, host = data.draw(RESOURCES[kind]), data.draw(hosts())
    before = snapshot(host)
    planned = converge(Task(resource), MemorySystem(host, read_only=True), check=True, has_pending=False)
    assert snapshot(host) == before
    assert CANARY not in str(planned)
    done = settle(resource, host)
    assert cannot(done) or done["verdict"] == planned["verdict"] != UNKNOWN
    assert CANARY not in str(done)


@anything
@examples
@given(data=st.data())
def test_a_second_run_changes_nothing(kind: str, data: st.DataObject) -> None:
    """After a run everything is as wanted: the next one writes nothing."""
    resource, host = data.draw(RESOURCES[kind]), data.draw(hosts())
    first = settle(resource, host)
    assert cannot(first) or first["verdict"] in (OK, CHANGED), first
    writes, nodes = host.writes, snapshot(host)
    if not cannot(first):
        assert settle(resource, host)["verdict"] == OK
        assert (host.writes, snapshot(host)) == (writes, nodes)


@anything
@examples
@given(data=st.data())
def test_a_run_cut_off_at_any_write_is_finished_by_the_next(kind: str, data: st.DataObject) -> None:
    """Killed before any of its writes, a run leaves nothing that the next one cannot bring about."""
    resource, host = data.draw(RESOURCES[kind]), data.draw(hosts())
    whole = copy.deepcopy(host)
    if cannot(settle(resource, whole)):
        return
    for left in range(whole.writes - host.writes):
        part = copy.deepcopy(host)
        dying = InterruptedSystem(part)
        dying.left = left
        with pytest.raises(Interrupted):
            converge(Task(resource), dying, check=False, has_pending=False)
        assert settle(resource, part)["verdict"] in (OK, CHANGED)
        assert settle(resource, part)["verdict"] == OK


@anything
@examples
@given(data=st.data())
def test_a_resource_arrives_as_it_was_sent(kind: str, data: st.DataObject) -> None:
    """The wire gives back an equal resource, of the same kind and label."""
    resource = data.draw(RESOURCES[kind])
    decoder = wire.Decoder()
    decoder.feed(wire.encode({"type": "tasks", "tasks": [resource]}))
    frame = decoder.next_frame()
    assert frame is not None
    arrived: Any
    [arrived] = wire.decode(frame[1])["tasks"]
    assert arrived == resource and arrived.label == resource.label
    assert type(arrived) is class_of(kind)
