"""The firewall on a whole machine with its own Docker engine, looked at from outside: who gets in, who is kept out.

One suite for both packet filters: what differs is what someone does by hand, in ``packet_filters``.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.resource import Resource, Task
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory.settings import ConnectionSettings
from orchestr.resources.firewall.firewall import Firewall, FirewallRule, Rule
from orchestr.transport.base import Connection
from orchestr.transport.connect import connect
from orchestr.transport.local import LocalChannel, LocalConnection
from tests.lab import packet_filters
from tests.lab.conftest import ADDRESSES, LAB, lab, ssh
from tests.lab.packet_filters import PacketFilter

NODE, PEER = "lab2", "lab1"
NODES = (NODE,)
ADDRESS = ADDRESSES[NODE]
CONTROLLER = "192.168.56.1"
# A client in a network namespace of the node, to it a stranger from outside with IPv4 and IPv6 addresses.
STRANGER = """
sysctl -q -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
ip netns add outside
ip link add out0 type veth peer name out1 netns outside
ip address add 10.99.0.1/24 dev out0
ip address add fd99::1/64 dev out0 nodad
ip link set out0 up
ip netns exec outside sysctl -q -w net.ipv6.conf.all.disable_ipv6=0
ip -n outside address add 10.99.0.2/24 dev out1
ip -n outside address add fd99::2/64 dev out1 nodad
ip -n outside link set out1 up
ip -n outside route add default via 10.99.0.1
"""
# An image with a shell and netcat, made of the node's own files.
PROBE_IMAGE = """
set -e
mkdir -p /tmp/probe && cd /tmp/probe
for program in /bin/nc.openbsd /bin/dash; do
  for file in $program $(ldd $program | grep -o '/[^ ]*'); do mkdir -p .$(dirname $file); cp -L $file .$file; done
done
tar c . | docker import - probe:1 >/dev/null
"""
DOCKER_IPV6 = '{"ipv6": true, "fixed-cidr-v6": "fd00:d0c::/64", "experimental": true, "ip6tables": true}\n'
ANSWERER = (
    "trap exit TERM; while :; do echo hello | /bin/nc.openbsd -6lNp 80; done & "
    "while :; do echo hello | /bin/nc.openbsd -4lNp 80; done & wait"
)
KILL_LOCK_HOLDER = """
import os
inode = os.stat("/run/orchestr/lock").st_ino
for line in open("/proc/locks"):
    fields = line.split()
    if fields[5].endswith(":%d" % inode):
        os.kill(int(fields[4]), 9)
"""


@pytest.fixture(scope="module")
def node(bare: list[str]) -> Iterator[str]:
    """The node with IPv6 inside Docker, a stranger, two published ports and one service on the host itself."""
    ssh(NODE, "sh", "-s", input=STRANGER)
    ssh(
        NODE,
        "sh",
        "-s",
        input="mkdir /root/pristine; cp -a /etc/ufw /root/pristine/; cp -a /etc/default/ufw /root/pristine/default",
    )
    ssh(NODE, "sh", "-c", "'cat >/etc/docker/daemon.json; systemctl restart docker'", input=DOCKER_IPV6)
    ssh(NODE, "sh", "-s", input=PROBE_IMAGE)
    for port in (8091, 8092):
        ssh(NODE, f"docker run -d --restart always --name p{port} -p {port}:80 probe:1 /bin/dash -c '{ANSWERER}'")
    ssh(NODE, f"systemd-run --quiet --unit=listener /bin/sh -c '{ANSWERER.replace('80', '8093')}'")
    for port in (8091, 8092, 8093):
        until(lambda port=port: answers(port) and outside("fd99::1", port), f"the service on {port} did not start")  # type: ignore[misc]
    yield NODE
    ssh(NODE, "sh", "-s", input=packet_filters.UFW.on + "\n" + packet_filters.UFW.clean)


@pytest.fixture(scope="module", params=[packet_filters.UFW, packet_filters.FIREWALLD], ids=lambda param: param.name)
def packet_filter(node: str, request: pytest.FixtureRequest) -> PacketFilter:
    """The node's packet filter."""
    found: PacketFilter = request.param
    ssh(NODE, "sh", "-s", input=found.on)
    return found


@pytest.fixture(autouse=True)
def clean(packet_filter: PacketFilter) -> None:
    """Each test starts from what the package installs: ufw off, firewalld on; published ports are open with either."""
    ssh(NODE, "sh", "-s", input=packet_filter.clean)
    until(lambda: answers(8091) and answers(8092), "the bypass to close is not there")


