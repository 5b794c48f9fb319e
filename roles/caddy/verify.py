"""The site as its users meet it: TLS, the application, and joining a room through Caddy, whichever node carries it."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]  # it has annotations, but no marker that says so

from orchestr.planning.plan import Host, Peer
from orchestr.verification.inside import Inside, closed_to_outside, connected, is_insider, outside_address, views
from orchestr.verification.outside import Outside

from . import CADDYFILE, PRIVATE_KEY, Params, livekit_nodes
from .site import Site, new_room, until

CONTAINER = "caddy-caddy-1"
LOGS = f"look at: docker logs {CONTAINER}"
AUTHORITY = "/opt/caddy/data/caddy/pki/authorities/local/root.crt"
ADMIN = f"/proc/$(docker inspect --format '{{{{.State.Pid}}}}' {CONTAINER})/root/run/caddy-admin.sock"


@pytest.fixture
def site(host: Any, machine: Host, params: Params, outside: Outside, tmp_path: Path) -> Site:
    """The site at this host's address, its certificate checked."""
    trusted = None
    if params.tls == "internal":
        trusted = tmp_path / "root.crt"
        trusted.write_text(host.check_output("cat %s", AUTHORITY))
    nodes, services = machine.with_role("livekit"), machine.with_role("webapp")
    return Site(
        outside,
        outside_address(machine),
        params.domain,
        params.livekit_domain or params.domain,
        ca=str(trusted) if trusted else None,
        verify=params.tls != "files",  # whose authority need not be known here; the certificate is compared instead
        livekit=nodes[0].params("livekit") if nodes else None,
        token_path=services[0].params("webapp").token_path if services else "",
    )


def test_http_leads_to_https(params: Params, site: Site) -> None:
    """Who comes by http is sent to https on the same name."""
    answer = site.ask(f"http://{params.domain}/")
    where = answer.headers.get("location", "")
    assert answer.status in (301, 302, 307, 308) and where.startswith(f"https://{params.domain}/"), (
        f"http://{params.domain}/ answers {answer.status} {where}, not a redirect to https; "
        "look at: what else listens on port 80 (ss -ltnp)"
    )


def test_application_answers(params: Params, site: Site, machine: Host) -> None:
    """By its name and over TLS, with a certificate that holds, the site answers; the application by its health path."""
    services = machine.with_role("webapp")
    path = services[0].params("webapp").health_path if services else ""
    status = site.ask(f"https://{params.domain}{path or '/'}").status
    if path:
        assert status == 200, f"https://{params.domain}{path} answers {status}, not 200; {LOGS}, webapp-webapp-1"
    elif services:
        assert status not in (502, 503, 504), f"Caddy does not reach the application ({status}); {LOGS}"


def test_given_certificate_is_served(params: Params, machine: Host) -> None:
    """Where the inventory gives a certificate, it is this one that is served."""
    if params.tls == "files":
        served = ssl.get_server_certificate((outside_address(machine), 443), timeout=5)
        first = params.certificate.partition("-----END")[0] + "-----END CERTIFICATE-----"
        assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert(first.strip()), (
            f"another certificate is served than caddy_certificate; {LOGS} (was the reload refused?)"
        )


def test_knows_all_nodes(host: Any, machine: Host, params: Params) -> None:
    """The configuration Caddy runs with now, not only its file, has every LiveKit node of the inventory."""
    done = host.run(f"curl -s -m 5 --unix-socket {ADMIN} http://localhost/config/")
    assert done.rc == 0, f"Caddy does not tell its configuration: {done.stderr.strip()[-200:] or done.rc}; {LOGS}"
    missing = [node for node in livekit_nodes(machine, params) if f'"{node}"' not in done.stdout]
    assert not missing, f"Caddy runs without {', '.join(missing)}: its last reload did not come or was refused; {LOGS}"


def test_reaches_all_nodes(host: Any, machine: Host, params: Params) -> None:
    """From Caddy's host every LiveKit node answers 200, so each gets its share."""
    for node in livekit_nodes(machine, params):
        if node not in params.spare_upstreams:
            status, why = Inside(host).get(f"http://{node}/")
            assert status == 200, (
                f"LiveKit at {node} answers {status or why}, not 200; docker logs and ufw status there"
            )


def test_livekit_refuses_strangers(site: Site) -> None:
    """Through Caddy, LiveKit refuses who has no token: the path leads to it, and it asks."""
    if site.livekit is not None:
        status = site.ask(f"https://{site.livekit_name}/rtc/validate").status
        assert status == 401, (
            f"https://{site.livekit_name}/rtc/validate without a token answers {status}, not 401; "
            f"404: the path leads elsewhere (caddy_livekit_paths); 502, 503: no healthy node; {LOGS}"
        )


