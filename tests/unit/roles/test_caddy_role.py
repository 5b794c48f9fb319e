"""What Caddy gets: all nodes as upstreams, in order; reloads that keep calls; a webhooks' port for LiveKit alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from orchestr.resources.compose.project import ComposeProject
from tests.unit.roles.conftest import API_SECRET, Planned

CADDYFILE = "/opt/caddy/etc/Caddyfile"


def blocks(text: str) -> dict[str, list[str]]:
    """Return a Caddyfile's outermost blocks: what stands before the brace → its lines, unindented.

    Format: https://caddyserver.com/docs/caddyfile/concepts
    """
    found: dict[str, list[str]] = {}
    name, depth = "", 0
    for line in (line.strip() for line in text.splitlines() if not line.startswith("#")):
        if line.endswith("{"):
            depth += 1
            if depth == 1:
                name = line[:-1].strip()
                found[name] = []
                continue
        if line == "}":
            depth -= 1
        if depth:
            found[name].append(line)
    assert depth == 0, "braces do not match"
    return found


def upstreams(planned: Planned, snippet: str = "(livekit)") -> list[str]:
    lines = blocks(planned.text("lab1", CADDYFILE))[snippet]
    return next(line.split()[1:-1] for line in lines if line.startswith("reverse_proxy"))


def test_all_nodes_are_upstreams_in_order(single: Planned, distributed: Planned) -> None:
    """Caddy gets every LiveKit node in the inventory's order, and the application on loopback."""
    assert upstreams(single) == ["192.168.56.12:7880"]
    assert upstreams(distributed) == ["192.168.56.12:7880", "192.168.56.13:7880", "192.168.56.14:7880"]
    assert upstreams(distributed, "(webapp)") == ["127.0.0.1:8080"]


def test_a_spare_node_changes_nothing_when_it_comes(changed: Callable[..., Planned]) -> None:
    """With the nodes to come named as spares, the Caddyfile is the same before and after they come."""

    def without_lab4(every: dict[str, Any]) -> None:
        del every["hosts"]["lab4"], every["children"]["livekit"]["hosts"]["lab4"]

    spares = {"caddy_spare_upstreams": ["192.168.56.14:7880"]}
    before, after = changed(without_lab4, **spares), changed(**spares)
    assert before.text("lab1", CADDYFILE) == after.text("lab1", CADDYFILE)


def test_unhealthy_nodes_get_nobody(distributed: Planned) -> None:
    """Nodes are asked for their health on /, where LiveKit says 406 when it lost its Redis."""
    assert "health_uri /" in blocks(distributed.text("lab1", CADDYFILE))["(livekit)"]


@pytest.mark.parametrize(
    ("image", "version", "keeps"),
    [
        ("caddy:2.10.2", "", True),
        ("caddy:2.7.0-alpine", "", True),
        ("caddy:2.6.2", "", False),
        ("caddy:2", "", True),
        ("caddy:2", "2.6.2", False),
        ("registry.lab.test:5000/caddy:2.11", "", True),
    ],
)
def test_reloads_keep_calls_where_the_version_can(
    changed: Callable[..., Planned], image: str, version: str, keeps: bool
) -> None:
    """stream_close_delay is written from Caddy 2.7 on; an older one would refuse the whole file."""
    text = changed(caddy_image=image, caddy_version=version).text("lab1", CADDYFILE)
    assert ("stream_close_delay" in text) is keeps


def test_a_changed_caddyfile_is_reloaded_not_restarted(distributed: Planned) -> None:
    """The Caddyfile is not among the files whose change makes a new container; it has a reload."""
    (project,) = [each for each in distributed.resources("lab1", ComposeProject) if each.project == "caddy"]
    (service,) = project.all_services
    assert CADDYFILE not in (*service.config, *project.config)
    assert service.reload_files == (CADDYFILE,)
    assert service.reload_command[:2] == ("caddy", "reload")


def test_the_control_interface_is_no_port(distributed: Planned) -> None:
    """The admin endpoint is a socket within the container, and the reload uses the same one."""
    lines = blocks(distributed.text("lab1", CADDYFILE))[""]
    admin = next(line.split()[1] for line in lines if line.startswith("admin"))
    assert admin.startswith("unix//")
    (project,) = [each for each in distributed.resources("lab1", ComposeProject) if each.project == "caddy"]
    assert admin in project.all_services[0].reload_command


