"""It works, only Caddy reaches it, and its secrets are private."""

from __future__ import annotations

from typing import Any

from orchestr.applications.routes import listen_address, proxies
from orchestr.planning.plan import Host
from orchestr.verification.inside import Inside, closed_to_outside, views
from orchestr.verification.outside import Outside

from . import Params


def test_answers_on_its_host(host: Any, machine: Host, params: Params) -> None:
    """Its health path answers 200 on the host it runs on."""
    address = listen_address(machine)
    if not params.health_path:
        found = Inside(host).connects(address, params.port)
        assert found == "open", f"{address}:{params.port} is {found}; look at: docker logs {machine.role.name}-webapp-1"
        return
    url = f"http://{address}:{params.port}{params.health_path}"
    status, why = Inside(host).get(url)
    assert status == 200, f"{url} answers {status or why}, not 200; look at: docker logs {machine.role.name}-webapp-1"


def test_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside its port cannot be reached: the way in is Caddy."""
    if not machine.facts.get("ssh_connection"):  # this machine is the host: loopback is open to it
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"port {params.port} answers from outside, past Caddy and without TLS; "
        "look at: docker ps (what it is published on), ufw status, iptables -S DOCKER-USER"
    )


def test_reachable_for_caddy_alone(machine: Host, params: Params) -> None:
    """Of the other hosts those with Caddy reach it, the rest do not."""
    callers = {peer.name for peer in proxies(machine)}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, found in views(others, machine.address, params.port).items():
        if name in callers:
            assert found == "open", (
                f"Caddy on {name} cannot reach {machine.address}:{params.port} ({found}); look at: ufw status here"
            )
        else:
            assert found != "open", f"{name} reaches {machine.address}:{params.port} past Caddy; see: ufw status"


def test_settings_are_private(host: Any, machine: Host) -> None:
    """Its settings, which may hold secrets, are root's alone."""
    path = f"/opt/{machine.role.name}/.env"
    found = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
    assert found == "root 600", (
        f"{path} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), not root 600; "
        "run orchestr again"
    )


def test_secret_files_are_private(host: Any, machine: Host, params: Params) -> None:
    """Each secret it reads from a file is readable for its user alone."""
    owner = (params.user or "0").partition(":")[0]
    for name in params.secret_files:
        found = host.run("stat -c '%%u %%a' %s", f"/opt/{machine.role.name}/secrets/{name}").stdout.strip()
        assert found == f"{owner} 600", (
            f"the secret {name} belongs to and is open to {found or 'nobody: it is missing'} (owner, mode), "
            f"not {owner} 600; run orchestr again"
        )
