"""The firewall on a whole machine with its own Docker engine, looked at from outside: who gets in, who is kept out."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.resource import Resource, Task
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory.settings import ConnectionSettings
from orchestr.resources.firewall import Firewall, FirewallRule, Rule
from orchestr.transport.base import Connection
from orchestr.transport.connect import connect
from tests.lab.conftest import ADDRESSES, LAB, lab, ssh

NODE, PEER = "lab5", "lab4"
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
    "while :; do echo hello | /bin/nc.openbsd -6lNp 80; done & while :; do echo hello | /bin/nc.openbsd -4lNp 80; done"
)
CLEAN = """
ufw --force disable >/dev/null
rm -rf /etc/ufw /etc/default/ufw
cp -a /root/pristine/ufw /etc/ufw
cp -a /root/pristine/default /etc/default/ufw
for family in iptables ip6tables; do
  $family -N orchestr-published 2>/dev/null; $family -N orchestr-blocked 2>/dev/null; $family -N DOCKER-USER 2>/dev/null
  for chain in DOCKER-USER orchestr-published orchestr-blocked; do $family -F $chain; done
  $family -X orchestr-published; $family -X orchestr-blocked; $family -A DOCKER-USER -j RETURN
done
"""


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
    ssh(NODE, "sh", "-s", input=CLEAN)


@pytest.fixture(autouse=True)
def clean(node: str) -> Iterator[None]:
    """Each test starts from the firewall as the package installs it: off, without rules."""
    ssh(NODE, "sh", "-s", input=CLEAN)
    yield


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


def converge(*resources: Resource, check: bool = False, to: ConnectionSettings | None = None) -> list[dict[str, Any]]:
    """Bring resources about with the real agent over SSH; return its results."""
    results: list[dict[str, Any]] = []
    tasks = [Task(resource, id=str(number)) for number, resource in enumerate(resources)]
    with closing(open_session(to)) as session:
        session.run_tasks(
            tasks, check=check, on_message=lambda message: results.append(message) if "verdict" in message else None
        )
    return results


def only(*resources: Resource, **options: Any) -> dict[str, Any]:
    """Converge one resource that does not fail."""
    (result,) = converge(*resources, **options)
    assert result["verdict"] != "failed", result
    return result


def written_at() -> str:
    return ssh(NODE, "stat -c '%n %y %i' /etc/ufw/* /etc/default/ufw; iptables-save -t filter | grep -v '^[:#]'")


OPEN = Firewall(rules=(Rule(8092), Rule(6379, sources=(ADDRESSES[PEER],)), Rule("50000:60000", "udp")))


def test_published_ports_follow_the_rules() -> None:
    """A port Docker publishes is closed to the outside without a rule and open with one, over IPv4 and IPv6."""
    assert answers(8091) and outside("fd99::1", 8091), "the bypass to close is not there"
    only(OPEN)
    assert not answers(8091) and not outside("10.99.0.1", 8091) and not outside("fd99::1", 8091)
    assert answers(8092) and outside("10.99.0.1", 8092) and outside("fd99::1", 8092)


def test_a_published_port_cannot_be_reached_behind_its_back() -> None:
    """A stranger who routes to the container's own address is kept out as well, over IPv4 and IPv6."""
    inspect = (
        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}' p8091"
    )
    address, address6 = ssh(NODE, inspect).split()
    ssh(NODE, "ip -n outside -6 route replace default via fd99::1; sysctl -q -w net.ipv6.conf.all.forwarding=1")
    assert outside(address, 80), "the way to close is not there"
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
    assert answers(8093) and outside("fd99::1", 8093)
    only(OPEN)
    assert not answers(8093) and not outside("fd99::1", 8093)


def test_a_peers_port_is_open_to_the_peer_alone() -> None:
    """A port for one source is open to that machine and closed to the controller, published or not."""
    peer = ADDRESSES[PEER]
    only(Firewall(rules=(Rule(8091, sources=(peer,)), Rule(8093, sources=(peer,)))))
    assert says_hello("", ADDRESS, 8091, PEER) and says_hello("", ADDRESS, 8093, PEER)
    assert not answers(8091) and not answers(8093)


