"""Media is reachable from outside, signalling only from Caddy, and the nodes know each other."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]  # it has annotations, but no marker that says so

from orchestr import Host, Inside, Outside, Peer, closed_to_outside, is_insider, outside_address, proxies, routes
from orchestr.applications.routes import Route
from orchestr.secret import cut_tail
from orchestr.verification.front_door import Site, sites, wait_until
from orchestr.verification.inside import connected

from . import Params, config_path, turn_key_path
from .joining import Joined, access_token, join, new_room, token_for
from .relaying import IceServer, Relay, RelayRefused, relay_over_tls, relay_over_udp

LOGS = "look at: docker logs livekit-livekit-1"
STALE_S = 30.0  # a node reports every 2 s; an older entry is a dead node that is still listed
PROBES = 4  # datagrams


@dataclass(frozen=True)
class Node:
    """A line of ``list-nodes``."""

    id: str
    address: str
    state: str
    started_at: datetime
    updated_at: datetime


def parse_nodes(text: str) -> list[Node]:
    """Parse the output of ``livekit-server list-nodes`` (cmd/server/commands.go), of any version.

    A node's cells may span lines; each value occurs once per node (the times: twice), in order. Raises AssertionError,
    with the text, for a table of another shape.
    """
    table = text.replace("│", "|")  # drawn so by 1.13
    ids = re.findall(r"\b(ND_\w+)[^|]*\|\s*([0-9A-Fa-f.:]+)\s*\|", table)
    states = re.findall(r"\(([A-Z_]+)\)", table)
    times = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", table)
    is_read = bool(ids) and len(states) == len(ids) and len(times) == 2 * len(ids)
    assert is_read, f"the list of nodes is not understood: {cut_tail(text.strip(), 600) or 'nothing was printed'}"
    moments = [datetime.fromisoformat(moment) for moment in times]
    rows = zip(ids, states, moments[::2], moments[1::2], strict=True)
    return [Node(id, address, state, started, updated) for (id, address), state, started, updated in rows]


def container(machine: Host) -> str:
    """Return the name that compose gives its container."""
    return f"{machine.role.name}-livekit-1"


def announced_address(machine: Peer, params: Params) -> str:
    """Return the address that browsers send media to; with STUN, the address at which we reach the host."""
    if params.use_external_ip:
        return outside_address(machine)
    return params.node_ip or machine.address


def test_signalling_is_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """Its signalling port is unreachable from outside: clients come through Caddy, with TLS."""
    callers = [peer.address for peer in proxies(machine)]
    if is_insider(machine, callers):
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"port {params.port} is open to everyone, without TLS; look at: ufw status"
    )


def test_answers_the_proxies(machine: Host, params: Params) -> None:
    """It answers 200 to every reverse proxy."""
    url = f"http://{machine.address}:{params.port}/"
    for peer in connected(proxies(machine)):
        status, reason = Inside.of(peer.name).get(url)
        assert status != 406, f"{url} answers 406: it has lost its Redis; {LOGS}, and at Redis"
        assert status == 200, f"from {peer.name} {url} answers {status or reason}, not 200; {LOGS}, and at: ufw status"


def test_answers_on_its_host(host: Any, machine: Host, params: Params) -> None:
    """It answers 200 on its own host, which it does only while it reaches Redis."""
    status, reason = Inside(host).get(f"http://{machine.address}:{params.port}/")
    assert status != 406, f"it answers 406: it has lost its Redis; {LOGS}, and at Redis"
    assert status == 200, f"it answers {status or reason}, not 200; {LOGS}"


def test_media_over_tcp_is_open_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside, the port for media over TCP is open at the address that browsers use."""
    if params.tcp_port:
        address = announced_address(machine, params)
        state = outside.connects(address, params.tcp_port)
        assert state == "open", (
            f"{address}:{params.tcp_port} is {state}: without UDP there is no sound or picture; look at: ufw status, "
            "the provider's firewall, and livekit_node_ip if browsers use another address"
        )


