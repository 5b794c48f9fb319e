"""The firewall against ufw's own files and the kernel's own answers, as real hosts gave them, and a ufw in memory."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import guard
from orchestr.agent.converge import converge
from orchestr.agent.resource import NotObservable, Resource, ResourceError, Task
from orchestr.resources.firewall import docker_user, netfilter, ufw_files
from orchestr.resources.firewall.firewall import Firewall, FirewallRule, Rule
from orchestr.resources.firewall.rules import Entry, Session, decides, session_of
from orchestr.transport.memory import MemoryHost, MemorySystem

OUTPUT = Path(__file__).parent / "recorded" / "ufw-0.36"
FAMILIES = {4: ("", "iptables"), 6: ("6", "ip6tables")}
CONTROLLER = "10.0.0.1"  # as MemoryHost's SSH_CONNECTION says, to port 22


def real(name: str) -> str:
    return (OUTPUT / name).read_text()


# -- a ufw in memory --------------------------------------------------------------------------------------------------


class Kernel:
    """The filter table of one family, understanding what iptables-restore is given."""

    def __init__(self, saved: str) -> None:
        live = netfilter.parse(saved)
        self.policies, self.chains = dict(live.policies), {name: list(rules) for name, rules in live.chains.items()}

    def save(self) -> str:
        heads = [f":{name} {self.policies.get(name, '-')} [0:0]" for name in self.chains]
        rules = [f"-A {name} {rule}" for name, chain in self.chains.items() for rule in chain]
        return "\n".join(["*filter", *heads, *rules, "COMMIT", ""])

    def restore(self, text: str) -> None:
        for line in text.splitlines():
            words = line.split(" ")
            if line.startswith(":"):
                self.chains[words[0][1:]] = [] if words[1] == "-" else self.chains.get(words[0][1:], [])
                if words[1] != "-":
                    self.policies[words[0][1:]] = words[1]
            elif words[0] == "-A":
                self.chains[words[1]].append(" ".join(words[2:]))
            elif words[0] == "-I":
                self.chains[words[1]].insert(0, " ".join(words[2:]))
            elif words[0] == "-D":
                self.chains[words[1]].remove(" ".join(words[2:]))
            elif words[0] == "-F":
                self.chains[words[1]].clear()
            elif words[0] == "-X":
                del self.chains[words[1]]


class Host(MemoryHost):
    """A Debian host with ufw as it is installed; ``kernels`` are what its commands act on, as ufw-init does."""

    def __init__(self) -> None:
        super().__init__()
        for path in ("/etc/ufw", "/etc/default", "/lib/ufw", "/run/systemd/system", "/sys/class/net/docker0"):
            self.add_file(path, "")  # replaced below by what counts: a directory
            self.nodes[path].type = "directory"
        for name in ("ufw.conf", "user.rules", "user6.rules", "after.rules", "after6.rules"):
            self.add_file("/etc/ufw/" + name, real("pristine_ufw_" + name), 0o640)
        self.add_file("/etc/default/ufw", real("pristine_default_ufw"))
        self.add_file("/etc/systemd/system/multi-user.target.wants/ufw.service", "")
        for program in ("ufw", "systemd-run"):
            self.add_file("/usr/bin/" + program, "", 0o755)
        self.kernels = {family: Kernel(real(f"inactive_{tool}-save")) for family, (_, tool) in FAMILIES.items()}
        self.confirms = True
        self.commands = {
            ("ufw", "--force", "enable"): self.enable,
            ("ufw", "--force", "disable"): self.stop,
            ("/lib/ufw/ufw-init", "force-stop"): self.stop,
            ("systemd-run",): "",
            ("systemctl", "stop"): "",
            ("systemctl", "enable"): self.enable_at_boot,
            ("mv",): self.move,
            ("setsid", "--fork", "--wait", "/bin/sh"): self.undo,
        }
        for family, (_, tool) in FAMILIES.items():
            self.commands[(f"{tool}-save",)] = partial(self.save, family)
            self.commands[(f"{tool}-restore",)] = partial(self.restore, family)

    def save(self, family: int, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        return self.kernels[family].save()

    def restore(self, family: int, system: MemorySystem, words: tuple[str, ...], given: bytes) -> None:
        self.kernels[family].restore(given.decode())

    def enable(self, system: MemorySystem, words: Any, given: bytes) -> str:
        self.put("/etc/ufw/ufw.conf", self.text("/etc/ufw/ufw.conf").replace("ENABLED=no", "ENABLED=yes"))
        policies = ufw_files.settings(self.text("/etc/default/ufw"))
        for family, (suffix, tool) in FAMILIES.items():
            kernel = self.kernels[family]
            fresh = Kernel(real(f"active_{tool}-save"))
            is_new = f"ufw{suffix}-before-logging-input" not in kernel.chains
            for name, chain in fresh.chains.items():
                if name.startswith("ufw"):
                    kernel.chains[name] = [] if "-user-" in name else chain
                elif name in ("INPUT", "OUTPUT", "FORWARD"):
                    kernel.chains.setdefault(name, [])
                    kernel.chains[name] += [rule for rule in chain if is_new and "-j ufw" in rule]
                    kernel.policies[name] = policies[f"DEFAULT_{name}_POLICY"].replace("REJECT", "DROP")
            kernel.restore(self.text(f"/etc/ufw/user{suffix}.rules"))
            kernel.restore(docker_user.split(self.text(f"/etc/ufw/after{suffix}.rules"))[1])
        return "Firewall is active and enabled on system startup"

    def stop(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        if words[0] == "ufw":
            self.put("/etc/ufw/ufw.conf", self.text("/etc/ufw/ufw.conf").replace("ENABLED=yes", "ENABLED=no"))
        primary = r"ufw6?-(before|after|before-logging|after-logging|reject|track)-(input|output|forward)"
        for kernel in self.kernels.values():
            for name in [name for name in kernel.chains if name.startswith("ufw")]:
                if re.fullmatch(primary, name):
                    kernel.chains[name] = []
                else:
                    del kernel.chains[name]
            kernel.policies = dict.fromkeys(kernel.policies, "ACCEPT")
        return ""

    def enable_at_boot(self, system: MemorySystem, words: Any, given: bytes) -> None:
        self.add_file("/etc/systemd/system/multi-user.target.wants/ufw.service", "")

    def move(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        if words[1] not in self.nodes:
            return 1, "", "mv: cannot stat"
        self.nodes[words[2]] = self.nodes.pop(words[1])
        return ""

    def undo(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        """Do what the script would: see that it restores files, and take the guard away."""
        folder = words[-1].rpartition("/")[0]
        if words[-1] not in self.nodes:
            return 2, "", "cannot open"
        for path in ("ufw.conf", "user.rules", "user6.rules", "after.rules", "after6.rules"):
            self.put("/etc/ufw/" + path, self.text(f"{folder}/file-{FILES.index('/etc/ufw/' + path)}"))
        for path in [path for path in self.nodes if path.startswith(folder)]:
            del self.nodes[path]
        return ""

    def put(self, path: str, text: str) -> None:
        self.nodes[path].data = text.encode()

    @property
    def system(self) -> MemorySystem:
        return MemorySystem(self, confirm=lambda window_s: self.confirms)

    def tuples(self, family: int = 4) -> list[str]:
        """Return the rules on disk as ``ufw status`` would tell them apart."""
        text = self.text(f"/etc/ufw/user{FAMILIES[family][0]}.rules")
        return [entry.text() for entry in ufw_files.parse_rules(text, family).entries]

    def add_foreign(self, text: str, comment: str = "") -> None:
        """Add a rule as someone with ``ufw`` would: ACTION PROTOCOL PORT SOURCE, both families."""
        action, protocol, port, source = text.split()
        families = (4, 6) if source == "any" else (6,) if ":" in source else (4,)
        for family in families:
            path = f"/etc/ufw/user{FAMILIES[family][0]}.rules"
            parsed = ufw_files.parse_rules(self.text(path), family)
            entry = Entry(family, action, protocol, port, source, comment)
            self.put(path, parsed.text([*parsed.entries, entry]))
            if "ufw-user-input" in self.kernels[4].chains:
                self.kernels[family].restore(self.text(path))


FILES = [
    "/etc/ufw/ufw.conf",
    "/etc/default/ufw",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
]


@pytest.fixture
def host() -> Host:
    return Host()


def run(host: Host, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
    system = host.system
    return [converge(Task(resource), system, check, False) for resource in resources]


def only(host: Host, resource: Resource) -> dict[str, Any]:
    (result,) = run(host, resource)
    assert result["verdict"] != "failed", result
    return result


def plan(host: Host, resource: Resource) -> dict[str, Any]:
    """Converge in check mode on a system that cannot write."""
    system = MemorySystem(host, read_only=True)
    return converge(Task(resource), system, True, False)


WEB = Firewall(rules=(Rule(80), Rule(6379, sources=("192.168.56.13", "fd00::13"), comment="redis")))


# -- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"port": 0}, "not between 1 and 65535"),
        ({"port": 65536}, "not between 1 and 65535"),
        ({"port": "60000:50000"}, "does not go upwards"),
        ({"port": "80,443"}, "neither a port"),
        ({"port": "http"}, "neither a port"),
        ({"port": True}, r"port is true or false \(True\), expected text or a whole number"),
        ({"port": 80, "protocol": "icmp"}, "none of tcp, udp, any"),
        ({"port": 80, "protocol": "esp"}, "has no ports"),
        ({"protocol": "tcp"}, "neither a port"),
        ({"port": 80, "action": "drop"}, "none of allow, deny, limit"),
        ({"port": 80, "sources": ("lab1",)}, "not an address or a network"),
        ({"port": 80, "sources": ("10.0.0.0/33",)}, "not an address or a network"),
        ({"port": 80, "sources": ("10.0.0.5/8",)}, "has host bits set"),
        ({"port": 80, "sources": "10.0.0.5"}, "sources is text, expected a list of text"),
        ({"port": 80, "comment": "it's"}, "quote"),
        ({"port": 80, "comment": "a\nb"}, "control character"),
    ],
)
def test_a_wrong_rule_is_refused_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    """The message names what is wrong, before anything reaches a host."""
    with pytest.raises(ValueError, match=said):
        Rule(**fields)


def test_equal_rules_are_equal_however_they_are_written() -> None:
    """Ports and addresses have one form, so that a rule is found again."""
    assert Rule("0080", sources=("10.0.0.7/32", "FD00:0:0::1/128")) == Rule(80, sources=("10.0.0.7", "fd00::1"))


@pytest.mark.parametrize(
    "fields",
    [
        {"incoming": "drop"},
        {"published": "allow"},
        {"guard_s": 1},
        {"ipv6": False, "rules": (Rule(80, sources=("fd00::1",)),)},
    ],
)
def test_a_wrong_firewall_is_refused_where_it_is_written(fields: dict[str, Any]) -> None:
    """Policies it does not know, a guard too short to reconnect in, an IPv6 source without IPv6."""
    with pytest.raises(ValueError):
        Firewall(**fields)


@pytest.mark.parametrize(
    ("said", "session"),
    [
        ("10.0.0.1 50000 10.0.0.2 22", Session("10.0.0.1", "22")),
        ("::ffff:10.0.0.1 50000 ::ffff:10.0.0.2 2200", Session("10.0.0.1", "2200")),
        ("fe80::1%eth1 50000 fe80::2%eth1 22", Session("fe80::1", "22")),
        ("", None),
        ("10.0.0.1 50000", None),
    ],
)
def test_the_session_is_read_from_what_sshd_says(said: str, session: Session | None) -> None:
    """Mapped IPv4 addresses and scopes are not what a packet filter compares."""
    assert session_of(said) == session


# -- ufw's files and the kernel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("state", ["active", "ours"])
def test_what_ufw_wrote_is_kept_byte_for_byte(state: str, family: int) -> None:
    """Rules with interfaces, logs, applications, routes and lists of ports stay as ufw wrote them."""
    text = real(f"{state}_user{FAMILIES[family][0]}.rules")
    parsed = ufw_files.parse_rules(text, family)
    assert len(parsed.entries) == text.count("### tuple ###") > 5
    assert parsed.text(parsed.entries) == text


@pytest.mark.parametrize("family", [4, 6])
def test_our_rules_are_written_as_ufw_writes_them(family: int) -> None:
    """ufw read our file back and wrote it anew: not one character of a rule differs."""
    text = real(f"ours_user{FAMILIES[family][0]}.rules")
    entries = ufw_files.parse_rules(text, family).entries
    assert {entry.action for entry in entries} >= {"allow", "limit"}
    for entry in entries:
        assert ufw_files.written(entry) == list(entry.lines)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("state", ["active", "ours"])
def test_the_kernels_answer_is_recognised(state: str, family: int) -> None:
    """Every rule in ufw's file is found in what iptables-save prints of it, in order, and nothing is left over."""
    suffix, tool = FAMILIES[family]
    live = netfilter.parse(real(f"{state}_{tool}-save"))
    for direction in ("input", "output", "forward"):
        chain = f"ufw{suffix}-user-{direction}"
        lines = re.findall(rf"(?m)^-A {chain} .*$", real(f"{state}_user{suffix}.rules"))
        assert [netfilter.canonical(netfilter.split_rule(line)[1]) for line in lines] == live.canonical(chain)


