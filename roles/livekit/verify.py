"""Media reaches it from outside, signalling comes from Caddy alone, the nodes know each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestr.planning.plan import Host, Peer
from orchestr.verification.inside import Inside, closed_to_outside, connected, is_insider, outside_address
from orchestr.verification.outside import Outside

from . import CONFIG, TURN_KEY, Params

CONTAINER = "livekit-livekit-1"
LOGS = f"look at: docker logs {CONTAINER}"
STALE_S = 30.0  # a node reports every 2 s; what is older is a node that died and has not been forgotten
PROBES = 4  # datagrams


@dataclass(frozen=True)
class Node:
    """A line of ``list-nodes``."""

    id: str
    address: str
    state: str
    updated_at: datetime


def listed(text: str) -> list[Node]:
    """Return the nodes that ``livekit-server list-nodes`` printed (cmd/server/commands.go), whatever its version.

    A node's cells may span lines; what is looked for comes once per node (the two times: twice), in order.
    """
    ids = re.findall(r"\b(ND_\w+)[^|]*\|\s*([0-9A-Fa-f.:]+)\s*\|", text)
    states = re.findall(r"\(([A-Z_]+)\)", text)
    times = [datetime.fromisoformat(each) for each in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text)]
    return [Node(id, address, state, at) for (id, address), state, at in zip(ids, states, times[1::2], strict=True)]


def announced_address(machine: Peer, params: Params) -> str:
    """Return the address browsers are told to send media to; found by STUN: the one we reach the host at."""
    if params.use_external_ip:
        return outside_address(machine)
    return params.node_ip or machine.address


def test_signalling_is_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside its signalling port cannot be reached: the way in is Caddy, with TLS."""
    callers = [peer.address for peer in machine.with_role("caddy")]
    if is_insider(machine, callers):
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"port {params.port} answers anybody, without TLS; look at: ufw status"
    )


def test_answers_caddy(machine: Host, params: Params) -> None:
    """From every host with Caddy it answers 200."""
    url = f"http://{machine.address}:{params.port}/"
    for peer in connected(machine.with_role("caddy")):
        status, why = Inside.of(peer.name).get(url)
        assert status != 406, f"{url} answers 406: it has lost its Redis; {LOGS}, and at Redis"
        assert status == 200, f"from {peer.name} {url} answers {status or why}, not 200; {LOGS}, and at: ufw status"


def test_answers_on_its_host(host: Any, machine: Host, params: Params) -> None:
    """It answers 200 on its own host, which it does only while Redis answers it."""
    status, why = Inside(host).get(f"http://{machine.address}:{params.port}/")
    assert status != 406, f"it answers 406: it has lost its Redis; {LOGS}, and at Redis"
    assert status == 200, f"it answers {status or why}, not 200; {LOGS}"


def test_media_over_tcp_is_open_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside, media over TCP gets in at the address that browsers are told."""
    if params.tcp_port:
        address = announced_address(machine, params)
        found = outside.connects(address, params.tcp_port)
        assert found == "open", (
            f"{address}:{params.tcp_port} is {found}: without UDP there is no sound or picture; see: ufw status, "
            "the provider's firewall, and livekit_node_ip if browsers come by another address"
        )


def test_media_over_udp_reaches_the_host(host: Any, outside: Outside, machine: Host, params: Params) -> None:
    """From outside, datagrams to the media ports arrive at the host."""
    address, first, last = announced_address(machine, params), params.udp_port_start, params.udp_port_end
    before = arrived(host)
    for number in range(PROBES):
        port = first + (last - first) * number // max(1, PROBES - 1)
        if outside.udp(address, port, timeout_s=0.3) is not None:
            return  # an answer, or the host's own word that nobody listens there at the moment: both got through
    assert arrived(host) - before >= PROBES, (
        f"datagrams to {address}, ports {first} to {last}, do not arrive: calls connect and stay silent; "
        "look at: ufw status, the provider's firewall"
    )


def arrived(host: Any) -> int:
    """Return how many datagrams the host has taken in, whether or not somebody listened (/proc/net/snmp)."""
    names, values = (line.split()[1:] for line in host.file("/proc/net/snmp").content_string.splitlines()
                     if line.startswith("Udp:"))  # fmt: skip
    counts: dict[str, int] = dict(zip(names, map(int, values), strict=True))
    return counts["InDatagrams"] + counts["NoPorts"]


def test_all_nodes_serve(host: Any, machine: Host, params: Params) -> None:
    """This node knows every node of the inventory, each SERVING and heard from just now."""
    done = host.run(
        "date -u '+%%F %%T' && docker exec %s /livekit-server --config /etc/livekit/livekit.yaml list-nodes", CONTAINER
    )
    clock, _, table = done.stdout.partition("\n")
    assert done.rc == 0, f"list-nodes fails: {(done.stderr or table).strip()[-300:] or 'it does not say why'}; {LOGS}"
    now = datetime.fromisoformat(clock)
    fresh = [node for node in listed(table) if (now - node.updated_at).total_seconds() < STALE_S]
    seen = {node.address: node.state for node in fresh}
    peers = machine.with_role("livekit")
    for peer in peers:
        theirs = peer.params("livekit")
        if theirs.use_external_ip:
            continue
        address = announced_address(peer, theirs)
        assert seen.get(address) == "SERVING", (
            f"{peer.name} ({address}) is {seen.get(address, 'not heard from')} in the list of {machine.name}; look at: "
            f"docker logs {CONTAINER} on {peer.name}, its way to Redis, and the clocks of both"
        )
    assert len(fresh) >= len(peers), f"{len(fresh)} of {len(peers)} nodes are heard from; {LOGS} on each"


def test_secrets_are_private(host: Any, params: Params) -> None:
    """The files with keys and passwords are root's alone."""
    for path in (CONFIG, *((TURN_KEY,) if params.has_own_turn_certificate else ())):
        found = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
        assert found == "root 600", (
            f"{path} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), not root 600: "
            "API secrets are in it; run orchestr again"
        )


def test_shares_the_hosts_network(host: Any) -> None:
    """The container uses the host's network: published UDP ranges would bring Docker down."""
    found = host.run("docker inspect --format '{{.HostConfig.NetworkMode}}' %s", CONTAINER).stdout.strip()
    assert found == "host", f"the container's network is {found or 'missing'}, not the host's; {LOGS}"


def test_turn_is_open_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """Where TURN is on, its TLS port gets in from outside."""
    if params.turn_enabled and params.turn_tls_port:
        address = announced_address(machine, params)
        found = outside.connects(address, params.turn_tls_port)
        assert found == "open", f"TURN at {address}:{params.turn_tls_port} is {found}; {LOGS}, and at: ufw status"