def test_the_second_run_writes_nothing() -> None:
    """What holds is left alone: no change, no file touched, no rule reloaded."""
    only(OPEN)
    before = written_at()
    assert only(OPEN)["verdict"] == "ok"
    assert written_at() == before


@pytest.mark.parametrize(
    "by_hand",
    [
        "ufw delete allow 8092/tcp",
        "iptables -D ufw-user-input -p tcp --dport 8092 -j ACCEPT",
        "ip6tables -D ufw6-user-input -p tcp --dport 8092 -j ACCEPT",
    ],
)
def test_a_rule_deleted_by_hand_is_found_and_restored(by_hand: str) -> None:
    """Whether by ufw or in the kernel alone: the plan names that rule and nothing else, and the run puts it back."""
    only(OPEN)
    before = ssh(NODE, "ufw status")
    ssh(NODE, by_hand)
    for check in (True, False):
        result = only(OPEN, check=check)
        assert (result["verdict"], result["diff"]) == ("changed", "+ 8092/tcp allow")
    assert answers(8092) and sorted(ssh(NODE, "ufw status").split("\n")) == sorted(before.split("\n"))
    assert only(OPEN)["verdict"] == "ok"


@pytest.mark.parametrize(
    "by_hand",
    [
        "iptables -F; iptables -P INPUT ACCEPT; systemctl restart docker",
        "/lib/ufw/ufw-init force-stop",
        "ufw --force disable",
        "iptables -F DOCKER-USER",
        "iptables -I DOCKER-USER -j ACCEPT",
        "iptables -P INPUT ACCEPT; iptables -D INPUT -j ufw-before-input",
        "iptables -A ufw-user-input -j ACCEPT",
        "systemctl disable -q ufw",
    ],
)
def test_a_firewall_taken_down_by_hand_is_put_up_again(by_hand: str) -> None:
    """Chains flushed, ufw stopped, a hole made, not started at boot: seen, and closed ports are closed again after."""
    only(OPEN)
    ssh(NODE, by_hand)
    assert only(OPEN, check=True)["verdict"] == "changed"
    only(OPEN)
    assert only(OPEN)["verdict"] == "ok"
    until(lambda: answers(8092), "the allowed port did not come back")
    assert not answers(8091) and not answers(8093)
    assert ssh(NODE, "systemctl is-enabled ufw").strip() == "enabled"


def test_rules_outlive_a_restart_of_docker_and_a_reload_of_ufw() -> None:
    """Docker started after the firewall asks the same chain, and reloading ufw twice leaves nothing double."""
    only(OPEN)
    ssh(NODE, "systemctl restart docker; ufw reload; ufw reload")
    until(lambda: answers(8092), "the published port did not come back")
    assert not answers(8091) and not outside("fd99::1", 8091)
    assert only(OPEN)["verdict"] == "ok"
    assert int(ssh(NODE, "iptables -S DOCKER-USER | grep -c published")) == 1


def test_others_rules_stay_and_withdrawn_ones_go() -> None:
    """Ours follow the inventory; what the operator added stays, unless purge is asked for, which never closes SSH."""
    ssh(NODE, "ufw allow 7000/tcp; ufw deny from 203.0.113.7; ufw allow in on out0 to any port 7001")
    only(OPEN)
    fewer = Firewall(rules=(Rule(8092),))
    assert only(fewer)["diff"].splitlines() == ["- 6379/tcp allow from 192.168.56.14", "- 50000:60000/udp allow"]
    status = ssh(NODE, "ufw status")
    assert all(text in status for text in ("7000/tcp", "203.0.113.7", "7001 on out0")) and "6379" not in status
    only(Firewall(rules=(Rule(8092),), purge=True))
    status = ssh(NODE, "ufw status")
    assert not any(text in status for text in ("7000/tcp", "203.0.113.7", "7001")) and "22/tcp" in status


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