def test_every_key_is_accepted(site: Site, machine: Host) -> None:
    """Through Caddy, LiveKit accepts a token of each API key, asked often enough to meet every node."""
    from .joining import access_token

    for key, secret in site.livekit.keys.items() if site.livekit is not None else ():
        token = access_token(key, secret, new_room(), "orchestr-verify")
        url, headers = f"https://{site.livekit_name}/rtc/validate", {"Authorization": f"Bearer {token}"}
        for _ in range(4 * len(machine.with_role("livekit"))):
            status = site.ask(url, headers=headers).status
            assert status in (200, 404), (  # 404: accepted, but rooms are not made by joining (room.auto_create)
                f"LiveKit answers {status} to a token of the key {key}; 401: a node has another secret, or a wrong "
                f"clock; 502, 503: no healthy node; {LOGS}, livekit-livekit-1"
            )


def test_participants_see_each_other(site: Site, machine: Host, params: Params) -> None:
    """Participants of one room see each other, whichever LiveKit nodes Caddy gave them to."""
    nodes = len(machine.with_role("livekit"))
    if not nodes:
        return
    room, told = new_room(), []
    names = [f"orchestr-{number}" for number in range(max(2, 2 * nodes))]
    with contextlib.ExitStack() as sessions:
        for name in names:
            session, answer = site.join(room, name)
            sessions.callback(session.close)
            told.append(answer)
        assert all(each.others >= set(names[:number]) for number, each in enumerate(told)), (
            f"in one room, {names[-1]} sees {sorted(told[-1].others)} instead of {names[:-1]}: the nodes do not share "
            "one Redis; look at redis.address in /opt/livekit/livekit.yaml on each"
        )
        homes = {each.node for each in told if each.node}
        assert len(homes) <= 1, f"one room lives on {len(homes)} nodes: they do not share one Redis"
        assert session.is_alive(), f"a session broke off at once; {LOGS}"
    carried_by = {each.signalling_node for each in told if each.signalling_node}
    if nodes > 1 and carried_by and params.lb_policy in ("least_conn", "round_robin"):
        assert len(carried_by) > 1, f"of {nodes} nodes one alone got all of {len(names)} joins; {LOGS} (health checks)"


def test_events_reach_the_application(machine: Host, site: Site) -> None:
    """LiveKit delivers the events of a join to its webhooks; the application shows them, where it shows any."""
    if site.livekit is None or not site.livekit.webhook_urls:
        return
    nodes = connected(machine.with_role("livekit"))
    since = {node.name: log_time(node) for node in nodes}
    room = new_room()
    session, _ = site.join(room, "orchestr-verify")
    session.close()
    services = machine.with_role("webapp")
    path = services[0].params("webapp").events_path if services else ""
    if path:
        url = f"https://{site.name}{path}"
        arrived = until(lambda: room in site.ask(url).text)
    elif site.livekit.log_level in ("debug", "info"):
        arrived = until(lambda: any("sent webhook" in log_since(node, since[node.name]) for node in nodes))
    else:
        arrived = not any("failed to send webhook" in log_since(node, since[node.name]) for node in nodes)
    assert arrived, (
        f"the events of a join do not reach {', '.join(site.livekit.webhook_urls)}; look at: docker logs "
        "livekit-livekit-1 (failed to send webhook), caddy_webhook_port and its rule in ufw status, and whether the "
        "application knows the secret of livekit_webhook_api_key"
    )


def log_time(node: Peer) -> str:
    """Return the time of a host's clock as `docker logs --since` takes it."""
    return str(testinfra.get_host(f"orchestr://{node.name}").check_output("date +%s.%N"))


def log_since(node: Peer, moment: str) -> str:
    """Return what a node has logged since then."""
    done = testinfra.get_host(f"orchestr://{node.name}").run("docker logs --since %s livekit-livekit-1", moment)
    return f"{done.stdout}{done.stderr}"


def test_control_is_closed(outside: Outside, host: Any, machine: Host) -> None:
    """Caddy's control interface is a socket in its container, no port, neither outside nor on its host."""
    is_closed_here = Inside(host).connects("127.0.0.1", 2019) != "open"
    assert is_closed_here and closed_to_outside(outside, machine, 2019), (
        "port 2019 answers: whoever reaches it controls Caddy; look at: ss -ltnp"
    )


def test_webhook_port_is_for_livekit_alone(outside: Outside, machine: Host, params: Params) -> None:
    """LiveKit's hosts reach the port for webhooks, other hosts and the outside do not."""
    if not params.webhook_port:
        return
    senders = {peer.name: peer.address for peer in machine.with_role("livekit")}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, found in views(others, machine.address, params.webhook_port).items():
        wanted = name in senders
        assert (found == "open") == wanted, (
            f"{name} finds {machine.address}:{params.webhook_port} {found}; "
            f"it should {'' if wanted else 'not '}be open to it; look at: ufw status"
        )
    if not is_insider(machine, senders.values()):
        is_closed = closed_to_outside(outside, machine, params.webhook_port)
        assert is_closed, f"port {params.webhook_port}, for webhooks, answers anybody; look at: ufw status"


def test_secrets_are_private(host: Any, params: Params) -> None:
    """The Caddyfile and a given private key are root's alone."""
    for path in (CADDYFILE, *((PRIVATE_KEY,) if params.tls == "files" else ())):
        found = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
        assert found == "root 600", (
            f"{path} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), not root 600; "
            "run orchestr again"
        )