def test_media_over_udp_reaches_the_host(host: Any, outside: Outside, machine: Host, params: Params) -> None:
    """From outside, datagrams to the media ports arrive at the host."""
    address, first, last = announced_address(machine, params), params.udp_port_start, params.udp_port_end
    before = datagram_count(host)
    for number in range(PROBES):
        port = first + (last - first) * number // max(1, PROBES - 1)
        if outside.udp(address, port, timeout_s=0.3) is not None:
            return  # an answer, or ICMP "port unreachable" from the host: the datagram arrived
    assert datagram_count(host) - before >= PROBES, (
        f"datagrams to {address}, ports {first} to {last}, do not arrive: calls connect but stay silent; "
        "look at: ufw status, the provider's firewall"
    )


def datagram_count(host: Any) -> int:
    """Return the number of datagrams that reached the host, with or without a listener (/proc/net/snmp)."""
    names, values = (line.split()[1:] for line in host.file("/proc/net/snmp").content_string.splitlines()
                     if line.startswith("Udp:"))  # fmt: skip
    counts: dict[str, int] = dict(zip(names, map(int, values), strict=True))
    return counts["InDatagrams"] + counts["NoPorts"]


def test_all_nodes_serve(host: Any, machine: Host, params: Params) -> None:
    """This node knows every node of the inventory, each one SERVING and seen within 30 s."""
    done = host.run(
        "date -u '+%%F %%T' && docker exec %s /livekit-server --config /etc/livekit/livekit.yaml list-nodes",
        container(machine),
    )
    clock, _, table = done.stdout.partition("\n")
    reason = cut_tail((done.stderr or table).strip(), 300) or "without a reason"
    assert done.rc == 0, f"list-nodes fails: {reason}; {LOGS}"
    now = datetime.fromisoformat(clock)
    fresh = [node for node in parse_nodes(table) if (now - node.updated_at).total_seconds() < STALE_S]
    by_age = sorted(fresh, key=lambda node: (node.updated_at, node.started_at))  # a former entry may still be listed
    seen = {node.address: node.state for node in by_age}
    peers = machine.with_role(machine.role.name)
    for peer in peers:
        theirs = peer.params(machine.role.name)
        if theirs.use_external_ip:
            continue
        address = announced_address(peer, theirs)
        assert seen.get(address) == "SERVING", (
            f"{peer.name} ({address}) is {seen.get(address, 'not seen')} in the list of {machine.name}; look at: "
            f"docker logs {container(machine)} on {peer.name}, its connection to Redis, and the clocks of both"
        )
    assert len(seen) >= len(peers), f"{len(seen)} of {len(peers)} nodes are seen; {LOGS} on every node"


def test_secrets_are_private(host: Any, machine: Host, params: Params) -> None:
    """Only root can read the files with keys and passwords."""
    for path in (config_path(machine), *((turn_key_path(machine),) if params.has_own_turn_certificate else ())):
        current = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
        assert current == "root 600", (
            f"{path} has owner and mode {current or '(missing)'}, not root 600, and contains API secrets; "
            "run orchestr again"
        )


def test_shares_the_hosts_network(host: Any, machine: Host) -> None:
    """The container uses the host's network: published UDP ranges would bring Docker down."""
    mode = host.run("docker inspect --format '{{.HostConfig.NetworkMode}}' %s", container(machine)).stdout.strip()
    assert mode == "host", f"the container's network is {mode or 'missing'}, not the host's; {LOGS}"


def test_turn_is_open_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """Where TURN is on, its TLS port is open from outside."""
    if params.turn_enabled and params.turn_tls_port:
        address = announced_address(machine, params)
        state = outside.connects(address, params.turn_tls_port)
        assert state == "open", f"TURN at {address}:{params.turn_tls_port} is {state}; {LOGS}, and at: ufw status"


# -- joining through the proxies, once for the cluster ----------------------------------------------------------------
@pytest.fixture
def doors(machine: Host, outside: Outside, tmp_path: Path) -> list[Site]:
    """The cluster's site at each proxy, only for its first host, so that the cluster is joined once."""
    nodes = connected(machine.with_role(machine.role.name))
    is_first = bool(nodes) and nodes[0].name == machine.name
    return list(sites(machine, machine.role.name, outside, tmp_path)) if is_first else []


