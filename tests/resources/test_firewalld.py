"""The firewall against firewalld's own answers as a Debian 12 node gave them (1.3), and a firewalld in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import NotObservable, Resource, ResourceError, Task
from orchestr.resources.firewall import firewalld_direct, firewalld_rules, firewalld_state
from orchestr.resources.firewall.firewall import Firewall, FirewallRule, PacketFilter, Rule, backend_of
from orchestr.resources.firewall.firewalld_rules import entries_of, parse_zone
from orchestr.resources.firewall.rules import Entry
from orchestr.transport.memory import MemorySystem
from tests.resources.firewalld_double import FirewalldHost, listed, real

#: What the node was brought to when its answers were recorded.
RECORDED = Firewall(
    rules=(
        Rule(80),
        Rule(6379, sources=("192.168.56.13", "fd00::13"), comment="redis"),
        Rule(25, action="limit"),
        Rule("50000:60000", "udp"),
        Rule(53, "any"),
        Rule(protocol="esp", sources=("192.168.56.13",)),
        Rule(9000, action="deny"),
    )
)
WEB = Firewall(rules=(Rule(80), Rule(6379, sources=("192.168.56.13",))))
BAN = ("rich-rule", 'rule family="ipv4" source address="203.0.113.7" drop')
CONTROLLER_BAN = ("rich-rule", 'rule family="ipv4" source address="10.0.0.1" reject')
SSH = ("rich-rule", 'rule priority="20998" port port="22" protocol="tcp" accept')
MINE = (
    "rich-rule",
    'rule priority="-32768" family="ipv4" source address="10.0.0.1" port port="22" protocol="tcp" accept',
)


@pytest.fixture
def host() -> FirewalldHost:
    return FirewalldHost()


def only(host: FirewalldHost, resource: Resource) -> dict[str, Any]:
    result = converge(Task(resource), host.system, False, False)
    assert result["verdict"] != "failed", result
    return result


def plan(host: FirewalldHost, resource: Resource) -> dict[str, Any]:
    """Converge in check mode on a system that cannot write."""
    return converge(Task(resource), MemorySystem(host, read_only=True), True, False)


def ours(host: FirewalldHost) -> set[str]:
    return {text for kind, text in host.permanent if firewalld_rules.placed((kind, text))}


# -- what firewalld prints --------------------------------------------------------------------------------------------


def test_what_a_node_has_after_a_run_is_what_is_wanted() -> None:
    """Its own listings, its nftables and iptables tables and its direct.xml read back as nothing to change."""
    host = FirewalldHost("ours")
    host.commands[("firewall-cmd", "--zone=public")] = real("ours_list-all")
    host.commands[("firewall-cmd", "--permanent", "--zone=public")] = real("ours_permanent_list-all")
    host.commands[("nft", "list", "table", "inet", "firewalld")] = real("ours_nft")
    resource = replace(RECORDED)
    host.facts["ssh_connection"] = "192.168.56.1 50000 192.168.56.11 22"
    assert resource.observe(MemorySystem(host, read_only=True)) == resource.desired()


def test_drift_in_the_daemon_alone_and_on_disk_alone_is_told() -> None:
    """A port opened without --permanent, and rules written without a reload, as the node listed them."""
    host = FirewalldHost("drifted")
    diff = plan(host, RECORDED)["diff"]
    assert "- 7000/tcp allow" in diff and "deny from 203.0.113.7 on disk, not in the kernel" in diff
    only(host, RECORDED)
    assert ("port", "7000/tcp") not in host.runtime and host.runtime == host.permanent
    assert ("service", "http") in host.runtime, "what someone opened for good holds"
    assert only(host, RECORDED)["verdict"] == "ok"


def test_a_listing_is_read_as_it_is_printed() -> None:
    """Services, ports, protocols, forwarding and rich rules, others' among them, with nothing lost."""
    items = parse_zone(real("drifted_permanent_list-all"))
    assert {("service", "http"), ("protocol", "gre"), ("source-port", "68/udp"), ("service", "dhcpv6-client")} <= items
    assert len([item for item in items if item[0] == "rich-rule"]) == 15
    assert parse_zone(listed(items)) == items
    assert ("forward", "") in parse_zone(real("pristine_list-all"))


