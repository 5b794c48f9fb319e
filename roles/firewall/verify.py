"""Only ports with a rule are open from outside, ports of containers included."""

from __future__ import annotations

import re
from typing import Any

from orchestr import Host, Outside, Rule, is_insider, outside_address
from orchestr.resources.firewall.rules import covers_port
from orchestr.verification.inside import SILENCE_S

from . import Params, rules

UNLIKELY_PORTS = range(61231, 61239)
# Format of `docker ps`: 0.0.0.0:8091->80/tcp, :::8091->80/tcp, 10.0.0.2:9000-9002->9000-9002/tcp
_PUBLISHED = re.compile(r"(?P<address>[0-9.]+|\[?[0-9a-f:]+\]?):(?P<first>\d+)(?:-(?P<last>\d+))?->[\d-]+/tcp")


def test_is_on_now_and_after_a_boot(host: Any, params: Params) -> None:
    """The packet filter is on and drops packets without a rule, now and after a reboot."""
    if not params.enabled:
        return
    if runs_firewalld(host):
        _check_firewalld(host)
    else:
        _check_ufw(host)


def runs_firewalld(host: Any) -> bool:
    """Return True if this host's packet filter is firewalld."""
    return bool(host.run("systemctl is-active firewalld").stdout.strip() == "active")


def _check_ufw(host: Any) -> None:
    status = host.check_output("LC_ALL=C ufw status verbose")
    assert "Status: active" in status, "ufw is off: every port is open to all; look at: ufw status, journalctl -u ufw"
    default = next((line for line in status.splitlines() if line.startswith("Default:")), "")
    assert re.search(r"(deny|reject) \(incoming\)", default), (
        f"ufw allows all by default ({default}); look at: ufw status"
    )
    is_enabled = "ENABLED=yes" in host.file("/etc/ufw/ufw.conf").content_string
    assert is_enabled, "ufw is off after a reboot; run: ufw enable"
    unit = host.run("systemctl is-enabled ufw").stdout.strip()
    assert unit == "enabled", f"ufw's service is {unit or 'missing'}: off after a reboot; run: systemctl enable ufw"


def _check_firewalld(host: Any) -> None:
    zone = host.check_output("firewall-cmd --get-default-zone").strip()
    for option, moment in (("", "now"), ("--permanent ", "after a reboot")):
        rules = host.check_output(f"firewall-cmd {option}--zone={zone} --list-rich-rules")
        assert re.search(r'(?m)^rule priority="32767" (drop|reject)', rules), (
            f"firewalld's zone {zone} allows incoming traffic by default {moment}: its last rule is missing; "
            f"look at: firewall-cmd {option}--zone={zone} --list-all, and run orchestr again"
        )
    unit = host.run("systemctl is-enabled firewalld").stdout.strip()
    assert unit == "enabled", (
        f"firewalld's service is {unit or 'missing'}: off after a reboot; run: systemctl enable firewalld"
    )


def test_ssh_is_open(outside: Outside, machine: Host) -> None:
    """A new SSH connection from this machine succeeds."""
    connection = str(machine.facts.get("ssh_connection", "")).split()
    if len(connection) == 4:  # the agent was started over SSH
        address, port = outside_address(machine), int(connection[3])
        state = outside.connects(address, port)
        assert state == "open", (
            f"port {port} of {address} is {state}: the next login will fail; fix it now, while one connection is open"
        )


def test_a_port_without_a_rule_gives_no_answer(outside: Outside, machine: Host, params: Params) -> None:
    """From outside, a port without a rule gives no answer at all, not even a refusal."""
    if not params.enabled or is_insider(machine, ()):
        return
    address, named = outside_address(machine), rules(machine, params)
    port = next((port for port in UNLIKELY_PORTS if not is_let_in(port, machine, named)), None)
    if port is not None:
        state = outside.connects(address, port, SILENCE_S)
        assert state == "filtered", (
            f"port {port} of {address} is {state}, though no rule allows it: packets pass the firewall; "
            "look at: ufw status verbose (or firewall-cmd --list-all), iptables -S INPUT"
        )


def test_listeners_without_a_rule_are_unreachable(host: Any, outside: Outside, machine: Host, params: Params) -> None:
    """Programs that listen on the network without a rule are unreachable from outside, containers' ports too."""
    if not params.enabled or is_insider(machine, ()):
        return
    address, named = outside_address(machine), rules(machine, params)
    ssh = int(str(machine.facts["ssh_connection"]).split()[3])
    listening, published = listening_ports(host), published_ports(host)
    candidates = listening | published if params.published == "deny" else listening - published
    unnamed = sorted(port for port in candidates - {ssh} if not is_let_in(port, machine, named))
    for port in unnamed:
        assert outside.connects(address, port, SILENCE_S) != "open", (
            f"port {port} answers from outside at {address}, though no rule allows it; if a container publishes it, "
            "Docker's rules precede ours: iptables -S DOCKER-USER must lead to orchestr-published; "
            "else look at: ufw status, or firewall-cmd --list-all"
        )


def test_future_published_ports_are_filtered_too(host: Any, params: Params) -> None:
    """Where Docker runs, packets to containers pass our rules first, so published ports cannot bypass the firewall."""
    if not params.enabled or params.published != "deny" or host.run("docker version").rc != 0:
        return
    has_ipv6 = params.ipv6 and host.run("ip6tables -S DOCKER-USER").rc == 0
    for program in ("iptables", "ip6tables") if has_ipv6 else ("iptables",):
        before, ours, _ = host.run(f"{program} -S DOCKER-USER").stdout.partition("-j orchestr-published")
        assert ours and not re.search(r"^-A DOCKER-USER -j (ACCEPT|RETURN)$", before, re.MULTILINE), (
            f"{program}: DOCKER-USER does not lead to our rules, so any port a container publishes is open to all; "
            "look at: systemctl status docker ufw firewalld (which one restarted?), and run orchestr again"
        )


def is_let_in(port: int, machine: Host, named: tuple[Rule, ...]) -> bool:
    """Return True if a rule allows this machine, the controller, to connect to a TCP port."""
    fitting = (rule for rule in named if rule.action != "deny" and rule.protocol in ("tcp", "any"))
    return any(
        covers_port(str(rule.port), str(port)) and (not rule.sources or is_insider(machine, rule.sources))
        for rule in fitting
    )


def listening_ports(host: Any) -> set[int]:
    """Return the TCP ports with a listener on other addresses than loopback (ss(8))."""
    sockets = [line.split()[3] for line in host.check_output("ss -H -l -t -n").splitlines()]
    pairs = [socket.rpartition(":")[::2] for socket in sockets]
    return {int(port) for address, port in pairs if not _is_loopback(address)}


def published_ports(host: Any) -> set[int]:
    """Return the TCP ports that containers publish on other addresses than loopback; not all have a listener."""
    done = host.run("docker ps --format '{{.Ports}}'")
    matches = (match for match in _PUBLISHED.finditer(done.stdout) if not _is_loopback(match["address"]))
    ranges = (range(int(match["first"]), int(match["last"] or match["first"]) + 1) for match in matches)
    return {port for ports in ranges for port in ports}


def _is_loopback(address: str) -> bool:
    return address.strip("[]").startswith(("127.", "::1", "::ffff:127."))