def test_ssh_survives_a_ban_that_was_already_there() -> None:
    """Someone denied the controller's address while the firewall was off: enabling it does not lock it out."""
    ssh(NODE, f"ufw deny from {CONTROLLER}")
    only(Firewall(rules=(Rule(8093),)))
    assert ssh(NODE, "echo in").strip() == "in"
    assert not answers(8093), "the ban holds for everything but SSH"


def test_another_ssh_port_is_the_one_kept_open(tmp_path: Path) -> None:
    """sshd on 2200, reached through it, as a user behind sudo: 2200 is let in, 22 is not."""
    ssh(NODE, "systemd-run --quiet --unit=sshd2200 /usr/sbin/sshd -D -p 2200")
    until(lambda: "2200" in ssh(NODE, "ss -ltn"), "the second sshd did not start")
    known = (LAB / "known_hosts").read_text().replace(f"{ADDRESS} ", f"[{ADDRESS}]:2200 ")
    (tmp_path / "known_hosts").write_text(known)
    to = settings(2200, tmp_path / "known_hosts", "vagrant")
    try:
        only(OPEN, to=to)
        assert only(OPEN, to=to)["verdict"] == "ok"
        with pytest.raises(OSError):
            socket.create_connection((ADDRESS, 22), 2)
    finally:
        subprocess.run(["docker", "exec", NODE, "sh", "-c", "ufw --force disable; systemctl stop sshd2200"], check=True)


@pytest.fixture
def lock_out(node: str) -> Iterator[None]:
    """A filter of the host's own that lets the open connection live and no new one from the controller in."""
    path, drop = "/etc/ufw/before.rules", f"-A ufw-before-input -s {CONTROLLER} -p tcp --syn -j DROP"
    ssh(NODE, f"sed -i '/^# quickly process/i {drop}' {path}")
    yield
    subprocess.run(["docker", "exec", NODE, "ufw", "--force", "disable"], check=True, capture_output=True)


def test_a_firewall_that_locks_the_controller_out_undoes_itself(lock_out: None) -> None:
    """The host takes the whole change back, and the error says so; the node is as it was."""
    before = ssh(NODE, "cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/after.rules /etc/default/ufw")
    (result,) = converge(Firewall(rules=(Rule(8092),), guard_s=5))
    assert result["verdict"] == "failed"
    assert "locked the controller out" in result["error"]["message"] and "undid it" in result["error"]["message"]
    assert "inactive" in ssh(NODE, "ufw status")
    assert answers(8091) and answers(8093)
    assert ssh(NODE, "cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/after.rules /etc/default/ufw") == before
    assert ssh(NODE, "ls /run/orchestr; systemctl list-units -q --all 'orchestr-guard*'").split() == ["lock"]


def kill_agent() -> None:
    """Kill the agent on the node by what it holds: the lock. Not over SSH, which the firewall may have closed."""
    subprocess.run(["docker", "exec", NODE, "python3", "-c", KILL_LOCK_HOLDER], check=True)


def test_the_host_undoes_by_itself_when_the_agent_dies_unconfirmed(lock_out: None) -> None:
    """SIGKILL between enabling and confirming: nobody is left to undo, the host's timer does within the window."""
    calls: list[bool] = []

    def connector(to: ConnectionSettings) -> Connection:
        if calls:
            status = subprocess.run(["docker", "exec", NODE, "ufw", "status"], capture_output=True, text=True).stdout
            calls.append("Status: active" in status)
            kill_agent()
            raise OSError("gone")
        calls.append(True)
        return connect(to)

    with closing(open_session(connector=connector)) as session, pytest.raises(Exception, match=r"ended|sign of life"):
        session.run_tasks([Task(Firewall(guard_s=8), id="0")], check=False, on_message=lambda message: None)
    assert calls == [True, True], "the agent did not get to the confirmation with the firewall on"
    until(lambda: _is_back(), "the host did not undo the change", wait_s=20)
    assert answers(8091) and answers(8093)


def _is_back() -> bool:
    script = "ls -d /run/orchestr/guard-* 2>/dev/null; ufw status"
    return subprocess.run(
        ["docker", "exec", NODE, "sh", "-c", script], capture_output=True, text=True
    ).stdout.split() == ["Status:", "inactive"]


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