@pytest.mark.parametrize(
    "entry",
    [
        Entry(4, "allow", "tcp", "6379", "192.168.56.13"),
        Entry(6, "deny", "udp", "50000:60000", "fd00::/64"),
        Entry(4, "allow", "esp", "any", "10.0.0.0/8"),
        Entry(6, "allow", "tcp", "443", "any"),
    ],
)
def test_an_entry_becomes_a_rich_rule_and_back(entry: Entry) -> None:
    """What is written is what is read again."""
    (body,) = firewalld_rules.bodies([entry])
    assert entries_of(("rich-rule", "rule " + body)) == [entry]


# -- bringing it about ------------------------------------------------------------------------------------------------


def test_disk_and_daemon_get_the_same_and_the_second_run_writes_nothing(host: FirewalldHost) -> None:
    """The package's ssh service gives way to our rule, all that no rule names is dropped, and then all is well."""
    assert plan(host, RECORDED)["verdict"] == "changed"
    assert only(host, RECORDED)["verdict"] == "changed"
    assert host.permanent == host.runtime == parse_zone(real("ours_list-all"))
    writes, nodes = host.writes, {path: node.changed_ns for path, node in host.nodes.items()}
    assert only(host, RECORDED)["verdict"] == "ok"
    assert host.writes == writes and nodes == {path: node.changed_ns for path, node in host.nodes.items()}
    assert not any("--reload" in words for words in host.log), "a reload takes from others what only the daemon knows"


def test_twenty_rules_are_one_command_each_for_disk_and_daemon(host: FirewalldHost) -> None:
    """Rules are not processes."""
    only(host, WEB)
    host.log.clear()
    only(host, replace(WEB, rules=(*WEB.rules, *(Rule(port) for port in range(9000, 9020)))))
    assert len([words for words in host.log if any(word.startswith("--add-") for word in words)]) == 2


def test_the_package_s_services_go_and_others_stay(host: FirewalldHost) -> None:
    """ssh of the public zone is not the operator's, DHCPv6 is the host's own; a port someone opened is theirs."""
    for items in (host.permanent, host.runtime):
        items |= {("port", "7000/tcp"), BAN}
    assert "- service ssh" in only(host, WEB)["diff"]
    assert ("service", "ssh") not in host.permanent
    assert {("port", "7000/tcp"), BAN, ("service", "dhcpv6-client")} <= host.runtime & host.permanent
    purged = only(host, replace(WEB, purge=True))["diff"].splitlines()
    assert purged == ["- any deny from 203.0.113.7", "- 7000/tcp allow"]
    assert ("service", "dhcpv6-client") in host.permanent and SSH in host.permanent


def test_a_ban_only_the_daemon_knows_stays(host: FirewalldHost) -> None:
    """fail2ban bans at run time: that is neither drift nor ours."""
    only(host, WEB)
    host.runtime.add(BAN)
    assert only(host, WEB)["verdict"] == "ok" and BAN in host.runtime - host.permanent


def test_words_in_quotes_are_no_action(host: FirewalldHost) -> None:
    """A log's prefix with a word such as drop is no ban: a port opened in the daemon alone is drift, and closed."""
    opened = ("rich-rule", 'rule port port="8093" protocol="tcp" log prefix="ports: drop x" accept')
    assert [entry.action for entry in entries_of(opened)] == ["allow", "allow"]
    only(host, WEB)
    host.runtime.add(opened)
    assert only(host, WEB)["verdict"] == "changed" and opened not in host.runtime


FOREIGN = [
    'rule family="ipv4" source ipset="bad" port port="80" protocol="tcp" drop',
    'rule family="ipv4" port port="80" protocol="tcp" log prefix="ports: x" level="info" drop',
    'rule family="ipv4" source NOT address="10.0.0.0/8" port port="80" protocol="tcp" drop',
    'rule port port="80" protocol="tcp" drop limit value="1/m"',
    'rule family="ipv4" source mac="00:11:22:33:44:55" drop',
    'rule service name="http" drop',
]