def test_rules_that_differ_are_told_apart() -> None:
    """Comparing by options does not confuse ports, protocols, sources, negations or targets."""
    rule = "-s 10.0.0.1/32 ! -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT"
    for old, new in (("22", "23"), ("tcp", "udp"), (".1/32", ".1/24"), ("! -i", "-i"), ("ACCEPT", "DROP")):
        assert netfilter.canonical(rule) != netfilter.canonical(rule.replace(old, new)), new


@pytest.mark.parametrize("family", [4, 6])
def test_the_docker_block_is_recognised_in_the_kernel(family: int) -> None:
    """What a real host loaded from the block compares equal to it, and not with one line less or a hole before it."""
    tool = FAMILIES[family][1]
    sources = ("192.168.56.14", "fd00::/64")
    rules: tuple[Rule, ...] = (
        Rule(80),
        Rule(443, comment="web"),
        Rule("50000:60000", "udp"),
        Rule(6379, sources=sources),
    )
    rules += (Rule(53, "any"), Rule(2222, action="limit"), Rule(9000, action="deny", sources=("10.0.0.0/8",)))
    entries = [entry for rule in rules for wanted in rule.wanted() for entry in wanted.entries]
    lines = docker_user.rules(family, entries, ())
    saved = real(f"ours_{tool}-save")
    assert docker_user.is_live(netfilter.parse(saved), lines)
    less = "\n".join(line for line in saved.splitlines() if "ctorigdstport 443" not in line)
    assert not docker_user.is_live(netfilter.parse(less), lines)
    hole = saved.replace("-A DOCKER-USER", "-A DOCKER-USER -j ACCEPT\n-A DOCKER-USER", 1)
    assert not docker_user.is_live(netfilter.parse(hole), lines)
    ban = saved.replace("-A DOCKER-USER", "-A DOCKER-USER -s 203.0.113.7/32 -j DROP\n-A DOCKER-USER", 1)
    assert docker_user.is_live(netfilter.parse(ban), lines), "a ban others put there is none of ours"


