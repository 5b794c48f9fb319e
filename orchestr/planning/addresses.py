"""Addresses of other machines in roles: for connections between peers, and for the sources of firewall rules."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.inventory.closest import closest

if TYPE_CHECKING:
    from orchestr.inventory import Inventory


def is_address(text: str) -> bool:
    """Return True for an IP address, which needs no look-up."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def as_address(text: str, host: str) -> str:
    """Return an IP address; look ``text`` up if it is a name. Raises InputError when the name of ``host`` has none."""
    if is_address(text):
        return str(ipaddress.ip_address(text))
    try:
        return str(socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        raise InputError(
            f"{host}: {text!r} does not resolve to an address that peers can reach",
            next_step=f"set ansible_host or private_address of {host} to its IP address",
        ) from None


def as_network(word: str, inventory: Inventory) -> str:
    """Return an address or network in the notation of firewall sources. Raises InputError for any other word."""
    if word in ("any", "anywhere", "all"):
        return "0.0.0.0/0"
    try:
        network = ipaddress.ip_network(word, strict=False)
        return str(network.network_address if network.num_addresses == 1 else network)
    except ValueError:
        known = [*inventory.groups, *inventory.hosts]
        raise InputError(
            f"{word!r} is not a group, a host, or an address",
            file=inventory.path,
            suggestion=closest(word, known),
            next_step="write a group, a host, an address, or a network like 10.0.0.0/8",
        ) from None
