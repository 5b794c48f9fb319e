"""Whether firewalld is a host's packet filter; all else of firewalld travels only to hosts where it is."""

from __future__ import annotations

from orchestr.agent.system import Reader

CONF, ZONES = "/etc/firewalld/firewalld.conf", "/etc/firewalld/zones/%s.xml"


def is_running(reader: Reader) -> bool:
    """Return True if this host's firewall is a running firewalld."""
    if reader.which("firewalld") is None:
        return False
    is_active: bool = reader.once(
        ("firewall", "is_firewalld"), lambda: reader.query(["systemctl", "is-active", "firewalld"]).ok
    )
    return is_active


def is_ours(reader: Reader) -> bool:
    """Return True if a stopped firewalld was the firewall of an earlier run: its zone has rules of ours, ufw none."""
    if reader.which("firewalld") is None or "ENABLED=yes" in (reader.read_text("/etc/ufw/ufw.conf") or ""):
        return False
    text = reader.read_text(ZONES % default_zone(reader.read_text(CONF) or "")) or ""
    import re

    return re.search(r'priority="(2[0-4]\d\d\d|32767)"', text) is not None


def default_zone(conf: str) -> str:
    import re

    match = re.search(r"(?m)^DefaultZone=(\S+)", conf)
    return match.group(1) if match else "public"