def until(condition: Callable[[], bool], otherwise: str, wait_s: float = 60) -> None:
    """Wait for a condition."""
    give_up = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.1)


def answers(port: int, address: str = ADDRESS) -> bool:
    """Tell whether a service says hello to the controller."""
    try:
        with socket.create_connection((address, port), 1.5) as connection:
            connection.settimeout(3)
            return connection.recv(10).startswith(b"hello")
    except OSError:
        return False


def says_hello(where: str, address: str, port: int, node: str = NODE) -> bool:
    """Tell the same, asked on a node; ``where`` is what the command runs in (a namespace, a container)."""
    return "hello" in ssh(node, f"{where} timeout 2 nc -w2 -d {address} {port} || true", check=False)


def outside(address: str, port: int) -> bool:
    return says_hello("ip netns exec outside", address, port)


def settings(
    port: int | None = None, known_hosts: Path = LAB / "known_hosts", user: str = "root"
) -> ConnectionSettings:
    arguments = ("-F", "none", "-o", f"UserKnownHostsFile={known_hosts}")
    return ConnectionSettings(
        ADDRESS,
        port=port,
        user=user,
        become=user != "root",
        key_file=str(LAB / "id_ed25519"),
        ssh_common_args=arguments,
    )


def open_session(
    to: ConnectionSettings | None = None, connector: Callable[[ConnectionSettings], Connection] = connect
) -> Session:
    session = Session(NODE, to or settings(), connector, SessionOptions(run="firewall-test", lock=True))
    session.open()
    return session


def converge(
    *resources: Resource,
    check: bool = False,
    to: ConnectionSettings | None = None,
    connector: Callable[[ConnectionSettings], Connection] = connect,
) -> list[dict[str, Any]]:
    """Bring resources about with the real agent, over SSH unless told otherwise; return its results."""
    results: list[dict[str, Any]] = []
    tasks = [Task(resource, id=str(number)) for number, resource in enumerate(resources)]
    with closing(open_session(to, connector)) as session:
        session.run_tasks(
            tasks, check=check, on_message=lambda message: results.append(message) if "verdict" in message else None
        )
    return results


def only(*resources: Resource, **options: Any) -> dict[str, Any]:
    """Converge one resource that does not fail."""
    (result,) = converge(*resources, **options)
    assert result["verdict"] != "failed", result
    return result


PEERS = (ADDRESSES[PEER],)
OPEN = Firewall(
    rules=(
        Rule(8092),
        Rule(6379, sources=PEERS),
        Rule("50000:60000", "udp"),
        Rule(protocol="esp", sources=PEERS),
    )
)


def test_published_ports_follow_the_rules() -> None:
    """A port Docker publishes is closed to the outside without a rule and open with one, over IPv4 and IPv6."""
    until(lambda: outside("fd99::1", 8091), "the bypass to close is not there")
    only(OPEN)
    assert not answers(8091) and not outside("10.99.0.1", 8091) and not outside("fd99::1", 8091)
    assert answers(8092) and outside("10.99.0.1", 8092) and outside("fd99::1", 8092)


def test_a_published_port_cannot_be_reached_behind_its_back(packet_filter: PacketFilter) -> None:
    """A stranger who routes to the container's own address is kept out as well, over IPv4 and IPv6."""
    inspect = (
        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}' p8091"
    )
    address, address6 = ssh(NODE, inspect).split()
    ssh(NODE, "ip -n outside -6 route replace default via fd99::1; sysctl -q -w net.ipv6.conf.all.forwarding=1")
    assert packet_filter.name == "firewalld" or outside(address, 80), "the way to close is not there"
    only(OPEN)
    assert not outside(address, 80) and not outside(address6, 80)


def test_containers_are_not_hindered() -> None:
    """Containers reach the outside, each other, and a port open to all of their own host; the host reaches them."""
    only(OPEN)
    inspect = "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' p8092"
    neighbour = ssh(NODE, inspect).strip()
    for address, port in ((neighbour, 80), (ADDRESS, 8092)):
        assert "hello" in ssh(NODE, f"docker exec p8091 /bin/nc.openbsd -d -w2 {address} {port}", check=False), address
    assert "SSH-2.0" in ssh(NODE, f"docker exec p8091 /bin/nc.openbsd -d -w2 {ADDRESSES[PEER]} 22", check=False)
    assert says_hello("", "127.0.0.1", 8091)


def test_a_service_on_the_host_needs_a_rule() -> None:
    """A host-network service on an unlisted port is unreachable from outside."""
    only(Firewall(rules=(Rule(8093),)))
    assert answers(8093) and outside("fd99::1", 8093)
    only(OPEN)
    assert not answers(8093) and not outside("fd99::1", 8093)


