"""A Debian host with files, accounts, packages, services and kernel settings: some as wanted, some not, some broken."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from orchestr.agent.resource import Resource
from orchestr.agent.secret import Secret
from orchestr.resources.archives import Archive
from orchestr.resources.commands import Command
from orchestr.resources.compose.plugin import ComposePlugin
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File, Link
from orchestr.resources.firewall.firewall import PacketFilter
from orchestr.resources.lines import Block, Line
from orchestr.resources.packages import Package
from orchestr.resources.ports import PortsFree
from orchestr.resources.probes import HttpAnswer, TcpAnswer
from orchestr.resources.services import Service
from orchestr.resources.swarm.ingress import TABLE, SwarmIngress
from orchestr.resources.users import Group, User
from orchestr.testing import CANARY, World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedAccounts, SimulatedKernel, SimulatedSystemd
from tests.resources.test_compose_plugin import NAMES, PLUGIN, PluginApt

KEYS = tuple(f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 20} {letter}@x" for letter in "ABC")
TEXT = st.text("ab =#'\"\\$\n\réü", max_size=12)
LINE = st.text("ab =#é", min_size=1, max_size=6)
VALUE = TEXT | st.builds(lambda text: Secret(CANARY + text), TEXT)
MODE = st.sampled_from([0o600, 0o640, 0o644, 0o755])
OWNER = st.sampled_from(["root", "nobody", "0"])
GROUP = st.sampled_from(["root", "nogroup"])
PRESENT = st.booleans()


def _content(text: str) -> Secret:
    return Secret(f"{CANARY}\n{text}", [CANARY])


def _file(path: str, content: str | Secret, mode: int, *rest: Any) -> File:
    return File(path, content, _mode(mode, content), *rest)


def _env_file(variables: dict[str, str | Secret], mode: int, **rest: Any) -> EnvFile:
    return EnvFile("/opt/f", tuple(variables.items()), mode=_mode(mode, *variables.values()), **rest)


def _mode(mode: int, *values: str | Secret) -> int:
    """Return a mode that these values may have: a secret that others may read is refused when declared."""
    return mode & ~0o007 if any(isinstance(value, Secret) for value in values) else mode


CONTENT = TEXT | st.builds(_content, TEXT)
#: kind → any resource of it, all about the few things that ``hosts`` may already have
RESOURCES: dict[str, st.SearchStrategy[Resource]] = {
    "file": st.builds(_file, st.just("/opt/f"), CONTENT, MODE, OWNER, GROUP, PRESENT),
    "directory": st.builds(Directory, st.sampled_from(["/opt/d", "/opt/x/y"]), MODE, OWNER, GROUP, PRESENT),
    "link": st.builds(Link, st.just("/opt/l"), st.sampled_from(["/opt/f", "/nowhere"]), PRESENT),
    "env_file": st.builds(
        _env_file,
        st.dictionaries(st.sampled_from("ABCD"), VALUE, max_size=4),
        MODE,
        reader=st.sampled_from(["compose", "shell"]),
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
    "compose_plugin": st.builds(ComposePlugin, st.sampled_from([NAMES, NAMES[2:]])),
    "packet_filter": st.builds(PacketFilter, st.sampled_from(["auto", "ufw", "firewalld"])),
    "archive": st.builds(Archive, st.just("app"), st.just(("/opt/f", "/opt/d")), st.just(True), st.integers(1, 2)),
    "ports_free": st.builds(PortsFree, st.sampled_from([("80/tcp",), ("53/udp", "80/tcp")]), st.sampled_from("xy")),
    "tcp_answer": st.builds(TcpAnswer, port=st.sampled_from([80, 81]), timeout_s=st.just(2.0)),
    "http_answer": st.builds(
        HttpAnswer, st.just("http://127.0.0.1/"), contains=st.sampled_from(["", "well", "x"]), timeout_s=st.just(2.0)
    ),
    "swarm_ingress": st.builds(SwarmIngress),
}
#: What /proc/net/tcp says of a listener on port 80.
LISTENING = "  sl  local_address rem_address\n   0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n"


def _touch(system: MemorySystem, words: tuple[str, ...], input: bytes) -> str:
    system.host.nodes[words[1]] = Node("file")
    return ""


class ProgramApt(PluginApt):
    """A package source whose firewalld brings its programs."""

    def write(self) -> None:
        super().write()
        if self.installed.get("firewalld", ("",))[0] == "installed":
            for name in ("firewalld", "firewall-cmd"):
                self.host.add_file("/usr/bin/" + name, "", 0o755)


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
    _around(draw, host)
    return host


def _around(draw: st.DrawFn, host: MemoryHost) -> None:
    """Put there what gates wait for, or leave it away; and tar, for archives."""
    if draw(st.booleans()):
        host.add_file("/proc/net/tcp", LISTENING)
        host.ports.add(("127.0.0.1", 80))
        host.http["http://127.0.0.1/"] = draw(st.sampled_from([(200, b"well"), (503, b"ill")]))
    if draw(st.booleans()):
        host.add_file(TABLE, "")
    host.commands[("ss",)] = 'tcp LISTEN 0 0 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=7,fd=6)) ino:4711 sk:1\n'
    for verb in ("mask", "unmask"):
        host.commands[("systemctl", verb, "--runtime")] = ""
    host.commands[("systemctl", "is-active", "firewalld")] = (3, "inactive\n")
    host.commands[("tar",)] = ""
    host.commands[("mv", "--force")] = _move


def _move(system: MemorySystem, words: tuple[str, ...], input: bytes) -> str:
    system.host.nodes[words[-1]] = system.host.nodes.pop(words[-2])
    return ""


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
    offered = {"redis": "7.0", "caddy": "2.6", "docker.io": "26.1", "ufw": "0.36.2-1", "firewalld": "1.3.3-1"}
    hidden = {"late": "1", "docker-compose": "2.26.1-4"}
    apt = ProgramApt(host, offered, hidden=hidden, locked_times=draw(st.sampled_from([0, 2])))
    if draw(st.booleans()):
        host.add_file(PLUGIN, "", 0o755)
    for name in ("redis", "docker.io", "ufw", "firewalld"):
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


def snapshot(host: MemoryHost) -> Any:
    return copy.deepcopy(host.nodes)


WORLD = World(
    "debian",
    RESOURCES,
    hosts(),
    snapshot,
    ("not a link", "already exists", "not a directory", "carriage returns alone"),
    never_done={"archive": "a backup is made each time it is asked for"},
)
