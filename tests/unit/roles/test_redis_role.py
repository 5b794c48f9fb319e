"""What Redis gets: a password from day one, and a way in for exactly the hosts that need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.roles.conftest import REDIS_PASSWORD, Planned

CONFIG = "/opt/redis/redis.conf"


def settings(text: str) -> dict[str, str]:
    """Return redis.conf's settings (redis.conf: ``keyword argument …``, # for comments)."""
    lines = (line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {words[0]: words[1] for words in lines}


def test_only_the_other_nodes_are_let_in(single: Planned, distributed: Planned) -> None:
    """On one machine nobody is let in from elsewhere; on three, exactly the two other LiveKit nodes."""
    assert single.ports("redis", "lab2") == {}
    assert distributed.ports("redis", "lab2") == {("6379", "tcp"): ("192.168.56.13", "192.168.56.14")}


def test_named_clients_take_the_place_of_the_nodes(changed: Callable[..., Planned]) -> None:
    """redis_clients names groups, hosts and networks; an empty list lets nobody in."""
    sources = changed(redis_clients=["caddy", "lab5", "10.0.0.0/8"]).ports("redis", "lab2")[("6379", "tcp")]
    assert sources == ("192.168.56.11", "192.168.56.15", "10.0.0.0/8")
    assert changed(redis_clients=[]).ports("redis", "lab2") == {}


def test_it_asks_for_a_password_and_listens_where_it_must(distributed: Planned) -> None:
    """The password is in force, and the addresses are loopback and the private one, not all."""
    found = settings(distributed.text("lab2", CONFIG))
    assert (found["requirepass"], found["bind"], found["port"]) == (REDIS_PASSWORD, "127.0.0.1 192.168.56.12", "6379")


def test_the_password_stands_in_its_file_alone(single: Planned) -> None:
    """redis.conf is 0600 and Redis' own; the password is in no command, compose file or probe."""
    config = single.resource("lab2", CONFIG)
    assert (config.mode, config.owner) == (0o600, "999")
    assert REDIS_PASSWORD not in repr(single.tasks("lab2"))
    assert REDIS_PASSWORD not in single.text("lab2", "/opt/redis/compose.yaml")


def test_it_publishes_no_port(distributed: Planned) -> None:
    """It is on the host's network, where the firewall filters; a published port would bypass it."""
    service = distributed.yaml("lab2", "/opt/redis/compose.yaml")["services"]["redis"]
    assert (service["network_mode"], "ports" in service) == ("host", False)


def test_growing_changes_nothing_of_redis_itself(single: Planned, distributed: Planned) -> None:
    """Its configuration and container are the same before and after the other nodes come: no restart."""
    for path in (CONFIG, "/opt/redis/compose.yaml"):
        assert single.text("lab2", path) == distributed.text("lab2", path)


def test_a_second_one_is_refused(refusal: Callable[..., str]) -> None:
    """Two hosts in the group redis would be two empty clusters; that is bad input."""
    said = refusal(lambda every: every["children"]["redis"]["hosts"].update({"lab3": None}))
    assert "the role redis is a single Redis, but 2 hosts have it: lab2, lab3" in said


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"redis_password": "short"}, "redis_password: the password has fewer than 16 characters"),
        ({"redis_password": "long enough but with spaces"}, "no space, quote or backslash"),
        ({"redis_port": 0}, "greater than or equal to 1, found 0"),
        ({"redis_clients": ["livekti"]}, "did you mean 'livekit'"),
        ({"redis_pasword": "x" * 16}, "did you mean 'redis_password'"),
    ],
)
def test_wrong_parameters_are_refused(refusal: Callable[..., str], variables: dict[str, Any], said: str) -> None:
    """Each wrong or unknown parameter is named in plain words; no password is shown."""
    message = refusal(**variables)
    assert said in message
    assert "long enough" not in message
