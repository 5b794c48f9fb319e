"""Media reaches it from outside, signalling comes from Caddy alone, the nodes know each other."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]  # it has annotations, but no marker that says so

from orchestr.applications.routes import Route, proxies, routes
from orchestr.planning.plan import Host, Peer
from orchestr.verification.front_door import Site, sites, wait_until
from orchestr.verification.inside import Inside, closed_to_outside, connected, is_insider, outside_address
from orchestr.verification.outside import Outside

from . import Params, config_path, turn_key_path
from .joining import Joined, access_token, join, new_room, token_for

LOGS = "look at: docker logs livekit-livekit-1"
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


def container(machine: Host) -> str:
    """Return the name of its container, as compose makes it."""
    return f"{machine.role.name}-livekit-1"


def announced_address(machine: Peer, params: Params) -> str:
    """Return the address browsers are told to send media to; found by STUN: the one we reach the host at."""
    if params.use_external_ip:
        return outside_address(machine)
    return params.node_ip or machine.address


def test_signalling_is_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside its signalling port cannot be reached: the way in is Caddy, with TLS."""
    callers = [peer.address for peer in proxies(machine)]
    if is_insider(machine, callers):
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"port {params.port} answers anybody, without TLS; look at: ufw status"
    )


def test_answers_the_proxies(machine: Host, params: Params) -> None:
    """From every reverse proxy it answers 200."""
    url = f"http://{machine.address}:{params.port}/"
    for peer in connected(proxies(machine)):
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
        "date -u '+%%F %%T' && docker exec %s /livekit-server --config /etc/livekit/livekit.yaml list-nodes",
        container(machine),
    )
    clock, _, table = done.stdout.partition("\n")
    assert done.rc == 0, f"list-nodes fails: {(done.stderr or table).strip()[-300:] or 'it does not say why'}; {LOGS}"
    now = datetime.fromisoformat(clock)
    fresh = [node for node in listed(table) if (now - node.updated_at).total_seconds() < STALE_S]
    seen = {node.address: node.state for node in fresh}
    peers = machine.with_role(machine.role.name)
    for peer in peers:
        theirs = peer.params(machine.role.name)
        if theirs.use_external_ip:
            continue
        address = announced_address(peer, theirs)
        assert seen.get(address) == "SERVING", (
            f"{peer.name} ({address}) is {seen.get(address, 'not heard from')} in the list of {machine.name}; look at: "
            f"docker logs {container(machine)} on {peer.name}, its way to Redis, and the clocks of both"
        )
    assert len(fresh) >= len(peers), f"{len(fresh)} of {len(peers)} nodes are heard from; {LOGS} on each"


def test_secrets_are_private(host: Any, machine: Host, params: Params) -> None:
    """The files with keys and passwords are root's alone."""
    for path in (config_path(machine), *((turn_key_path(machine),) if params.has_own_turn_certificate else ())):
        found = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
        assert found == "root 600", (
            f"{path} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), not root 600: "
            "API secrets are in it; run orchestr again"
        )


def test_shares_the_hosts_network(host: Any, machine: Host) -> None:
    """The container uses the host's network: published UDP ranges would bring Docker down."""
    found = host.run("docker inspect --format '{{.HostConfig.NetworkMode}}' %s", container(machine)).stdout.strip()
    assert found == "host", f"the container's network is {found or 'missing'}, not the host's; {LOGS}"


def test_turn_is_open_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """Where TURN is on, its TLS port gets in from outside."""
    if params.turn_enabled and params.turn_tls_port:
        address = announced_address(machine, params)
        found = outside.connects(address, params.turn_tls_port)
        assert found == "open", f"TURN at {address}:{params.turn_tls_port} is {found}; {LOGS}, and at: ufw status"


# -- joining through the proxies, once for the cluster ----------------------------------------------------------------
@pytest.fixture
def doors(machine: Host, outside: Outside, tmp_path: Path) -> list[Site]:
    """The cluster's site at each proxy; none but for its first host, so that the cluster is joined once."""
    nodes = connected(machine.with_role(machine.role.name))
    is_first = bool(nodes) and nodes[0].name == machine.name
    return list(sites(machine, machine.role.name, outside, tmp_path)) if is_first else []


def test_refuses_strangers(doors: list[Site]) -> None:
    """Through each proxy a participant without a token is refused: the path leads to LiveKit, and it asks."""
    for site in doors:
        status = site.ask(f"https://{site.name}/rtc/validate").status
        assert status == 401, (
            f"https://{site.name}/rtc/validate without a token answers {status}, not 401; 404: the path leads "
            f"elsewhere; 502, 503: no healthy node; look at: {site.door.logs}"
        )