def test_a_peers_port_is_open_to_the_peer_alone() -> None:
    """A port for one source is open to that machine and closed to others, published or not, over IPv4 and IPv6."""
    peers = (*PEERS, "fd99::2")
    only(Firewall(rules=(Rule(8091, sources=peers), Rule(8092, sources=PEERS), Rule(8093, sources=peers))))
    for port in (8091, 8093):
        assert says_hello("", ADDRESS, port, PEER) and outside("fd99::1", port)
        assert not answers(port) and not outside("10.99.0.1", port)
    assert says_hello("", ADDRESS, 8092, PEER) and not outside("fd99::1", 8092)


def test_a_limit_holds_for_each_address_apart() -> None:
    """Who connects too often is kept out of that port, of the host's own and of a published one; others are not."""
    only(Firewall(rules=(Rule(8092, action="limit"), Rule(8093, action="limit"))))
    for port in (8092, 8093):
        until(lambda port=port: answers(port), "the port is closed")  # type: ignore[misc]
        until(lambda port=port: not any(answers(port) for _ in range(3)), "there is no limit")  # type: ignore[misc]
        assert outside("10.99.0.1", port)


def test_the_second_run_writes_nothing(packet_filter: PacketFilter) -> None:
    """What holds is left alone: no change, no file touched, no rule reloaded."""
    only(OPEN)
    before = ssh(NODE, packet_filter.written)
    assert only(OPEN)["verdict"] == "ok"
    assert ssh(NODE, packet_filter.written) == before


@pytest.mark.parametrize(("packet_filter", "by_hand"), packet_filters.cases("deleted"), indirect=["packet_filter"])
def test_a_rule_deleted_by_hand_is_found_and_restored(packet_filter: PacketFilter, by_hand: str) -> None:
    """Wherever it is missing: the plan names that rule and nothing else, and the run puts it back."""
    only(OPEN)
    before = ssh(NODE, packet_filter.status)
    ssh(NODE, packet_filter.deleted[by_hand])
    for check in (True, False):
        result = only(OPEN, check=check)
        assert (result["verdict"], result["diff"]) == ("changed", "+ 8092/tcp allow")
    assert answers(8092) and sorted(ssh(NODE, packet_filter.status).split("\n")) == sorted(before.split("\n"))
    assert only(OPEN)["verdict"] == "ok"


@pytest.mark.parametrize(("packet_filter", "by_hand"), packet_filters.cases("taken_down"), indirect=["packet_filter"])
def test_a_firewall_taken_down_by_hand_is_put_up_again(packet_filter: PacketFilter, by_hand: str) -> None:
    """Chains flushed, stopped, a hole made, not started at boot: seen, and closed ports are closed again after."""
    only(OPEN)
    ssh(NODE, packet_filter.taken_down[by_hand])
    assert only(OPEN, check=True)["verdict"] == "changed"
    only(OPEN)
    assert only(OPEN)["verdict"] == "ok"
    until(lambda: answers(8092), "the allowed port did not come back")
    assert not answers(8091) and not answers(8093)
    assert ssh(NODE, packet_filter.is_at_boot).strip() == "enabled"


def test_rules_outlive_a_restart_of_docker_and_a_reload(packet_filter: PacketFilter) -> None:
    """Docker started after the firewall asks the same chain, and reloading twice leaves nothing double."""
    only(OPEN)
    ssh(NODE, "systemctl restart docker; " + packet_filter.reload)
    until(lambda: answers(8092), "the published port did not come back")
    # While firewalld starts, Docker makes its rules before its jump to the chain that ours are in: a second or so.
    until(lambda: not answers(8091) and not outside("fd99::1", 8091), "a port that nobody allowed stays open")
    until(lambda: only(OPEN, check=True)["verdict"] == "ok", "Docker did not make its rules again")
    assert int(ssh(NODE, "iptables -S DOCKER-USER | grep -c published")) == 1


def test_others_rules_stay_and_withdrawn_ones_go(packet_filter: PacketFilter) -> None:
    """Ours follow the inventory; what the operator added stays, unless purge is asked for, which never closes SSH."""
    ssh(NODE, "; ".join(packet_filter.open_by_hand))
    only(OPEN)
    fewer = Firewall(rules=(Rule(8092),))
    assert sorted(only(fewer)["diff"].splitlines()) == [
        "- 50000:60000/udp allow",
        f"- 6379/tcp allow from {ADDRESSES[PEER]}",
        f"- esp allow from {ADDRESSES[PEER]}",
    ]
    status = ssh(NODE, packet_filter.status)
    assert all(text in status for text in ("7000/tcp", "203.0.113.7", "7001")) and "6379" not in status
    only(Firewall(rules=(Rule(8092),), purge=True))
    status = ssh(NODE, packet_filter.status)
    assert not any(text in status for text in ("7000/tcp", "203.0.113.7", "7001")) and "22" in status
    assert ssh(NODE, "echo in").strip() == "in"