@pytest.mark.parametrize("text", FOREIGN)
def test_rules_that_are_understood_in_part_stay_byte_for_byte(host: FirewalldHost, text: str) -> None:
    """Sets, negations, logs and limits are somebody's own: they contradict none of ours, and a second run is ok."""
    item = ("rich-rule", text)
    host.permanent.add(item)
    host.runtime.add(item)
    assert [only(host, WEB)["verdict"], only(host, WEB)["verdict"]] == ["changed", "ok"]
    assert item in host.permanent and item in host.runtime


def test_a_rule_of_others_that_says_the_opposite_of_ours_gives_way(host: FirewalldHost) -> None:
    """The same packets, another action: the inventory decides."""
    host.permanent.add(("port", "9000/tcp"))
    host.runtime.add(("port", "9000/tcp"))
    only(host, RECORDED)
    assert ("port", "9000/tcp") not in host.permanent | host.runtime


def test_rules_are_asked_in_the_order_of_the_inventory(host: FirewalldHost) -> None:
    """Peers first, then nobody: swapped, the plan says so, and the run renumbers."""
    peers, nobody = Rule(6379, sources=("10.0.0.5",)), Rule(6379, action="deny")
    only(host, Firewall(rules=(peers, nobody)))
    first = ours(host)
    assert any('priority="21000"' in text and "10.0.0.5" in text for text in first)
    assert any('priority="21002"' in text and "drop" in text for text in first)
    swapped = Firewall(rules=(nobody, peers))
    assert plan(host, swapped)["diff"].splitlines() == ["- order: another", "+ order: as listed"]
    only(host, swapped)
    assert only(host, swapped)["verdict"] == "ok" and ours(host) != first


def test_a_withdrawn_rule_goes_from_both(host: FirewalldHost) -> None:
    """Nothing is left of it on disk, in the daemon, or for published ports."""
    only(host, WEB)
    assert only(host, Firewall(rules=(Rule(80),)))["diff"] == "- 6379/tcp allow from 192.168.56.13"
    assert not any("6379" in text for _, text in host.permanent | host.runtime)
    assert "6379" not in host.kernels[4].save() + host.text(firewalld_direct.PATH)


@pytest.mark.parametrize(
    "by_hand",
    [
        lambda host: setattr(host, "nft", ""),
        lambda host: setattr(host, "nft", host.nft.replace("jump filter_INPUT_ZONES", "accept")),
        lambda host: host.kernels[4].chains["DOCKER-USER"].insert(0, "-j ACCEPT"),
        lambda host: host.kernels[6].chains["orchestr-published"].clear(),
        lambda host: host.kernels[4].chains["INPUT"].clear(),
        lambda host: host.kernels[4].chains["FORWARD"].clear(),
        lambda host: host.nodes.pop(firewalld_direct.PATH),
        lambda host: host.runtime.remove(("rich-rule", 'rule priority="32767" drop')),
        lambda host: host.permanent.add(("forward", "")),
        lambda host: host.turn(False, host.system, ("disable",), b""),
    ],
)
def test_what_is_taken_down_by_hand_is_put_up_again(host: FirewalldHost, by_hand: Any) -> None:
    """In nftables, in iptables, on disk, in the daemon or the daemon itself: seen, and mended by the run."""
    only(host, RECORDED)
    by_hand(host)
    assert plan(host, RECORDED)["verdict"] == "changed"
    only(host, RECORDED)
    assert only(host, RECORDED)["verdict"] == "ok" and host.is_active