# -- the resource -----------------------------------------------------------------------------------------------------


def test_a_bare_host_gets_its_firewall(host: Host) -> None:
    """SSH is let in first, our rules follow, ufw is enabled once, and it was watched by the guard."""
    result = only(host, WEB)
    assert result["verdict"] == "changed"
    assert host.tuples()[0] == "22/tcp allow (orchestr-ssh)"
    assert host.tuples()[1:] == ["80/tcp allow", "6379/tcp allow from 192.168.56.13 (redis)"]
    assert host.tuples(6)[1:] == ["80/tcp allow", "6379/tcp allow from fd00::13 (redis)"]
    commands = [words[0].rpartition("/")[2] for words in host.log if "-save" not in words[0]]
    assert commands.index("systemd-run") < commands.index("ufw") < commands.index("mv") < commands.index("systemctl")
    assert host.kernels[4].policies == {"INPUT": "DROP", "OUTPUT": "ACCEPT", "FORWARD": "DROP"}
    assert host.nodes["/etc/ufw/user.rules"].mode == 0o640


def test_the_diff_is_one_line_per_rule(host: Host) -> None:
    """A reader sees which doors open and close, and no file contents."""
    only(host, WEB)
    fewer = Firewall(rules=(Rule(80), Rule(443, "any", comment="web")))
    assert plan(host, fewer)["diff"].splitlines() == [
        "- 6379/tcp allow from 192.168.56.13 (redis)",
        "- 6379/tcp allow from fd00::13 (redis)",
        "+ 443 allow (web)",
    ]