def test_livekits_paths_go_to_livekit_and_the_rest_to_the_application(distributed: Planned) -> None:
    """On one name, /rtc and /twirp are LiveKit's."""
    site = blocks(distributed.text("lab1", CADDYFILE))["live.lab.test"]
    assert "@livekit path /rtc /rtc/* /twirp/*" in site
    assert site.index("import livekit") < site.index("import webapp")


def test_a_name_of_its_own_for_livekit(changed: Callable[..., Planned]) -> None:
    """With caddy_livekit_domain all of that name goes to LiveKit, and none of the site's paths."""
    found = blocks(changed(caddy_livekit_domain="rtc.lab.test").text("lab1", CADDYFILE))
    assert "import livekit" in found["rtc.lab.test"]
    assert "import livekit" not in found["live.lab.test"]


def test_the_webhook_port_serves_one_path_on_the_private_address(distributed: Planned) -> None:
    """Webhooks come by plain HTTP on the private address, to one path; everything else there is 404."""
    site = blocks(distributed.text("lab1", CADDYFILE))["http://:8081"]
    assert "bind 192.168.56.11" in site
    assert "handle /api/webhook {" in site
    assert "respond 404" in site


def test_the_webhook_port_is_open_to_livekit_alone(distributed: Planned) -> None:
    """80 and 443 are for everyone, the webhooks' port for LiveKit's hosts."""
    assert distributed.ports("caddy", "lab1") == {
        ("80", "tcp"): (),
        ("443", "tcp"): (),
        ("443", "udp"): (),
        ("8081", "tcp"): ("192.168.56.12", "192.168.56.13", "192.168.56.14"),
    }


def test_a_given_certificate_is_used_and_its_key_is_private(changed: Callable[..., Planned]) -> None:
    """With caddy_tls: files, certificate and key are sent; the key is 0600 and in no other file."""
    planned = changed(caddy_tls="files", caddy_certificate="CHAIN", caddy_private_key="PRIVATE-PEM")
    assert planned.resource("lab1", "/opt/caddy/etc/site.key").mode == 0o600
    assert "tls /etc/caddy/site.crt /etc/caddy/site.key" in planned.text("lab1", CADDYFILE)
    assert "PRIVATE-PEM" not in repr(planned.tasks("lab1"))


def test_no_secret_of_livekit_reaches_caddy(distributed: Planned) -> None:
    """Caddy is told addresses, never LiveKit's keys."""
    assert API_SECRET not in distributed.text("lab1", CADDYFILE)


def test_certificates_from_an_authority(changed: Callable[..., Planned]) -> None:
    """By default certificates come from a public authority, with an address to write to."""
    found = blocks(changed(caddy_tls="acme", caddy_email="ops@example.com").text("lab1", CADDYFILE))
    assert "email ops@example.com" in found[""]
    assert not [line for line in found["(tls)"] if line.startswith("tls")]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"caddy_tls": "acme"}, "certificates from a public authority (caddy_tls: acme) need caddy_email"),
        ({"caddy_tls": "files"}, "caddy_tls: files needs caddy_certificate and caddy_private_key"),
        ({"caddy_domain": "https://live.lab.test"}, "expected a name such as live.example.com, without https://"),
        ({"caddy_domain": "live.lab.test/path"}, "without a path"),
        ({"caddy_webhook_port": 99999}, "less than or equal to 65535"),
        ({"caddy_livekit_paths": ["rtc"]}, "'rtc' is not a path such as /rtc/*"),
        ({"caddy_spare_upstreams": ["10.0.0.9"]}, "'10.0.0.9' is not HOST:PORT"),
        ({"caddy_lb_policy": "fastest"}, "caddy_lb_policy: expected 'least_conn', 'random'"),
        ({"caddy_domian": "x"}, "did you mean 'caddy_domain'"),
    ],
)
def test_wrong_parameters_are_refused(refusal: Callable[..., str], variables: dict[str, Any], said: str) -> None:
    """Each wrong or unknown parameter is named in plain words before anything is connected."""
    assert said in refusal(**variables)


def test_a_name_is_required(refusal: Callable[..., str]) -> None:
    """Without a domain the message says which variable to set."""
    said = refusal(lambda every: every["children"]["caddy"]["vars"].pop("caddy_domain"))
    assert re.search(r"the role caddy needs caddy_domain, which is not set", said)
