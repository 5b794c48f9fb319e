"""The firewall: one resource, and its backends ufw and firewalld."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestr.resources.firewall.firewall import Firewall as Firewall
    from orchestr.resources.firewall.firewall import FirewallRule as FirewallRule
    from orchestr.resources.firewall.firewall import PacketFilter as PacketFilter
    from orchestr.resources.firewall.rules import Rule as Rule


def __getattr__(name: str) -> object:
    """Return a resource of the firewall; its module is imported when it is asked for."""
    if name not in ("Firewall", "FirewallRule", "PacketFilter", "Rule"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    from importlib import import_module

    value: object = getattr(import_module(__name__ + ".firewall"), name)
    return value
