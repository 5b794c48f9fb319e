"""The two packet filters of a lab node, as the firewall's suite needs them: set up, looked at and disturbed by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

EMPTY_CHAINS = """
for family in iptables ip6tables; do
  $family -N orchestr-published 2>/dev/null; $family -N orchestr-blocked 2>/dev/null; $family -N DOCKER-USER 2>/dev/null
  for chain in DOCKER-USER orchestr-published orchestr-blocked; do $family -F $chain; done
  $family -X orchestr-published; $family -X orchestr-blocked; $family -A DOCKER-USER -j RETURN
done
"""
ZONE = "firewall-cmd --zone=public"
LASTING = "firewall-cmd --permanent --zone=public"
ANYONE_8092 = """'--remove-rich-rule=rule priority="21000" port port="8092" protocol="tcp" accept'"""
#: Kept in a direct rule, which acts on new connections only and once firewalld starts.
SYN_DROPPED = (
    '<direct><rule ipv="ipv4" table="filter" chain="INPUT" priority="0">-s %s -p tcp --syn -j DROP</rule></direct>'
)


class PacketFilter(NamedTuple):
    """Scripts for the node; ``deleted`` and ``taken_down`` are what someone may do by hand, by what it is.

    ``on`` makes it the node's filter, ``clean`` brings it to what its package installs, ``written`` prints what changes
    with any write, ``status`` its rules, ``locking`` prepares that turning it on keeps new connections of ``%s`` out.
    """

    name: str
    on: str
    clean: str
    written: str
    status: str
    on_disk: str
    is_on: str
    off: str
    open_by_hand: tuple[str, ...]
    ban: str
    deleted: dict[str, str]
    taken_down: dict[str, str]
    reload: str
    is_at_boot: str
    locking: str


UFW = PacketFilter(
    "ufw",
    "systemctl -q is-active firewalld && { systemctl disable -q --now firewalld; systemctl restart docker; }\n"
    "if [ -e /root/pristine/firewalld ]; then\n"
    "  find /etc/firewalld -type f -delete; cp -a /root/pristine/firewalld/. /etc/firewalld/\n"
    "fi",
    "ufw --force disable >/dev/null; rm -rf /etc/ufw /etc/default/ufw; cp -a /root/pristine/ufw /etc/ufw; "
    "cp -a /root/pristine/default /etc/default/ufw\n" + EMPTY_CHAINS,
    "stat -c '%n %y %i' /etc/ufw/* /etc/default/ufw; iptables-save -t filter | grep -v '^[:#]'",
    "ufw status",
    "cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/after.rules /etc/default/ufw",
    "ufw status | grep -q 'Status: active'",
    "ufw --force disable",
    ("ufw allow 7000/tcp", "ufw deny from 203.0.113.7", "ufw allow in on out0 to any port 7001"),
    "ufw deny from %s",
    {
        "by its command": "ufw delete allow 8092/tcp",
        "in the kernel over IPv4": "iptables -D ufw-user-input -p tcp --dport 8092 -j ACCEPT",
        "in the kernel over IPv6": "ip6tables -D ufw6-user-input -p tcp --dport 8092 -j ACCEPT",
    },
    {
        "all flushed": "iptables -F; iptables -P INPUT ACCEPT; systemctl restart docker",
        "stopped": "/lib/ufw/ufw-init force-stop",
        "turned off": "ufw --force disable",
        "DOCKER-USER flushed": "iptables -F DOCKER-USER",
        "a hole in DOCKER-USER": "iptables -I DOCKER-USER -j ACCEPT",
        "INPUT let go": "iptables -P INPUT ACCEPT; iptables -D INPUT -j ufw-before-input",
        "a hole in INPUT": "iptables -A ufw-user-input -j ACCEPT",
        "not started at boot": "systemctl disable -q ufw",
    },
    "ufw reload; ufw reload",
    "systemctl is-enabled ufw",
    "sed -i '/^# quickly process/i -A ufw-before-input -s %s -p tcp --syn -j DROP' /etc/ufw/before.rules",
)
FIREWALLD = PacketFilter(
    "firewalld",
    "ufw --force disable >/dev/null; systemctl -q is-active firewalld && exit 0; "
    "systemctl enable -q --now firewalld; systemctl restart docker\n"
    # Pristine is with the zone that Docker adds to it.
    "[ -e /root/pristine/firewalld ] || cp -a /etc/firewalld /root/pristine/",
    "ufw --force disable >/dev/null; find /etc/firewalld -type f -delete; "
    "cp -a /root/pristine/firewalld/. /etc/firewalld/\n"
    "if systemctl -q is-active firewalld\n"
    "then nft add table inet firewalld; firewall-cmd -q --reload; systemctl enable -q firewalld\n"
    "else systemctl enable -q --now firewalld; systemctl restart docker; fi",
    "stat -c '%n %y %i' /etc/firewalld/* /etc/firewalld/zones/*; iptables-save -t filter | grep -v '^[:#]'; "
    "nft -a list table inet firewalld; journalctl -q -u firewalld | wc -l",
    ZONE + " --list-all | grep -v 'public'; firewall-cmd -q --state",
    "firewall-offline-cmd --zone=public --list-all; cat /etc/firewalld/direct.xml",
    "systemctl -q is-active firewalld",
    "systemctl stop firewalld",
    tuple(
        f"{command} {rule}"
        for rule in (
            "--add-port=7000/tcp",
            """'--add-rich-rule=rule family="ipv4" source address="203.0.113.7" drop'""",
            """'--add-rich-rule=rule family="ipv4" destination address="10.99.0.1" port port="7001" protocol="tcp" '"""
            "'drop'",
        )
        for command in (ZONE, LASTING)
    ),
    f"""{LASTING} '--add-rich-rule=rule family="ipv4" source address="%s" drop'""",
    {
        "by its command": f"{ZONE} {ANYONE_8092}; {LASTING} {ANYONE_8092}",
        "in the daemon alone": f"{ZONE} {ANYONE_8092}",
        "on disk alone": f"{LASTING} {ANYONE_8092}",
    },
    {
        "all flushed": "nft delete table inet firewalld; iptables -F DOCKER-USER",
        "turned off": "systemctl disable -q --now firewalld; systemctl restart docker",
        "DOCKER-USER flushed": "iptables -F DOCKER-USER",
        "a hole in DOCKER-USER": "iptables -I DOCKER-USER -j ACCEPT",
        "INPUT let go": "nft flush chain inet firewalld filter_INPUT",
        "a hole in INPUT": "nft insert rule inet firewalld filter_IN_public accept",
        "a port opened in the daemon alone": f"{ZONE} --add-port=8093/tcp",
        "its last rule removed": f"""{ZONE} '--remove-rich-rule=rule priority="32767" drop'""",
        "direct rules gone from disk": "rm /etc/firewalld/direct.xml",
        "not started at boot": "systemctl disable -q firewalld",
    },
    "firewall-cmd --reload; firewall-cmd --complete-reload; systemctl restart firewalld",
    "systemctl is-enabled firewalld",
    f"systemctl disable -q --now firewalld; systemctl restart docker; echo '{SYN_DROPPED}' >/etc/firewalld/direct.xml",
)


def cases(field: str) -> list[Any]:
    """Return a test's parameters: each packet filter with each name in that field of it."""
    return [
        pytest.param(packet_filter, name, id=f"{packet_filter.name}-{name}")
        for packet_filter in (UFW, FIREWALLD)
        for name in getattr(packet_filter, field)
    ]