def test_refuses_strangers(doors: list[Site]) -> None:
    """Through each proxy a participant without a token is refused: the path leads to LiveKit, which needs a token."""
    for site in doors:
        status = site.ask(f"https://{site.name}/rtc/validate").status
        assert status == 401, (
            f"https://{site.name}/rtc/validate without a token answers {status}, not 401; 404: the path leads "
            f"elsewhere; 502, 503: no healthy node; look at: {site.door.logs}"
        )


def test_every_key_is_accepted(doors: list[Site], machine: Host, params: Params) -> None:
    """Through each proxy a token of each API key is accepted, in enough requests to reach every node."""
    for site in doors:
        for key, secret in params.keys.items():
            token = access_token(key, secret, new_room(), "orchestr-verify")
            url, headers = f"https://{site.name}/rtc/validate", {"Authorization": f"Bearer {token}"}
            for _ in range(4 * len(machine.with_role(machine.role.name))):
                status = site.ask(url, headers=headers).status
                assert status in (200, 404), (  # 404: accepted, but a join does not create rooms (room.auto_create)
                    f"LiveKit answers {status} to a token of the key {key}; 401: a node has another secret, or a wrong "
                    f"clock; 502, 503: no healthy node; {LOGS}, {site.door.logs}"
                )


def test_participants_see_each_other(doors: list[Site], machine: Host, params: Params) -> None:
    """Participants of one room see each other, whichever nodes the proxy chose for them."""
    nodes = len(machine.with_role(machine.role.name))
    for site in doors:
        room, answers = new_room(), list[Joined]()
        names = [f"orchestr-{number}" for number in range(max(2, 2 * nodes))]
        with contextlib.ExitStack() as sessions:
            for name in names:
                session, answer = join(site, token_for(site, params, token_url(machine, site), room, name))
                sessions.callback(session.close)
                answers.append(answer)
            assert all(answer.others >= set(names[:number]) for number, answer in enumerate(answers)), (
                f"in one room, {names[-1]} sees {sorted(answers[-1].others)} instead of {names[:-1]}: the nodes do not "
                f"share one Redis; look at: redis.address in {config_path(machine)} on every node"
            )
            homes = {answer.node for answer in answers if answer.node}
            assert len(homes) <= 1, f"one room is on {len(homes)} nodes: they do not share one Redis"
            assert session.is_alive(), f"a session ended at once; look at: {site.door.logs}"


def test_relays_reach_the_media(
    doors: list[Site], outside: Outside, machine: Host, params: Params
) -> None:
    """Where TURN is on, the credentials of a join are good for a relay of every node, and it may reach the media."""
    for site in doors if params.turn_enabled else ():
        session, joined = join(site, token_for(site, params, token_url(machine, site), new_room(), "orchestr-verify"))
        with contextlib.closing(session):
            assert joined.ice_servers, f"TURN is on, and a join names no TURN server; {LOGS}"
            for peer in connected(machine.with_role(machine.role.name)):
                for server in joined.ice_servers:
                    assert_relays(peer, peer.params(machine.role.name), server)


def assert_relays(node: Peer, params: Params, server: IceServer) -> None:
    """Assert that each way to a node's TURN server that clients are told gives relays that may reach its media."""
    media = announced_address(node, params)
    for url in server.urls:
        kind, _, rest = url.partition(":")
        port = int(rest.partition("?")[0].rpartition(":")[2])
        if kind not in ("turn", "turns") or "." not in media:
            continue
        told = f"TURN of {node.name}, which clients are told to reach at {url}"
        try:
            relay = open_relay(kind, media, port, params, server)
        except RelayRefused as refusal:
            raise AssertionError(
                f"{told}, refuses the credentials of a join ({refusal}): clients that may use relays only cannot join; "
                f"look at: the API keys and the clock of {node.name}, {LOGS}"
            ) from None
        except OSError as error:
            raise AssertionError(
                f"{told}, does not answer ({error}): clients that may use relays only cannot join; look at: ufw status "
                f"on {node.name}, the provider's firewall, livekit_turn_domain and livekit_turn_tls_port; {LOGS}"
            ) from None
        with contextlib.closing(relay):
            assert_permitted(relay, media, told)