def test_a_zone_that_lets_all_in_by_itself_is_no_hole(host: FirewalldHost) -> None:
    """Its target comes after our last rule; the same answer ahead of our rules is a hole."""
    only(host, WEB)
    answer = "\t\tmeta l4proto { icmp, ipv6-icmp } accept\n\t\treject with icmpx admin-prohibited\n"
    assert answer in host.nft
    host.nft = host.nft.replace(answer, "\t\taccept\n")
    assert only(host, WEB)["verdict"] == "ok"
    host.nft = host.nft.replace("\tchain filter_IN_public {\n", "\tchain filter_IN_public {\n\t\taccept\n")
    assert "lets all in was added" in plan(host, WEB)["diff"]


class Dying(MemorySystem):
    """A system that ends at its nth write, as a killed agent does."""

    lives = 0

    def _written(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise KeyboardInterrupt
        super()._written()


@pytest.mark.parametrize("is_on", [True, False])
def test_a_run_killed_at_any_write_is_finished_by_the_next(is_on: bool) -> None:
    """Whatever it had done or undone by then: one more run brings it about, another finds nothing to do."""
    named = replace(RECORDED, backend="firewalld")
    for lives in range(100):
        host = FirewalldHost()
        host.turn(is_on, host.system, (), b"")
        system = Dying(host, confirm=lambda window_s: True)
        system.lives = lives
        try:
            converge(Task(named), system, False, False)
        except KeyboardInterrupt:
            only(host, named)
            assert only(host, named)["verdict"] == "ok", lives
        else:
            break
    assert lives > 8


# -- SSH and the guard ------------------------------------------------------------------------------------------------


def test_ssh_is_kept_open_whatever_the_rules_say(host: FirewalldHost) -> None:
    """A denied 22 and a ban of the controller's address: the controller alone comes first of all; gone with them."""
    only(host, Firewall(rules=(Rule(22, action="deny"),)))
    assert MINE in host.permanent & host.runtime and SSH not in host.permanent
    only(host, WEB)
    assert SSH in host.permanent and MINE not in host.permanent | host.runtime
    host.permanent.add(CONTROLLER_BAN)
    only(host, WEB)
    assert MINE in host.runtime and CONTROLLER_BAN in host.runtime
    assert only(host, WEB)["verdict"] == "ok"


def test_ssh_for_some_is_not_ssh_for_all(host: FirewalldHost) -> None:
    """Where the inventory says who may log in, only they and the controller may."""
    only(host, Firewall(rules=(Rule(22, sources=("198.51.100.0/24",)),)))
    assert SSH not in host.permanent and MINE in host.permanent


def test_a_controller_locked_out_gets_everything_back(host: FirewalldHost) -> None:
    """Disk, daemon, direct rules and the kernel's chains are as they were."""
    only(host, WEB)
    host.runtime.add(BAN)
    before = (set(host.permanent), set(host.runtime), host.text(firewalld_direct.PATH), host.kernels[4].save())
    host.confirms = False
    result = converge(Task(Firewall(rules=(Rule(25, action="limit"),), published="ignore")), host.system, False, False)
    assert "locked the controller out" in result["error"]["message"]
    assert (host.permanent, host.runtime, host.text(firewalld_direct.PATH)) == before[:3]
    assert sorted(host.kernels[4].save().splitlines()) == sorted(before[3].splitlines())
    host.confirms = True
    assert only(host, WEB)["verdict"] == "ok"


def test_turning_it_on_writes_first_and_is_undone_by_turning_it_off(host: FirewalldHost) -> None:
    """From off: the rules are on disk before it starts, Docker makes its own anew after it; locked out, it is off."""
    host.turn(False, host.system, ("disable",), b"")
    before = set(host.permanent)
    named = replace(WEB, backend="firewalld")
    host.confirms = False
    converge(Task(named), host.system, False, False)
    assert not host.is_active and host.permanent == before and host.docker_restarts == 0
    host.confirms = True
    host.log.clear()
    only(host, named)
    started = host.log.index(("systemctl", "start", "firewalld.service"))
    assert all(host.log.index(words) < started for words in host.log if words[0] == "firewall-offline-cmd")
    assert host.is_active and host.docker_restarts == 1 and only(host, named)["verdict"] == "ok"
    assert only(host, WEB)["verdict"] == "ok", "found again without being named"


def test_off_is_off_and_keeps_the_rules(host: FirewalldHost) -> None:
    """enabled=False stops it now and at boot; it is still the firewall of this host, without being named."""
    only(host, WEB)
    off = replace(WEB, enabled=False)
    only(host, off)
    assert not host.is_active and any('port="80"' in text for text in ours(host))
    assert only(host, off)["verdict"] == "ok"
    only(host, WEB)
    assert host.is_active


def test_more_ports_alone_need_no_guard(host: FirewalldHost) -> None:
    """Letting more in cannot cut anybody off: no reconnection is asked for."""
    only(host, WEB)
    host.confirms = False
    only(host, replace(WEB, rules=(*WEB.rules, Rule(443))))


# -- single rules -----------------------------------------------------------------------------------------------------


def test_one_rule_alone(host: FirewalldHost) -> None:
    """It opens its port, published ones too, beside a Firewall that leaves it alone, and takes it away."""
    only(host, WEB)
    rule = FirewallRule(8091, sources=("10.0.0.9",))
    assert only(host, rule)["diff"] == "+ 8091/tcp allow from 10.0.0.9"
    assert only(host, rule)["verdict"] == only(host, WEB)["verdict"] == "ok"
    assert "--ctorigdstport 8091" in host.kernels[4].save()
    host.runtime -= {item for item in host.runtime if "8091" in item[1]}
    assert only(host, rule)["verdict"] == "changed"
    only(host, replace(rule, present=False))
    assert only(host, WEB)["verdict"] == "ok" and "8091" not in host.kernels[4].save()
    assert only(host, replace(rule, present=False))["verdict"] == "ok"


def test_a_rule_that_the_firewall_has_holds(host: FirewalldHost) -> None:
    """Also one for both protocols, which are two of firewalld's."""
    only(host, RECORDED)
    assert only(host, FirewallRule(53, "any"))["verdict"] == "ok"
    assert only(host, FirewallRule(protocol="esp", sources=("192.168.56.13",)))["verdict"] == "ok"


# -- direct rules -----------------------------------------------------------------------------------------------------


def test_direct_rules_of_others_stay() -> None:
    """Ours are replaced as a whole, whatever else the file holds is kept."""
    other = '<direct><rule ipv="ipv4" table="filter" chain="OUTPUT" priority="0">-p tcp -j ACCEPT</rule></direct>'
    lines = {4: ["-A DOCKER-USER -j orchestr-published", "-A orchestr-limited -p tcp --dport 25 -j DROP"], 6: []}
    text = firewalld_direct.text(other, lines)
    assert firewalld_direct.lines_of(text) == lines and 'chain="OUTPUT"' in text and "-j orchestr-limited" in text
    assert firewalld_direct.text(text, lines) == text
    gone = firewalld_direct.text(text, {4: [], 6: []})
    assert "orchestr" not in gone and 'chain="OUTPUT"' in gone


def test_direct_rules_that_are_not_xml_are_told() -> None:
    """The file is named, and what to do."""
    with pytest.raises(ResourceError, match=r"direct.xml is not XML"):
        firewalld_direct.text("<direct>", {4: [], 6: []})


def test_panic_mode_is_not_called_filtered(host: FirewalldHost) -> None:
    """From the console of a host that drops every packet: refused, in a plan too; over SSH it is not asked."""
    host.is_panicking = True
    host.facts["ssh_connection"] = ""
    for check in (True, False):
        system = MemorySystem(host, read_only=check)
        error = converge(Task(WEB), system, check, False)["error"]
        assert "panic mode" in error["message"] and "--panic-off" in error["next_step"]
    host.is_panicking = False
    assert only(host, WEB)["verdict"] == "changed"
    host.facts["ssh_connection"] = "10.0.0.1 50000 10.0.0.2 22"
    assert plan(host, WEB)["verdict"] == "changed"
    host.log.clear()
    assert only(host, WEB)["verdict"] == "changed"
    assert not [words for words in host.log if "--query-panic" in words]


# -- which packet filter ----------------------------------------------------------------------------------------------


def test_the_host_chooses_unless_told(host: FirewalldHost) -> None:
    """firewalld where it runs; off and without rules of ours, ufw; by name, that one, but never two at once."""
    assert backend_of(host.system).name == "firewalld"
    with pytest.raises(ResourceError, match="contradict"):
        backend_of(host.system, "ufw")
    host.is_active = False
    assert backend_of(host.system).name == "ufw" and backend_of(host.system, "firewalld").name == "firewalld"
    host.add_file("/etc/ufw/ufw.conf", "ENABLED=yes\n")
    result = converge(Task(replace(WEB, backend="firewalld")), host.system, False, False)
    assert "ufw is on" in result["error"]["message"] and not host.is_active


def test_its_package_is_not_started_by_being_installed(host: FirewalldHost) -> None:
    """Nothing to do where it is there; where not, it must not start before its rules let the controller in."""
    assert plan(host, PacketFilter())["verdict"] == "ok"
    host.nodes.pop("/usr/bin/firewalld")
    with pytest.raises(NotObservable, match="not installed"):
        replace(WEB, backend="firewalld").observe(host.system)


def test_what_it_cannot_do_is_told(host: FirewalldHost) -> None:
    """Zones say nothing of what the host sends."""
    with pytest.raises(ResourceError, match="does not filter outgoing packets"):
        replace(WEB, outgoing="deny").observe(host.system)


def test_an_unknown_backend_is_refused() -> None:
    """Where it is written."""
    with pytest.raises(ValueError, match="none of auto, ufw, firewalld"):
        Firewall(backend="nftables")


# -- formats as their owners write them ------------------------------------------------------------------------------
LISTING = """table inet firewalld { # handle 1
\tct helper helper-ftp-tcp {
\t\ttype "ftp" protocol tcp
\t}

\tset bad {
\t\ttype ipv4_addr
\t\telements = { 192.0.2.1, 192.0.2.2,
\t\t\t     192.0.2.3 }
\t}

\tchain filter_INPUT_ZONES { # handle 5
\t\ttype filter hook input priority filter + 10; policy accept;
\t\tip saddr { 10.0.0.1, 10.0.0.2,
\t\t\t     10.0.0.3 } goto filter_IN_trusted # handle 7
\t\tiifname "eth0" goto filter_IN_public
\t}

\tmap later {
\t\ttype ifname : verdict
\t}
}
"""


def test_a_listing_is_read_by_its_grammar() -> None:
    """Sets, maps and helpers belong to no chain, a rule of several lines is one, handles are no part of rules."""
    assert firewalld_state.chains_of(LISTING) == {
        "filter_INPUT_ZONES": [
            "type filter hook input priority filter + 10; policy accept;",
            "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } goto filter_IN_trusted",
            'iifname "eth0" goto filter_IN_public',
        ]
    }


ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
OTHER = "wg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"


@pytest.mark.parametrize("pattern", ["eth0", "eth*"])
def test_an_interface_of_another_zone_is_not_called_filtered(pattern: str) -> None:
    """Rules of the default zone do not see its packets: neither a Firewall nor a rule is ok then, in a plan either."""
    host = FirewalldHost("ours")
    host.add_file("/proc/net/route", ROUTES + DEFAULT + OTHER)
    assert only(host, RECORDED)["verdict"] == "ok"
    at = "chain filter_INPUT_ZONES {\n"
    assert at in host.nft
    host.nft = host.nft.replace(at, f'{at}\t\tiifname "wg0" goto filter_IN_trusted\n')
    assert only(host, RECORDED)["verdict"] == "ok"
    host.nft = host.nft.replace(at, f'{at}\t\tiifname "{pattern}" goto filter_IN_trusted\n')
    for resource in (RECORDED, FirewallRule(80)):
        for result in (converge(Task(resource), host.system, False, False), plan(host, resource)):
            assert result["verdict"] == "failed"
            assert result["error"]["message"].startswith("eth0 is in the zone trusted of firewalld")
            assert "--change-interface" in result["error"]["next_step"]