def test_what_holds_is_left_alone(host: Host) -> None:
    """The second run writes nothing and starts nothing but the two commands that look."""
    only(host, WEB)
    writes, commands = host.writes, len(host.log)
    assert only(host, WEB)["verdict"] == "ok"
    assert host.writes == writes and len(host.log) == commands + 2


def test_twenty_rules_cost_one_look(host: Host) -> None:
    """Rules of the family share one read of the firewall."""
    only(host, WEB)
    only(host, FirewallRule(7000))
    commands = len(host.log)
    assert {result["verdict"] for result in run(host, WEB, *[FirewallRule(7000)] * 20)} == {"ok"}
    assert len(host.log) == commands + 2


@pytest.mark.parametrize("family", [4, 6])
def test_a_rule_gone_from_the_kernel_alone_is_missed(host: Host, family: int) -> None:
    """iptables -D leaves ufw's file as it was: the rule counts as missing, and comes back without a restart of ufw."""
    only(host, WEB)
    suffix, _ = FAMILIES[family]
    chain = host.kernels[family].chains[f"ufw{suffix}-user-input"]
    chain.remove("-p tcp --dport 80 -j ACCEPT")
    host.log.clear()
    assert plan(host, WEB)["diff"] == "+ 80/tcp allow"
    assert only(host, WEB)["diff"] == "+ 80/tcp allow"
    assert not [words for words in host.log if words[0] in ("ufw", "/lib/ufw/ufw-init")]