FIREWALLD_ONLY = pytest.mark.parametrize("packet_filter", [packet_filters.FIREWALLD], indirect=True, ids=["firewalld"])
FOREIGN = (
    'rule family="ipv4" source ipset="bad" port port="8092" protocol="tcp" drop',
    'rule family="ipv4" port port="7001" protocol="tcp" log prefix="ports: drop x" level="info" accept',
)


@FIREWALLD_ONLY
def test_rules_of_others_that_are_understood_in_part_stay(packet_filter: PacketFilter) -> None:
    """Rules with a set or a log stay byte for byte, in the daemon and on disk, and are no drift."""
    ssh(NODE, "firewall-cmd -q --permanent --new-ipset=bad --type=hash:ip; firewall-cmd -q --reload")
    commands = (packet_filters.ZONE, packet_filters.LASTING)
    ssh(NODE, "sh", "-s", input="\n".join(f"{to} -q '--add-rich-rule={text}'" for text in FOREIGN for to in commands))
    only(OPEN)
    assert only(OPEN)["verdict"] == "ok"
    for command in commands:
        assert set(FOREIGN) <= set(ssh(NODE, f"{command} --list-rich-rules").splitlines())
    assert answers(8092)


class Console(LocalConnection):
    """The node's console, where no packet is needed."""

    def start(self, command: Sequence[str]) -> LocalChannel:
        return super().start(["docker", "exec", "-i", NODE, *command])


@FIREWALLD_ONLY
def test_panic_mode_is_named_on_the_console(packet_filter: PacketFilter) -> None:
    """Rules that are in place are not called so while firewalld drops every packet."""
    only(OPEN)
    on_node("firewall-cmd --panic-on")
    try:
        [result] = converge(OPEN, connector=lambda to: Console())
    finally:
        on_node("firewall-cmd --panic-off")
    assert "panic mode" in result["error"]["message"] and "--panic-off" in result["error"]["next_step"], result
    until(lambda: answers(8092), "the node did not come back")


def test_one_rule_alone() -> None:
    """A FirewallRule opens its port, published ones too, beside a Firewall that leaves it alone, and takes it away."""
    only(OPEN)
    assert converge(FirewallRule(8091), OPEN)[1]["verdict"] == "ok"
    assert answers(8091) and answers(8092)
    assert converge(FirewallRule(8091, present=False), OPEN)[0]["diff"] == "- 8091/tcp allow"
    assert not answers(8091) and answers(8092)


def test_ssh_survives_a_rule_that_denies_it() -> None:
    """The inventory denies 22: the controller alone still gets in, on new connections, and the next run agrees."""
    firewall = Firewall(rules=(Rule(22, action="deny"),))
    only(firewall)
    assert only(firewall)["verdict"] == "ok"
    assert ssh(NODE, "echo in").strip() == "in"
    assert "SSH" not in ssh(PEER, f"nc -d -w2 {ADDRESS} 22", check=False)


def test_ssh_survives_a_ban_that_was_already_there(packet_filter: PacketFilter) -> None:
    """Someone denied the controller's address, and it is not in force yet: the run does not lock it out."""
    ssh(NODE, packet_filter.ban % CONTROLLER)
    only(Firewall(rules=(Rule(8093),)))
    assert ssh(NODE, "echo in").strip() == "in"
    assert not answers(8093), "the ban holds for everything but SSH"


def test_another_ssh_port_is_the_one_kept_open(packet_filter: PacketFilter, tmp_path: Path) -> None:
    """sshd on 2200, reached through it, as a user behind sudo: 2200 is let in, 22 is not."""
    ssh(NODE, packet_filter.off + "; systemd-run --quiet --unit=sshd2200 /usr/sbin/sshd -D -p 2200")
    until(lambda: "2200" in ssh(NODE, "ss -ltn"), "the second sshd did not start")
    known = (LAB / "known_hosts").read_text().replace(f"{ADDRESS} ", f"[{ADDRESS}]:2200 ")
    (tmp_path / "known_hosts").write_text(known)
    to = settings(2200, tmp_path / "known_hosts", "vagrant")
    try:
        firewall = replace(OPEN, backend=packet_filter.name)
        only(firewall, to=to)
        assert only(firewall, to=to)["verdict"] == "ok"
        with pytest.raises(OSError):
            socket.create_connection((ADDRESS, 22), 2)
    finally:
        on_node(packet_filter.off + "; systemctl stop sshd2200")


