"""The service works, only Caddy can reach it, and its secrets are private."""

from __future__ import annotations

from typing import Any

from orchestr import Host, Inside, Outside, closed_to_outside, listen_address, proxies
from orchestr.verification.inside import views

from . import Params


def test_answers_on_its_host(host: Any, machine: Host, params: Params) -> None:
    """Its health path answers 200 on the host it runs on."""
    address = listen_address(machine)
    if not params.health_path:
        state = Inside(host).connects(address, params.port)
        assert state == "open", f"{address}:{params.port} is {state}; look at: docker logs {machine.role.name}-webapp-1"
        return
    url, logs = (
        f"http://{address}:{params.port}{params.health_path}",
        f"look at: docker logs {machine.role.name}-webapp-1",
    )
    status, reason = Inside(host).get(url)
    assert status == 200, f"{url} answers {status or reason}, not 200; {logs}"


def test_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """Its port is unreachable from outside: requests come through Caddy."""
    if not machine.facts.get("ssh_connection"):  # this machine is the host, which can reach its own loopback
        return
    assert closed_to_outside(outside, machine, params.port), (
        f"port {params.port} answers from outside, without Caddy and without TLS; "
        "look at: docker ps (its published address), ufw status, iptables -S DOCKER-USER"
    )


def test_reachable_for_caddy_alone(machine: Host, params: Params) -> None:
    """Of the other hosts, only hosts with Caddy can reach it."""
    callers = {peer.name for peer in proxies(machine)}
    others = [peer for peer in machine.group("all") if peer.name != machine.name]
    for name, state in views(others, machine.address, params.port).items():
        if name in callers:
            assert state == "open", (
                f"Caddy on {name} cannot reach {machine.address}:{params.port} ({state}); look at: ufw status here"
            )
        else:
            assert state != "open", (
                f"{name} reaches {machine.address}:{params.port} without Caddy; look at: ufw status here"
            )


def test_settings_are_private(host: Any, machine: Host) -> None:
    """Only root can read its settings, which may contain secrets."""
    path = f"/opt/{machine.role.name}/.env"
    current = host.run("stat -c '%%U %%a' %s", path).stdout.strip()
    assert current == "root 600", (
        f"{path} has owner and mode {current or '(missing)'}, not root 600; run orchestr again"
    )


def test_secret_files_are_private(host: Any, machine: Host, params: Params) -> None:
    """Only its user can read the secrets that it reads from files."""
    owner = (params.user or "0").partition(":")[0]
    for name in params.secret_files:
        current = host.run("stat -c '%%u %%a' %s", f"/opt/{machine.role.name}/secrets/{name}").stdout.strip()
        assert current == f"{owner} 600", (
            f"the secret {name} has owner and mode {current or '(missing)'}, not {owner} 600; run orchestr again"
        )