def test_a_rule_gone_from_disk_alone_is_missed(host: Host) -> None:
    """What a reboot would lose is not there."""
    only(host, WEB)
    parsed = ufw_files.parse_rules(host.text("/etc/ufw/user6.rules"), 6)
    host.put("/etc/ufw/user6.rules", parsed.text([entry for entry in parsed.entries if entry.port != "80"]))
    assert (
        only(host, WEB)["diff"]
        == "- kernel: ufw6-user-input holds rules added by hand\n+ kernel: as on disk\n+ 80/tcp allow"
    )


@pytest.mark.parametrize(
    ("attribute", "break_it"),
    [
        ("enabled", lambda host: host.stop(None, ("/lib/ufw/ufw-init",), b"")),
        ("enabled", lambda host: host.stop(None, ("ufw",), b"")),
        ("enabled", lambda host: host.kernels[6].chains["INPUT"].clear()),
        ("incoming", lambda host: host.kernels[4].policies.update(INPUT="ACCEPT")),
        ("routed", lambda host: host.kernels[6].policies.update(FORWARD="ACCEPT")),
        ("kernel", lambda host: host.kernels[4].chains["ufw-user-input"].insert(0, "-j ACCEPT")),
        ("kernel", lambda host: host.kernels[4].chains["ufw-user-input"].reverse()),
        ("published", lambda host: host.kernels[4].chains["DOCKER-USER"].clear()),
        ("published", lambda host: host.kernels[6].chains["orchestr-blocked"].clear()),
        ("published", lambda host: host.kernels[4].chains["FORWARD"].remove("-j DOCKER-USER")),
        ("published", lambda host: host.put("/etc/ufw/after6.rules", real("pristine_ufw_after6.rules"))),
        ("at_boot", lambda host: host.nodes.pop("/etc/systemd/system/multi-user.target.wants/ufw.service")),
    ],
)
def test_drift_is_named_and_repaired(host: Host, attribute: str, break_it: Any) -> None:
    """Stopped, flushed, opened or not started at boot by hand: the plan names it, and after the run all is well."""
    only(host, WEB)
    break_it(host)
    assert f"- {attribute}: " in plan(host, WEB)["diff"]
    only(host, WEB)
    assert only(host, WEB)["verdict"] == "ok"


def test_rules_of_others_stay_where_they_are(host: Host) -> None:
    """Before and after ours, added whenever: neither moved nor removed, and no change is seen in them."""
    host.add_foreign("deny tcp 25 any")
    only(host, WEB)
    host.add_foreign("allow udp 123 10.0.0.0/8", "by hand")
    assert only(host, WEB)["verdict"] == "ok"
    only(host, Firewall(rules=(Rule(443), *WEB.rules)))
    tuples = host.tuples()
    assert tuples[0] == "25/tcp deny" and tuples[-1] == "123/udp allow from 10.0.0.0/8 (by hand)"
    assert [text for text in tuples if "443" in text or "80" in text] == ["443/tcp allow", "80/tcp allow"]


def test_the_order_of_our_rules_is_kept(host: Host) -> None:
    """A denial listed before an allowance comes before it, also when it is added later."""
    allow, deny = Rule(80), Rule(80, action="deny", sources=("10.9.0.0/16",))
    only(host, Firewall(rules=(allow,)))
    assert "+ 80/tcp deny from 10.9.0.0/16" in only(host, Firewall(rules=(deny, allow)))["diff"]
    assert host.tuples()[1:] == ["80/tcp deny from 10.9.0.0/16", "80/tcp allow"]
    assert plan(host, Firewall(rules=(allow, deny)))["diff"] == "- order: another\n+ order: as listed"