def on_node(script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script on the node, but not over SSH, which the firewall may have closed."""
    return subprocess.run(["docker", "exec", NODE, "sh", "-c", script], check=check, capture_output=True, text=True)


@pytest.fixture
def lock_out(packet_filter: PacketFilter) -> Iterator[Firewall]:
    """A filter of the host's own that lets the open connection live and no new one from the controller in."""
    ssh(NODE, "sh", "-s", input=packet_filter.locking % CONTROLLER)
    until(lambda: answers(8091), "Docker did not come back")
    yield Firewall(rules=(Rule(8092),), backend=packet_filter.name, guard_s=8)
    on_node(packet_filter.off)


def test_a_firewall_that_locks_the_controller_out_undoes_itself(
    packet_filter: PacketFilter, lock_out: Firewall
) -> None:
    """The host takes the whole change back, and the error says so; the node is as it was."""
    before = ssh(NODE, packet_filter.on_disk)
    (result,) = converge(lock_out)
    assert result["verdict"] == "failed"
    assert "locked the controller out" in result["error"]["message"] and "undid it" in result["error"]["message"]
    assert on_node(packet_filter.is_on, check=False).returncode != 0
    until(lambda: answers(8091) and answers(8093), "the ports that were open are closed")
    assert ssh(NODE, packet_filter.on_disk) == before
    assert ssh(NODE, "ls /run/orchestr; systemctl list-units -q --all 'orchestr-guard*'").split() == ["lock"]


def kill_agent() -> None:
    """Kill the agent on the node by what it holds: the lock."""
    subprocess.run(["docker", "exec", NODE, "python3", "-c", KILL_LOCK_HOLDER], check=True)


def test_the_host_undoes_by_itself_when_the_agent_dies_unconfirmed(
    packet_filter: PacketFilter, lock_out: Firewall
) -> None:
    """SIGKILL between enabling and confirming: nobody is left to undo, the host's timer does within the window."""
    calls: list[bool] = []

    def connector(to: ConnectionSettings) -> Connection:
        if len(calls) == 1:
            calls.append(on_node(packet_filter.is_on, check=False).returncode == 0)
            kill_agent()
        if calls:
            raise OSError("gone")
        calls.append(True)
        return connect(to)

    with closing(open_session(connector=connector)) as session, pytest.raises(Exception, match=r"ended|sign of life"):
        session.run_tasks([Task(lock_out, id="0")], check=False, on_message=lambda message: None)
    assert calls[:2] == [True, True], "the agent did not get to the confirmation with the firewall on"
    is_armed = "ls -d /run/orchestr/guard-* 2>/dev/null || " + packet_filter.is_on
    until(lambda: on_node(is_armed, check=False).returncode != 0, "the host did not undo the change", wait_s=30)
    until(lambda: answers(8091) and answers(8093), "the ports that were open are closed")


def test_a_run_after_a_dead_one_settles_first() -> None:
    """A change left unconfirmed is no state to build on: the next run undoes it, makes it anew and confirms it."""

    def connector(to: ConnectionSettings, calls: list[int] = []) -> Connection:  # noqa: B006
        calls.append(1)
        if len(calls) == 2:
            kill_agent()
        return connect(to)

    with closing(open_session(connector=connector)) as session, pytest.raises(Exception, match=r"ended|sign of life"):
        session.run_tasks([Task(OPEN, id="0")], check=False, on_message=lambda message: None)
    assert "guard-" in ssh(NODE, "ls /run/orchestr")
    assert "unconfirmed" in only(OPEN)["diff"]
    assert ssh(NODE, "ls /run/orchestr; systemctl list-units -q --all 'orchestr-guard*'").split() == ["lock"]
    assert only(OPEN)["verdict"] == "ok" and not answers(8091) and answers(8092)


def test_rules_outlive_a_reboot(node: str) -> None:
    """The machine starts with the firewall up before Docker, and it holds for published ports."""
    only(OPEN)
    lab("kill", NODE)
    lab("start", NODE)
    until(lambda: answers(8092), "the published port did not come back")
    assert not answers(8091)
    assert only(OPEN)["verdict"] == "ok"
    ssh(NODE, "sh", "-s", input=STRANGER)
    ssh(NODE, f"systemd-run --quiet --unit=listener /bin/sh -c '{ANSWERER.replace('80', '8093')}'")
