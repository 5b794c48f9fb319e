"""The route to a host: which machines to log in to, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestr.errors import UnreachableError
from orchestr.transport.openssh_config import Target, configuration_file, jumps, resolve

MAXIMUM_HOPS = 8


def route(target: Target, arguments: Sequence[str] = ()) -> tuple[Target, ...]:
    """Return the machines to log in to, the nearest first and ``target`` last.

    Each hop has its own settings from ssh_config; of our arguments only ``-F`` holds for hops, as in OpenSSH. The
    first hop's own ProxyJump is followed; those of the others are ignored, for the list has their order.
    """
    return _route(target, configuration_file(arguments), ())


def _route(target: Target, arguments: tuple[str, ...], passed: tuple[Target, ...]) -> tuple[Target, ...]:
    if not target.proxy_jump:
        return (target,)
    hops = [resolve(jump.address, jump.port, jump.user, arguments) for jump in jumps(target.proxy_jump)]
    _refuse_loops(target, hops, passed)
    others = [replace(hop, proxy_jump=None, proxy_command=None) for hop in hops[1:]]
    return (*_route(hops[0], arguments, (*passed, target)), *others, target)


def _refuse_loops(target: Target, hops: Sequence[Target], passed: tuple[Target, ...]) -> None:
    addresses = [(hop.hostname, hop.port) for hop in (*passed, target, hops[0])]
    circle = " → ".join(hop.name for hop in (*passed, target, hops[0]))
    if len(set(addresses)) < len(addresses) or len(addresses) + len(hops) > MAXIMUM_HOPS:
        raise UnreachableError(
            f"ProxyJump of {target.name} goes in a circle: {circle}",
            host=target.name,
            next_step=f"give {hops[0].name} its own 'Host' block with 'ProxyJump none' in ~/.ssh/config",
        )