def open_relay(kind: str, address: str, port: int, params: Params, server: IceServer) -> Relay:
    """Return a relay over UDP (``turn``) or TLS (``turns``). Raises OSError, RelayRefused."""
    if kind == "turn":
        return relay_over_udp(address, port, server)
    host = params.turn_domain if params.turn_external_tls else address
    return relay_over_tls(host, port, params.turn_domain, params.turn_certificate, server)


def assert_permitted(relay: Relay, media: str, told: str) -> None:
    try:
        relay.permit(media)
    except (RelayRefused, OSError) as refusal:
        raise AssertionError(
            f"{told}, does not relay to the media at {media} ({refusal}): clients that may use relays only cannot "
            "join; set livekit_turn_allow_restricted_peer_cidrs to a network that contains it"
        ) from None


def test_metrics_are_there(host: Any, machine: Host, params: Params) -> None:
    """Where metrics are on, they are read on the host, and not without their password if they have one."""
    if not params.prometheus_port:
        return
    status, reason = Inside(host).get(f"http://{machine.address}:{params.prometheus_port}/metrics")
    wanted = 401 if params.prometheus_username else 200
    assert status == wanted, f"metrics without a password answer {status or reason}, not {wanted}; {LOGS}"


def test_events_reach_the_application(doors: list[Site], machine: Host, params: Params) -> None:
    """The events of a join reach the webhooks; an application that lists events lists them."""
    for site in doors if params.webhook_urls else ():
        nodes = connected(machine.with_role(machine.role.name))
        since = {node.name: log_time(node) for node in nodes}
        room = new_room()
        session, _ = join(site, token_for(site, params, token_url(machine, site), room, "orchestr-verify"))
        session.close()
        assert are_events_delivered(machine, site, room, since, params), (
            f"the events of a join do not reach {', '.join(params.webhook_urls)}; look at: docker logs "
            f"{container(machine)} (failed to send webhook), the proxy's port for webhooks and its rule in ufw status, "
            "and whether the application knows the secret of livekit_webhook_api_key"
        )


def are_events_delivered(machine: Host, site: Site, room: str, since: dict[str, str], params: Params) -> bool:
    """Return True if the events of a room were delivered, according to the application or else the nodes' logs."""
    nodes, route = connected(machine.with_role(machine.role.name)), webhook_route(machine)
    if route is not None and route.site.events_path:
        url = f"https://{domain_of(machine, site, route)}{route.site.events_path}"
        return wait_until(lambda: room in site.ask(url).text)
    if params.log_level in ("debug", "info"):
        return wait_until(lambda: any("sent webhook" in log_since(machine, node, since[node.name]) for node in nodes))
    return not any("failed to send webhook" in log_since(machine, node, since[node.name]) for node in nodes)


def webhook_route(machine: Host) -> Route | None:
    """Return the route of the application that takes the webhooks, or None."""
    return next((route for route in routes(machine) if route.site.takes_webhooks), None)


def token_url(machine: Host, site: Site) -> str:
    """Return the URL at which the application issues access tokens, or ""."""
    route = webhook_route(machine)
    if route is None or not route.site.token_path:
        return ""
    return f"https://{domain_of(machine, site, route)}{route.site.token_path}"


def domain_of(machine: Host, site: Site, route: Route) -> str:
    """Return the domain at which a proxy serves another application."""
    for role in machine.roles_in_playbook():
        for peer in machine.with_role(role.name) if role.front_door is not None else ():
            assert role.front_door is not None
            return role.front_door(peer.as_host(role.name), peer.params(role.name), route.application).name
    return site.name


def log_time(node: Peer) -> str:
    """Return the time of a host's clock in the format of `docker logs --since`."""
    return str(testinfra.get_host(f"orchestr://{node.name}").check_output("date +%s.%N"))


def log_since(machine: Host, node: Peer, moment: str) -> str:
    """Return the log of a node since that moment."""
    done = testinfra.get_host(f"orchestr://{node.name}").run("docker logs --since %s %s", moment, container(machine))
    return f"{done.stdout}{done.stderr}"