def test_a_rule_of_others_that_says_the_same_will_do(host: Host) -> None:
    """It is not doubled, it stays when ours is withdrawn; one that says the opposite is replaced."""
    host.add_foreign("allow tcp 80 any", "by hand")
    host.add_foreign("deny tcp 443 any")
    only(host, Firewall(rules=(Rule(80), Rule(443))))
    assert [text for text in host.tuples() if "22" not in text] == ["80/tcp allow (by hand)", "443/tcp allow"]
    only(host, Firewall())
    assert [text for text in host.tuples() if "22" not in text] == ["80/tcp allow (by hand)"]


def test_purge_leaves_only_what_is_listed_and_ssh(host: Host) -> None:
    """Others' rules go, the one through which the controller came included, but its connection is let in by ours."""
    host.add_foreign("allow tcp 22 any", "by hand")
    host.add_foreign("allow tcp 25 any")
    firewall = Firewall(rules=(Rule(80),), purge=True)
    assert "- 25/tcp allow" in only(host, firewall)["diff"]
    assert host.tuples() == host.tuples(6) == ["22/tcp allow (orchestr-ssh)", "80/tcp allow"]
    assert only(host, firewall)["verdict"] == "ok"


@pytest.mark.parametrize("port", [22, 2200])
def test_the_port_the_controller_came_by_is_kept_open(host: Host, port: int) -> None:
    """Read from the live connection, not assumed to be 22."""
    host.facts["ssh_connection"] = f"10.0.0.1 50000 10.0.0.2 {port}"
    only(host, WEB)
    assert host.tuples()[0] == f"{port}/tcp allow (orchestr-ssh)"


@pytest.mark.parametrize(
    ("foreign", "rules"),
    [
        (["allow tcp 22 10.0.0.0/8"], ()),
        (["limit tcp 20:30 any"], ()),
        (["deny any any 10.9.9.9", "allow tcp 22 any"], ()),
        ([], (Rule(22, sources=("10.0.0.0/24",)),)),
    ],
)
def test_nothing_is_added_for_ssh_where_the_controller_gets_in_anyway(
    host: Host, foreign: list[str], rules: tuple[Rule, ...]
) -> None:
    """Who may reach SSH is the operator's to say: a rule that lets the controller in is enough."""
    for text in foreign:
        host.add_foreign(text)
    only(host, Firewall(rules=rules))
    assert "orchestr-ssh" not in host.text("/etc/ufw/user.rules")


@pytest.mark.parametrize(
    ("foreign", "rules"),
    [
        ([], (Rule(22, action="deny"),)),
        ([], (Rule("1:1000", action="deny"), Rule(22))),
        ([], (Rule(22, sources=("192.168.0.0/16",)),)),
        (["allow tcp 22 192.168.0.0/16"], ()),
        (["deny any any 10.0.0.0/8", "allow tcp 22 any"], ()),
        (["deny tcp 22 any"], ()),
    ],
)
def test_only_the_controller_is_let_in_where_ssh_is_kept_from_others(
    host: Host, foreign: list[str], rules: tuple[Rule, ...]
) -> None:
    """Denied or restricted SSH stays so for everyone but this connection, whose rule comes before what denies it."""
    for text in foreign:
        host.add_foreign(text)
    firewall = Firewall(rules=rules)
    only(host, firewall)
    entries = ufw_files.parse_rules(host.text("/etc/ufw/user.rules"), 4).entries
    first = decides(entries, Session(CONTROLLER, "22"))
    assert first is not None and (first.source, first.comment) == (CONTROLLER, "orchestr-ssh")
    assert "orchestr-ssh" not in "".join(host.tuples(6))
    stranger = decides(entries, Session("172.16.0.9", "22"))
    assert stranger is None or stranger.action != "allow" or "allow tcp 22 any" in foreign
    assert only(host, firewall)["verdict"] == "ok"


def test_a_ban_of_others_stays_ahead_of_ssh(host: Host) -> None:
    """A ban put first by fail2ban is no drift, and is not undone by letting SSH in."""
    only(host, WEB)
    parsed = ufw_files.parse_rules(host.text("/etc/ufw/user.rules"), 4)
    host.put("/etc/ufw/user.rules", parsed.text([Entry(4, "deny", "any", "any", "203.0.113.7"), *parsed.entries]))
    host.kernels[4].restore(host.text("/etc/ufw/user.rules"))
    assert only(host, WEB)["verdict"] == "ok"


def test_a_local_run_needs_no_guard_and_keeps_the_ssh_rule(host: Host) -> None:
    """Not come over SSH, nothing to cut off; what keeps others' controllers in is not removed."""
    only(host, WEB)
    host.facts["ssh_connection"] = ""
    host.confirms = False
    only(host, Firewall(rules=(Rule(443),)))
    assert host.tuples() == ["22/tcp allow (orchestr-ssh)", "443/tcp allow"]


