"""The sites as their users meet them: TLS, every application behind its paths, and nothing else open."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from orchestr.applications.routes import routes, webhook_senders
from orchestr.planning.plan import Host
from orchestr.verification.front_door import Site, site_at
from orchestr.verification.inside import Inside, closed_to_outside, is_insider, outside_address, views
from orchestr.verification.outside import Outside

from . import Params, backends, caddyfile_path, front_door, private_key_path

BAD_GATEWAY = (502, 503, 504)


@pytest.fixture
def site(machine: Host, params: Params, outside: Outside, tmp_path: Path) -> Site:
    """The site at this host's address, its certificate checked."""
    return site_at(machine, front_door(machine, params, ""), outside, tmp_path)


@pytest.fixture
def logs(machine: Host) -> str:
    """Where to look when a check fails."""
    return f"look at: docker logs {machine.role.name}-caddy-1"


def test_http_leads_to_https(params: Params, site: Site) -> None:
    """Who comes by http is sent to https on the same name."""
    answer = site.ask(f"http://{params.domain}/")
    where = answer.headers.get("location", "")
    assert answer.status in (301, 302, 307, 308) and where.startswith(f"https://{params.domain}/"), (
        f"http://{params.domain}/ answers {answer.status} {where}, not a redirect to https; "
        "look at: what else listens on port 80 (ss -ltnp)"
    )


def test_applications_answer(params: Params, machine: Host, outside: Outside, logs: str, tmp_path: Path) -> None:
    """By name and over TLS, with a valid certificate, each application answers at the path it names for checks."""
    for route in routes(machine):
        site = site_at(machine, front_door(machine, params, route.application), outside, tmp_path)
        path = route.site.check_path
        status = site.ask(f"https://{site.name}{path or '/'}").status
        if path:
            assert status == 200, f"https://{site.name}{path} answers {status}, not 200; {logs}, {route.application}"
        elif not route.site.paths:
            assert status not in BAD_GATEWAY, f"Caddy does not reach {route.application} ({status}); {logs}"


def test_the_site_answers(params: Params, site: Site, machine: Host, logs: str) -> None:
    """By its name and over TLS, with a valid certificate, the site answers even without any application."""
    if not routes(machine):
        status = site.ask(f"https://{params.domain}/").status
        assert status == 503, f"https://{params.domain}/ answers {status}, not 503; {logs}"


def test_given_certificate_is_served(params: Params, machine: Host, logs: str) -> None:
    """Where the inventory gives a certificate, it is this one that is served."""
    if params.tls == "files":
        served = ssl.get_server_certificate((outside_address(machine), 443), timeout=5)
        first = params.certificate.partition("-----END")[0] + "-----END CERTIFICATE-----"
        assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert(first.strip()), (
            f"another certificate is served than caddy_certificate; {logs} (was the reload refused?)"
        )


def test_knows_all_upstreams(host: Any, machine: Host, params: Params, logs: str) -> None:
    """The configuration Caddy runs with now, not only its file, has every upstream of the inventory."""
    inspect = f"docker inspect --format '{{{{.State.Pid}}}}' {machine.role.name}-caddy-1"
    socket = f"/proc/$({inspect})/root/run/caddy-admin.sock"
    done = host.run(f"curl -s -m 5 --unix-socket {socket} http://localhost/config/")
    assert done.rc == 0, f"Caddy does not tell its configuration: {done.stderr.strip()[-200:] or done.rc}; {logs}"
    upstreams = [upstream for backend in backends(machine, params) for upstream in backend.upstreams]
    missing = [upstream for upstream in upstreams if f'"{upstream}"' not in done.stdout]
    assert not missing, f"Caddy runs without {', '.join(missing)}: its last reload was refused or never came; {logs}"


def test_reaches_all_upstreams(host: Any, machine: Host) -> None:
    """From Caddy's host every host of an application with a health path answers 200, so each gets its share."""
    for route in routes(machine):
        for upstream in route.upstreams if route.site.health_path else ():
            status, why = Inside(host).get(f"http://{upstream}{route.site.health_path}")
            assert status == 200, (
                f"{route.application} at {upstream} answers {status or why}, not 200; docker logs and ufw status there"
            )


def test_control_is_closed(outside: Outside, host: Any, machine: Host) -> None:
    """Caddy's control interface is a socket in its container, no port, neither outside nor on its host."""
    is_closed_here = Inside(host).connects("127.0.0.1", 2019) != "open"
    assert is_closed_here and closed_to_outside(outside, machine, 2019), (
        "port 2019 answers: whoever reaches it controls Caddy; look at: ss -ltnp"
    )


def test_webhook_port_is_for_senders_alone(outside: Outside, machine: Host, params: Params) -> None:
    """The hosts that send webhooks reach their port, other hosts and the outside do not."""
    if not params.webhook_port:
        return
    senders = {peer.name: peer.address for peer in webhook_senders(machine)}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, answer in views(others, machine.address, params.webhook_port).items():
        wanted = name in senders
        assert (answer == "open") == wanted, (
            f"{name} finds {machine.address}:{params.webhook_port} {answer}; "
            f"it should {'' if wanted else 'not '}be open to it; look at: ufw status"
        )
    if not is_insider(machine, senders.values()):
        is_closed = closed_to_outside(outside, machine, params.webhook_port)
        assert is_closed, f"port {params.webhook_port}, for webhooks, answers anybody; look at: ufw status"


def test_secrets_are_private(host: Any, machine: Host, params: Params) -> None:
    """The Caddyfile and a given private key are root's alone."""
    for path in (caddyfile_path(machine), *((private_key_path(machine),) if params.tls == "files" else ())):
        found = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
        assert found == "root 600", (
            f"{path} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), not root 600; "
            "run orchestr again"
        )