def test_every_key_is_accepted(doors: list[Site], machine: Host, params: Params) -> None:
    """Through each proxy a token of each API key is accepted, asked often enough to meet every node."""
    for site in doors:
        for key, secret in params.keys.items():
            token = access_token(key, secret, new_room(), "orchestr-verify")
            url, headers = f"https://{site.name}/rtc/validate", {"Authorization": f"Bearer {token}"}
            for _ in range(4 * len(machine.with_role(machine.role.name))):
                status = site.ask(url, headers=headers).status
                assert status in (200, 404), (  # 404: accepted, but rooms are not made by joining (room.auto_create)
                    f"LiveKit answers {status} to a token of the key {key}; 401: a node has another secret, or a wrong "
                    f"clock; 502, 503: no healthy node; {LOGS}, {site.door.logs}"
                )


def test_participants_see_each_other(doors: list[Site], machine: Host, params: Params) -> None:
    """Participants of one room see each other, whichever nodes the proxy gave them to."""
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
                f"share one Redis; look at redis.address in {config_path(machine)} on each"
            )
            homes = {answer.node for answer in answers if answer.node}
            assert len(homes) <= 1, f"one room lives on {len(homes)} nodes: they do not share one Redis"
            assert session.is_alive(), f"a session broke off at once; look at: {site.door.logs}"
        carried_by = {answer.signalling_node for answer in answers if answer.signalling_node}
        if nodes > 1 and carried_by and site.door.spreads:
            assert len(carried_by) > 1, f"of {nodes} nodes one alone got all of {len(names)} joins; {site.door.logs}"


def test_events_reach_the_application(doors: list[Site], machine: Host, params: Params) -> None:
    """The events of a join are delivered to the webhooks; an application that shows events shows them."""
    for site in doors if params.webhook_urls else ():
        nodes = connected(machine.with_role(machine.role.name))
        since = {node.name: log_time(node) for node in nodes}
        room = new_room()
        session, _ = join(site, token_for(site, params, token_url(machine, site), room, "orchestr-verify"))
        session.close()
        assert arrived_at_application(machine, site, room, since, params), (
            f"the events of a join do not reach {', '.join(params.webhook_urls)}; look at: docker logs "
            f"{container(machine)} (failed to send webhook), the proxy's port for webhooks and its rule in ufw status, "
            "and whether the application knows the secret of livekit_webhook_api_key"
        )


def arrived_at_application(machine: Host, site: Site, room: str, since: dict[str, str], params: Params) -> bool:
    """Return True if the events of a room were delivered, as the application or else the nodes' logs tell."""
    nodes, route = connected(machine.with_role(machine.role.name)), webhook_route(machine)
    if route is not None and route.site.events_path:
        url = f"https://{domain_of(machine, site, route)}{route.site.events_path}"
        return wait_until(lambda: room in site.ask(url).text)
    if params.log_level in ("debug", "info"):
        return wait_until(lambda: any("sent webhook" in log_since(machine, node, since[node.name]) for node in nodes))
    return not any("failed to send webhook" in log_since(machine, node, since[node.name]) for node in nodes)


def webhook_route(machine: Host) -> Route | None:
    """Return the route of the application that takes the webhooks, None without one."""
    return next((route for route in routes(machine) if route.site.takes_webhooks), None)


def token_url(machine: Host, site: Site) -> str:
    """Return where the application gives access tokens, "" where it gives none."""
    route = webhook_route(machine)
    if route is None or not route.site.token_path:
        return ""
    return f"https://{domain_of(machine, site, route)}{route.site.token_path}"


def domain_of(machine: Host, site: Site, route: Route) -> str:
    """Return the name by which a proxy serves another application."""
    for role in machine.roles_in_playbook():
        for peer in machine.with_role(role.name) if role.front_door is not None else ():
            assert role.front_door is not None
            return role.front_door(peer.as_host(role.name), peer.params(role.name), route.application).name
    return site.name


def log_time(node: Peer) -> str:
    """Return the time of a host's clock as `docker logs --since` takes it."""
    return str(testinfra.get_host(f"orchestr://{node.name}").check_output("date +%s.%N"))


def log_since(machine: Host, node: Peer, moment: str) -> str:
    """Return what a node has logged since then."""
    done = testinfra.get_host(f"orchestr://{node.name}").run("docker logs --since %s %s", moment, container(machine))
    return f"{done.stdout}{done.stderr}"