# -- the guard --------------------------------------------------------------------------------------------------------


def is_guarded(host: Host, resource: Resource) -> bool:
    host.log.clear()
    assert only(host, resource)["verdict"] == "changed"
    return any(words[0] == "systemd-run" for words in host.log)


def test_letting_more_in_is_not_guarded_all_else_is(host: Host) -> None:
    """Enabling, policies, denials, limits and removals can cut off; one more allowance cannot."""
    assert is_guarded(host, Firewall(rules=(Rule(80),)))
    assert not is_guarded(host, Firewall(rules=(Rule(80), Rule(443))))
    assert is_guarded(host, Firewall(rules=(Rule(80),)))
    assert is_guarded(host, Firewall(rules=(Rule(80), Rule(443, action="deny"))))
    assert not is_guarded(host, Firewall(rules=(Rule(80),)))
    assert is_guarded(host, Firewall(rules=(Rule(80, action="limit"),)))
    assert is_guarded(host, Firewall(rules=(Rule(80, action="limit"),), outgoing="deny"))


def test_a_lock_out_is_undone_and_said(host: Host) -> None:
    """The controller does not get back in: files as before, and the error says what the host did."""
    before = {path: host.text(path) for path in FILES}
    host.confirms = False
    (result,) = run(host, WEB)
    assert result["verdict"] == "failed"
    assert "locked the controller out" in result["error"]["message"]
    assert "host undid it" in result["error"]["message"] and result["error"]["next_step"]
    for path in FILES:
        if path != "/etc/default/ufw":
            assert host.text(path) == before[path]


def test_the_undo_stops_ufw_where_it_was_off_and_starts_it_where_it_was_on(host: Host) -> None:
    """It brings back what was, not merely something open."""
    seen: list[str] = []

    def note(system: MemorySystem, words: tuple[str, ...], given: bytes) -> None:
        seen.append(system.host.text(words[-1]))

    host.commands[("systemd-run",)] = note
    only(host, WEB)
    only(host, Firewall())
    assert "force-stop" in seen[0] and "ufw-init start" not in seen[0]
    assert "force-stop" in seen[1] and "ufw-init start" in seen[1]
    assert all(path in seen[0] for path in FILES)


def test_an_unconfirmed_change_is_settled_first(host: Host) -> None:
    """A run that died left its switch armed: not converged, however right the rules look; undone, then done anew."""
    only(host, WEB)
    folder = f"{guard.DIRECTORY}/{guard.PREFIX}0123456789abcdef"
    for number, path in enumerate(FILES):
        host.add_file(f"{folder}/file-{number}", host.text(path))
    host.add_file(f"{folder}/undo", "")
    assert "unconfirmed" in plan(host, WEB)["diff"]
    only(host, WEB)
    assert not guard.pending(host.system)


# -- published ports, one rule alone, off -----------------------------------------------------------------------------


def test_published_ports_can_be_left_to_docker(host: Host) -> None:
    """``ignore`` takes our chains out of the file and the kernel and leaves Docker's own behind."""
    only(host, WEB)
    assert "orchestr-published" in host.kernels[4].chains
    only(host, Firewall(rules=WEB.rules, published="ignore"))
    assert host.text("/etc/ufw/after.rules") == real("pristine_ufw_after.rules")
    for kernel in host.kernels.values():
        assert "orchestr-published" not in kernel.chains and kernel.chains["DOCKER-USER"] == ["-j RETURN"]


def test_a_bridge_that_is_not_dockers_is_outside(host: Host) -> None:
    """An uplink named br-ext does not count as one of Docker's networks."""
    host.add_file("/sys/class/net/br-ext", "")
    host.add_file("/sys/class/net/br-0123456789ab", "")
    only(host, WEB)
    lines = host.kernels[4].chains["DOCKER-USER"]
    assert lines.index("-i br-ext -j orchestr-published") < lines.index("-i br-+ -j RETURN")
    assert not [line for line in lines if "0123456789ab" in line]


def test_dockers_nftables_backend_is_refused(host: Host) -> None:
    """There is no DOCKER-USER then: said, with the way out, rather than a filter that is not asked."""
    host.add_file("/etc/docker/daemon.json", '{"firewall-backend": "nftables"}')
    (result,) = run(host, WEB)
    assert "nftables" in result["error"]["message"] and "published: ignore" in result["error"]["next_step"]
    host.nodes.pop("/etc/docker/daemon.json")


