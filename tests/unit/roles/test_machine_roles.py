"""What machines get before any service: base, docker, firewall."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestr.resources.files import Directory, File, Link
from orchestr.resources.firewall.firewall import Firewall, Rule
from orchestr.resources.packages import Package
from orchestr.resources.services import Service
from orchestr.resources.sysctl import Sysctl
from tests.unit.roles.conftest import Planned, label

EVERYONE: tuple[str, ...] = ()


def rules(planned: Planned, host: str) -> dict[tuple[str, str], Rule]:
    """Return the rules of a host's firewall by port and protocol."""
    (firewall,) = planned.resources(host, Firewall)
    return {(str(rule.port), rule.protocol): rule for rule in firewall.rules}


# -- base -------------------------------------------------------------------------------------------------------------
def test_base_alone_is_two_packages(single: Planned) -> None:
    """A machine without a part gets nothing but them."""
    assert [label(task.resource) for task in single.tasks("lab5")] == ["package:ca-certificates curl"]


def test_base_does_what_it_is_asked(changed: Callable[..., Planned]) -> None:
    """A time zone (with the package it needs), kernel settings and directories."""
    planned = changed(
        base_timezone="Asia/Shanghai", base_sysctl={"vm.swappiness": 1}, base_directories={"/srv/data": "0750"}
    )
    assert planned.resources("lab5", Package) == [Package(("ca-certificates", "curl", "tzdata"))]
    assert planned.resources("lab5", Link) == [Link("/etc/localtime", "/usr/share/zoneinfo/Asia/Shanghai")]
    assert planned.resources("lab5", File) == [File("/etc/timezone", "Asia/Shanghai\n")]
    assert planned.resources("lab5", Sysctl) == [Sysctl("vm.swappiness", 1)]
    assert planned.resources("lab5", Directory) == [Directory("/srv/data", mode=0o750)]


# -- docker -----------------------------------------------------------------------------------------------------------
def test_the_engine_uses_the_settings_it_is_given(changed: Callable[..., Planned]) -> None:
    """daemon.json bounds the logs, keeps containers over a restart, holds what else is asked for, and is in use."""
    planned = changed(docker_log_max_size="50m", docker_daemon={"userland-proxy": False, "live-restore": False})
    assert json.loads(planned.text("lab2", "/etc/docker/daemon.json")) == {
        "log-driver": "json-file",
        "log-opts": {"max-size": "50m", "max-file": "3"},
        "live-restore": False,
        "userland-proxy": False,
    }
    services = [each for each in planned.resources("lab2", Service) if each.name == "docker"]
    assert [each.config for each in services] == [("/etc/docker/daemon.json",)]


def test_a_bystander_gets_no_docker(distributed: Planned) -> None:
    """Machines without a container get neither an engine nor a firewall."""
    assert not [task.id for task in distributed.tasks("lab5") if task.id.startswith(("docker/", "firewall/"))]


# -- firewall ---------------------------------------------------------------------------------------------------------
def test_the_firewall_holds_what_all_roles_of_the_host_need(distributed: Planned) -> None:
    """The first LiveKit node lets in media from everyone, signalling from Caddy, Redis' clients; nobody else."""
    assert {key: rule.sources for key, rule in rules(distributed, "lab2").items()} == {
        ("6379", "tcp"): ("192.168.56.13", "192.168.56.14"),
        ("7880", "tcp"): ("192.168.56.11",),
        ("7881", "tcp"): EVERYONE,
        ("50000:50100", "udp"): EVERYONE,
    }


def test_the_site_is_open_and_the_application_is_not(distributed: Planned) -> None:
    """On Caddy's host 80 and 443 are open, the webhooks' way in is for LiveKit's hosts, 8080 has no rule at all."""
    assert {key: rule.sources for key, rule in rules(distributed, "lab1").items()} == {
        ("80", "tcp"): EVERYONE,
        ("443", "tcp"): EVERYONE,
        ("443", "udp"): EVERYONE,
        ("8081", "tcp"): ("192.168.56.12", "192.168.56.13", "192.168.56.14"),
    }


def test_further_rules_may_name_groups_hosts_and_networks(changed: Callable[..., Planned]) -> None:
    """Groups and hosts become addresses; a single source needs no list; ``from`` may be missing."""
    planned = changed(
        firewall_rules=[
            {"port": 9100, "from": ["livekit", "lab5", "10.0.0.0/8"], "comment": "metrics"},
            {"port": "8000:8010", "protocol": "udp", "from": "2001:db8::/32"},
            {"port": 25, "action": "deny"},
        ]
    )
    found = rules(planned, "lab1")
    nodes = ("192.168.56.12", "192.168.56.13", "192.168.56.14")
    assert found["9100", "tcp"] == Rule(9100, sources=(*nodes, "192.168.56.15", "10.0.0.0/8"), comment="metrics")
    assert found["8000:8010", "udp"].sources == ("2001:db8::/32",)
    assert (found["25", "tcp"].action, found["25", "tcp"].sources) == ("deny", EVERYONE)


def test_ssh_can_be_narrowed(changed: Callable[..., Planned]) -> None:
    """firewall_ssh_from is a rule for the port that the connection really uses; without it there is none."""
    planned = changed(firewall_ssh_from=["10.1.0.0/16"])
    assert rules(planned, "lab1")["22", "tcp"].sources == ("10.1.0.0/16",)
    planned.run.context.facts["lab1"] = {"ssh_connection": "10.1.0.9 50022 192.168.56.11 2222"}
    assert ("2222", "tcp") in rules(planned, "lab1")
    assert not [port for port, _ in rules(changed(), "lab1") if port in ("22", "2222")]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"base_timezone": "/etc/shadow"}, "expected a name of the time zone database"),
        ({"base_directories": {"srv": "0750"}}, "srv is not an absolute path"),
        ({"base_directories": {"/srv": "rwx"}}, "'rwx' is not a mode"),
        ({"base_directories": {"/srv": 644}}, "mode 644 is 01204 in octal: write 0o644"),
        ({"base_packages": ["acl-"]}, "apt reads NAME- as 'remove NAME'"),
        ({"base_sysctl": {"net.*": 1}}, "'net.*' is not a name of one kernel setting"),
        ({"docker_log_max_size": "ten"}, "expected a size such as 10m"),
        ({"docker_log_maxsize": "1m"}, "did you mean 'docker_log_max_size'"),
        ({"firewall_rules": [{"port": 70000}]}, "firewall_rules[0].port: port 70000 is not between 1 and 65535"),
        ({"firewall_rules": [{"port": 80, "comment": "our 'own'"}]}, "holds a quote"),
        ({"firewall_rules": [{"port": 80, "form": "any"}]}, "firewall_rules[0].form"),
        ({"firewall_rules": [{"port": 80, "from": ["livekitt"]}]}, "did you mean 'livekit'"),
        ({"firewall_published": "drop"}, "firewall_published: expected 'deny' or 'ignore'"),
    ],
)
def test_wrong_parameters_are_refused(refusal: Callable[..., str], variables: dict[str, Any], said: str) -> None:
    """Each is named in plain words, before anything is connected."""
    assert said in refusal(**variables)
