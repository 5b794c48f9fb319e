"""The sites from a user's point of view: TLS, every application at its paths, and no other open port."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from orchestr import Host, Inside, Outside, closed_to_outside, is_insider, outside_address, routes
from orchestr.applications.routes import webhook_senders
from orchestr.secret import cut_tail
from orchestr.verification.front_door import Site, site_at
from orchestr.verification.inside import views

from . import Params, backends, caddyfile_path, front_door, private_key_path

BAD_GATEWAY = (502, 503, 504)


@pytest.fixture
def site(machine: Host, params: Params, outside: Outside, tmp_path: Path) -> Site:
    """The site at this host's address; its certificate is checked."""
    return site_at(machine, front_door(machine, params, ""), outside, tmp_path)


@pytest.fixture
def logs(machine: Host) -> str:
    """The next step after a failed check."""
    return f"look at: docker logs {machine.role.name}-caddy-1"


def test_http_leads_to_https(params: Params, site: Site) -> None:
    """Requests over http are redirected to https on the same name."""
    answer = site.ask(f"http://{params.domain}/")
    target = answer.headers.get("location", "")
    assert answer.status in (301, 302, 307, 308) and target.startswith(f"https://{params.domain}/"), (
        f"http://{params.domain}/ answers {answer.status} {target}, not a redirect to https; "
        "look at: other listeners on port 80 (ss -ltnp)"
    )


def test_applications_answer(params: Params, machine: Host, outside: Outside, logs: str, tmp_path: Path) -> None:
    """By name and over TLS, with a valid certificate, each application answers at its path for checks."""
    for route in routes(machine):
        site = site_at(machine, front_door(machine, params, route.application), outside, tmp_path)
        path = route.site.check_path
        status = site.ask(f"https://{site.name}{path or '/'}").status
        if path:
            assert status == 200, f"https://{site.name}{path} answers {status}, not 200; {logs}, {route.application}"
        elif not route.site.paths:
            assert status not in BAD_GATEWAY, f"Caddy does not reach {route.application} ({status}); {logs}"


def test_the_site_answers(params: Params, site: Site, machine: Host, logs: str) -> None:
    """By name and over TLS, with a valid certificate, the site answers even without an application."""
    if not routes(machine):
        status = site.ask(f"https://{params.domain}/").status
        assert status == 503, f"https://{params.domain}/ answers {status}, not 503; {logs}"


def test_given_certificate_is_served(params: Params, machine: Host, logs: str) -> None:
    """Caddy serves the certificate that the inventory gives."""
    if params.tls == "files":
        served = ssl.get_server_certificate((outside_address(machine), 443), timeout=5)
        first = params.certificate.partition("-----END")[0] + "-----END CERTIFICATE-----"
        assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert(first.strip()), (
            f"Caddy serves another certificate than caddy_certificate; {logs} (was the reload refused?)"
        )


def test_knows_all_upstreams(host: Any, machine: Host, params: Params, logs: str) -> None:
    """The running configuration of Caddy, not only its file, has every upstream of the inventory."""
    inspect = f"docker inspect --format '{{{{.State.Pid}}}}' {machine.role.name}-caddy-1"
    socket = f"/proc/$({inspect})/root/run/caddy-admin.sock"
    done = host.run(f"curl -s -m 5 --unix-socket {socket} http://localhost/config/")
    reason = cut_tail(done.stderr.strip(), 200) or done.rc
    assert done.rc == 0, f"Caddy does not show its configuration: {reason}; {logs}"
    upstreams = [upstream for backend in backends(machine, params) for upstream in backend.upstreams]
    missing = [upstream for upstream in upstreams if f'"{upstream}"' not in done.stdout]
    assert not missing, f"Caddy runs without {', '.join(missing)}: its last reload was refused or never came; {logs}"


def test_reaches_all_upstreams(host: Any, machine: Host) -> None:
    """From Caddy's host, every host of an application with a health path answers 200, so each one gets requests."""
    for route in routes(machine):
        for upstream in route.upstreams if route.site.health_path else ():
            status, reason = Inside(host).get(f"http://{upstream}{route.site.health_path}")
            assert status == 200, (
                f"{route.application} at {upstream} answers {status or reason}, not 200; "
                "look at: docker logs and ufw status there"
            )


def test_control_is_closed(outside: Outside, host: Any, machine: Host) -> None:
    """Caddy's control interface is a socket in its container, not a port, neither outside nor on its host."""
    is_closed_here = Inside(host).connects("127.0.0.1", 2019) != "open"
    assert is_closed_here and closed_to_outside(outside, machine, 2019), (
        "port 2019 answers: anyone who can connect to it controls Caddy; look at: ss -ltnp"
    )


def test_webhook_port_is_for_senders_alone(outside: Outside, machine: Host, params: Params) -> None:
    """The hosts that send webhooks reach their port; other hosts and the outside do not."""
    if not params.webhook_port:
        return
    senders = {peer.name: peer.address for peer in webhook_senders(machine)}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, answer in views(others, machine.address, params.webhook_port).items():
        wanted = name in senders
        assert (answer == "open") == wanted, (
            f"from {name}, {machine.address}:{params.webhook_port} is {answer}; "
            f"it should {'' if wanted else 'not '}be open; look at: ufw status"
        )
    if not is_insider(machine, senders.values()):
        is_closed = closed_to_outside(outside, machine, params.webhook_port)
        assert is_closed, f"port {params.webhook_port}, for webhooks, is open to everyone; look at: ufw status"


def test_secrets_are_private(host: Any, machine: Host, params: Params) -> None:
    """Only root can read the Caddyfile and a given private key."""
    for path in (caddyfile_path(machine), *((private_key_path(machine),) if params.tls == "files" else ())):
        current = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
        assert current == "root 600", (
            f"{path} has owner and mode {current or '(missing)'}, not root 600; run orchestr again"
        )