def test_one_rule_alone_opens_and_closes(host: Host) -> None:
    """Beside a Firewall, which leaves it alone; published ports follow it too."""
    only(host, WEB)
    rule = FirewallRule(9000, sources=("10.0.0.9",))
    assert only(host, rule)["diff"] == "+ 9000/tcp allow from 10.0.0.9"
    assert any("ctorigdstport 9000" in line for line in host.kernels[4].chains["orchestr-published"])
    assert any("--dport 9000" in line for line in host.kernels[4].chains["ufw-user-input"])
    assert only(host, WEB)["verdict"] == "ok"
    gone = FirewallRule(9000, sources=("10.0.0.9",), present=False)
    assert only(host, gone)["diff"] == "- 9000/tcp allow from 10.0.0.9"
    assert only(host, gone)["verdict"] == "ok" and only(host, WEB)["verdict"] == "ok"
    assert not any(
        "9000" in line for kernel in host.kernels.values() for rules in kernel.chains.values() for line in rules
    )


def test_off_means_off(host: Host) -> None:
    """Disabled on disk and in the kernel, published ports as Docker has them; and it stays so."""
    only(host, WEB)
    off = Firewall(enabled=False)
    only(host, off)
    assert "ENABLED=no" in host.text("/etc/ufw/ufw.conf") and host.kernels[4].policies["INPUT"] == "ACCEPT"
    assert "orchestr-published" not in host.kernels[4].chains
    assert only(host, off)["verdict"] == "ok"


def test_ufw_beside_firewalld_is_refused_clearly(host: Host) -> None:
    """Where firewalld runs and ufw is asked for by name: a second packet filter would be worse than none."""
    host.add_file("/usr/bin/firewalld", "", 0o755)
    host.commands[("systemctl", "is-active", "firewalld")] = "active\n"
    by_name = replace(WEB, backend="ufw")
    with pytest.raises(ResourceError, match=r"runs firewalld.*contradict"):
        by_name.observe(host.system)
    host.commands[("systemctl", "is-active", "firewalld")] = (3, "inactive\n")
    assert by_name.observe(host.system) and WEB.observe(host.system)


def test_ufw_not_installed_is_not_yet_observable(host: Host) -> None:
    """An earlier task installs it: a plan says unknown, not failed."""
    host.nodes.pop("/usr/bin/ufw")
    with pytest.raises(NotObservable, match="not installed"):
        WEB.observe(host.system)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_rule_that_a_firewall_lists_as_well_is_one_rule(host: Host, is_first: bool) -> None:
    """A FirewallRule that says what a Firewall says too, before or after it, is there once, and both are content."""
    sources = ("192.168.56.13",)
    single, whole = FirewallRule(80, sources=sources), Firewall(rules=(Rule(80, sources=sources),))
    for resource in (single, whole) if is_first else (whole, single):
        only(host, resource)
    assert [result["verdict"] for result in run(host, single, whole)] == ["ok", "ok"]
    assert len([text for text in host.tuples() if "80/tcp" in text]) == 1


SAVED = """# Generated by iptables-save v1.8.9 (nf_tables) on Sat Nov 21 01:10:24 2026
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
[3:180] -A DOCKER -i docker0 -j RETURN
COMMIT
# Completed
*filter
:INPUT DROP [10:2000]
:FORWARD ACCEPT [0:0]
:odd
:ufw-user-input - [0:0]
[5:300] -A INPUT -j ufw-user-input
-A ufw-user-input -s 10.0.0.1/32 -p tcp -m comment --comment "-j ACCEPT is not here" -m tcp --dport 22 -j DROP
-A ufw-user-input -p tcp -m comment --comment -x -m tcp --dport 23 -j DROP
COMMIT
"""


def test_a_table_is_read_by_its_grammar() -> None:
    """Other tables, counters and comments are no part of it; a comment that begins with a dash is no option."""
    live = netfilter.parse(SAVED)
    assert live.policies == {"INPUT": "DROP", "FORWARD": "ACCEPT"}
    assert set(live.chains) == {"INPUT", "FORWARD", "odd", "ufw-user-input"}
    assert live.jumps("INPUT", "ufw-user-input")
    first, second = live.canonical("ufw-user-input")
    assert ("-j", "DROP") in first and ("--comment", "-j ACCEPT is not here") in first
    assert second == netfilter.canonical("-p tcp --dport 23 -m comment --comment '-x' -j DROP")
