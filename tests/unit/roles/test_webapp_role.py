"""What the user's own service gets: its settings whole, its secrets private, a port that only Caddy reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestr.resources.env_files import EnvFile
from orchestr.resources.probes import HttpAnswer
from orchestr.secret import Secret
from tests.unit.roles.conftest import API_SECRET, Planned, text_of

COMPOSE = "/opt/webapp/compose.yaml"


def test_its_settings_are_the_inventorys(distributed: Planned) -> None:
    """The .env holds what webapp_env says, templates rendered, in a form compose reads back; 0600."""
    (env,) = distributed.resources("lab1", EnvFile)
    assert {key: text_of(value) for key, value in env.variables} == {
        "DOMAIN": "live.lab.test",
        "BIND_ADDRESS": "0.0.0.0",
        "LIVEKIT_URL": "wss://live.lab.test",
        "LIVEKIT_API_KEY": "labkey",
        "LIVEKIT_API_SECRET_FILE": "/run/secrets/livekit_api_secret",
    }
    assert (env.path, env.reader, env.mode) == ("/opt/webapp/.env", "compose", 0o600)


def test_a_secret_that_is_built_in_stays_one(changed: Callable[..., Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the environment, and a value a template makes of it, are in no printed plan."""
    monkeypatch.setenv("CANARY", "canary-4711")

    planned = changed(
        lambda every: every["children"]["webapp"]["vars"].update(
            webapp_env={"DSN": "postgres://app:{{ token }}@db/app", "TOKEN": "{{ token }}"}
        ),
        token=Secret("canary-4711"),
    )
    (env,) = planned.resources("lab1", EnvFile)
    assert {key: text_of(value) for key, value in env.variables} == {
        "DSN": "postgres://app:canary-4711@db/app",
        "TOKEN": "canary-4711",
    }
    assert "canary-4711" not in repr(planned.tasks("lab1"))


def test_secrets_come_as_private_files(distributed: Planned) -> None:
    """A secret file is 0600, mounted read-only, and its content is nowhere else on Caddy's host."""
    path = "/opt/webapp/secrets/livekit_api_secret"
    file = distributed.resource("lab1", path)
    assert (text_of(file.content), file.mode) == (API_SECRET, 0o600)
    service = distributed.yaml("lab1", COMPOSE)["services"]["webapp"]
    assert f"{path}:/run/secrets/livekit_api_secret:ro" in str(service["volumes"]) + flattened(service["volumes"])
    assert API_SECRET not in repr(distributed.tasks("lab1"))


def flattened(volumes: list[Any]) -> str:
    """Return volumes in compose's long form as the short one."""
    long = [each for each in volumes if isinstance(each, dict)]
    return " ".join(f"{each['source']}:{each['target']}{':ro' if each.get('read_only') else ''}" for each in long)


def test_beside_caddy_it_is_published_on_loopback(distributed: Planned) -> None:
    """On Caddy's own host the port is published on loopback and needs no rule."""
    ports = distributed.yaml("lab1", COMPOSE)["services"]["webapp"]["ports"]
    assert [str(port) if isinstance(port, str) else f"{port['host_ip']}:{port['published']}" for port in ports] in (
        ["127.0.0.1:8080:8080"],
        ["127.0.0.1:8080"],
    )
    assert distributed.ports("webapp", "lab1") == {}


def test_on_another_host_only_caddy_is_let_in(changed: Callable[..., Planned]) -> None:
    """Moved to lab5, it listens on the private address, its port is for Caddy's host, and Caddy is told where it is."""

    def to_lab5(every: dict[str, Any]) -> None:
        every["children"]["webapp"]["hosts"] = {"lab5": None}

    planned = changed(to_lab5)
    assert planned.ports("webapp", "lab5") == {("8080", "tcp"): ("192.168.56.11",)}
    assert "192.168.56.15:8080" in planned.text("lab5", COMPOSE)
    assert "reverse_proxy 192.168.56.15:8080" in planned.text("lab1", "/opt/caddy/etc/Caddyfile")


def test_it_is_awaited_by_its_health_path(distributed: Planned) -> None:
    """The deploy ends when its health path answers 200."""
    gates = [each for each in distributed.resources("lab1", HttpAnswer) if "8080" in each.url]
    assert [(gate.url, gate.status) for gate in gates] == [("http://127.0.0.1:8080/healthz", 200)]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"webapp_health_path": "healthz"}, "expected a path such as /healthz"),
        ({"webapp_user": "www-data"}, "expected numbers, such as 1000 or 1000:1000"),
        ({"webapp_secret_files": {"../x": "y"}}, "'../x' is not a file name"),
        ({"webapp_port": "eighty"}, "webapp_port: expected an integer"),
        ({"webapp_envs": {}}, "did you mean 'webapp_env'"),
    ],
)
def test_wrong_parameters_are_refused(refusal: Callable[..., str], variables: dict[str, Any], said: str) -> None:
    """Each wrong or unknown parameter is named in plain words before anything is connected."""
    assert said in refusal(**variables)
