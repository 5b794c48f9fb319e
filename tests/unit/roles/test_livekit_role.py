"""What LiveKit nodes get: a configuration the real server takes, ports for who needs them, secrets in one place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.probes import HttpAnswer, TcpAnswer
from tests.unit.roles.conftest import API_SECRET, REDIS_PASSWORD, ROOT, Planned

CONFIG = "/opt/livekit/livekit.yaml"
NODES = {"lab2": "192.168.56.12", "lab3": "192.168.56.13", "lab4": "192.168.56.14"}


@pytest.fixture
def strict() -> Iterator[Callable[[str], Any]]:
    """Read a configuration as livekit-server does: unknown keys and wrong kinds are refused."""
    places = [str(ROOT / "tests/lab/images" / name) for name in ("shared", "livekit-standin")]
    sys.path[:0] = places
    from livekit_standin.config import load

    yield lambda text: load(None, {"LIVEKIT_CONFIG": text})
    for place in places:
        sys.path.remove(place)


@pytest.mark.parametrize("host", NODES)
def test_the_server_takes_the_configuration(distributed: Planned, strict: Callable[[str], Any], host: str) -> None:
    """livekit.yaml has only keys the server knows, of their kinds, and says what the inventory says."""
    config = strict(distributed.text(host, CONFIG))
    assert (config.port, config.tcp_port, config.udp_ports) == (7880, 7881, (50000, 50100))
    assert config.node_ip == NODES[host]
    assert config.keys == {"labkey": API_SECRET}
    assert (config.redis.address, config.redis.password) == ("192.168.56.12:6379", REDIS_PASSWORD)
    assert (config.webhook_key, config.webhook_urls) == ("labkey", ("http://192.168.56.11:8081/api/webhook",))


def test_every_optional_part_is_understood_too(changed: Callable[..., Planned], strict: Callable[[str], Any]) -> None:
    """With TURN, a region, metrics, more keys and limits set the server still knows every key."""
    planned = changed(
        livekit_turn_enabled=True,
        livekit_turn_domain="turn.lab.test",
        livekit_turn_tls_port=5349,
        livekit_turn_certificate="PEM",
        livekit_turn_private_key="KEY",
        livekit_region="eu: west",
        livekit_prometheus_port=6789,
        livekit_max_participants=50,
        livekit_more_keys={"second": "s" * 40},
        livekit_webhook_api_key="second",
    )
    config = strict(planned.text("lab3", CONFIG))
    assert config.turn["cert_file"] == "/etc/livekit/turn.crt"
    assert (config.turn["tls_port"], config.prometheus_port, config.region) == (5349, 6789, "eu: west")
    assert (set(config.keys), config.webhook_key) == ({"labkey", "second"}, "second")
    assert planned.resource("lab3", "/opt/livekit/turn.key").mode == 0o600


def test_a_secret_with_quotes_and_hashes_arrives_whole(changed: Callable[..., Planned]) -> None:
    """A secret may hold what YAML takes for syntax."""
    awkward = "a\"b'c: d #e {f} %g \\n &h *i" + "x" * 32
    planned = changed(lambda every: every["vars"].update(livekit_api_secret=awkward))
    assert planned.yaml("lab2", CONFIG)["keys"] == {"labkey": awkward}


def test_secrets_stand_in_one_private_file(distributed: Planned) -> None:
    """The API secret and Redis' password are in livekit.yaml (0600) and in no other text a LiveKit node gets."""
    config = distributed.resource("lab3", CONFIG)
    assert (config.mode, config.owner) == (0o600, "root")
    others = [task for task in distributed.tasks("lab3") if task.resource.label != CONFIG]
    for secret in (API_SECRET, REDIS_PASSWORD):
        assert secret not in repr(config)
        assert not [task.id for task in others if secret in repr(task) or secret in revealed(task.resource)]


def revealed(resource: Any) -> str:
    content = getattr(resource, "content", "")
    return content.reveal() if hasattr(content, "reveal") else str(content)


def test_it_shares_the_hosts_network_and_publishes_nothing(distributed: Planned) -> None:
    """The container is on the host's network; a published UDP range would bring Docker down."""
    service = distributed.yaml("lab3", "/opt/livekit/compose.yaml")["services"]["livekit"]
    assert service["network_mode"] == "host"
    assert "ports" not in service


def test_it_reads_nothing_from_the_environment(distributed: Planned) -> None:
    """No environment is set: a portless REDIS_HOST in it would win over the file and break the node."""
    service = distributed.yaml("lab3", "/opt/livekit/compose.yaml")["services"]["livekit"]
    assert not {"environment", "env_file"} & set(service)


def test_a_stop_waits_for_calls_to_end(changed: Callable[..., Planned]) -> None:
    """Whoever stops the container grants the drain its time, hours by default."""
    service = changed(livekit_drain_timeout_s=7200).yaml("lab3", "/opt/livekit/compose.yaml")["services"]["livekit"]
    assert service["stop_grace_period"] == "7200s"


def test_signalling_is_for_caddy_and_media_for_everyone(distributed: Planned) -> None:
    """7880 is open to Caddy's host alone; 7881 and the UDP range to all; nothing else."""
    assert distributed.ports("livekit", "lab3") == {
        ("7880", "tcp"): ("192.168.56.11",),
        ("7881", "tcp"): (),
        ("50000:50100", "udp"): (),
    }


def test_turn_opens_its_ports_only_when_it_is_on(changed: Callable[..., Planned]) -> None:
    """TURN's ports are closed by default; relays are for the other nodes, from where browsers' media comes."""
    assert not {"3478", "5349", "30000:40000"} & {port for port, _ in changed().ports("livekit", "lab3")}
    ports = changed(livekit_turn_enabled=True).ports("livekit", "lab3")
    assert ports[("3478", "udp")] == ()
    assert ports[("30000:40000", "udp")] == ("192.168.56.12", "192.168.56.14")
    assert ("5349", "tcp") not in ports


def test_a_node_starts_after_its_redis_and_is_awaited(distributed: Planned) -> None:
    """Before the container stands the wait for Redis, after it the wait for a 200: the next node comes then."""
    tasks = [task.resource for task in distributed.tasks("lab3")]
    project = next(number for number, each in enumerate(tasks) if isinstance(each, ComposeProject))
    assert [each.label for each in tasks[:project] if isinstance(each, TcpAnswer)] == ["192.168.56.12:6379"]
    assert [each.label for each in tasks[project:] if isinstance(each, HttpAnswer)] == ["http://192.168.56.13:7880/"]


def test_nodes_come_one_at_a_time_and_a_failure_stops_the_rest(distributed: Planned) -> None:
    """The play is serial with an immediate stop."""
    play = next(play for play in distributed.run.playbook.plays if play.name == "livekit")
    assert play.batches(list(NODES)) == [["lab2"], ["lab3"], ["lab4"]]
    assert play.any_errors_fatal


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"livekit_api_secret": "short"}, "livekit_api_secret: the secret has fewer than 32 characters"),
        ({"livekit_webhook_api_key": "other"}, "livekit_webhook_api_key must be one of the API keys (labkey)"),
        ({"livekit_udp_port_end": 40000, "livekit_udp_port_start": 50000}, "livekit_udp_port_end is below"),
        ({"livekit_udp_port_end": 70000}, "less than or equal to 65535, found 70000"),
        ({"livekit_port": "http"}, "livekit_port: expected an integer"),
        ({"livekit_redis_address": "192.168.56.12"}, "'192.168.56.12' has no port: write HOST:PORT"),
        ({"livekit_redis_sentinel_master_name": "calls"}, "livekit_redis_sentinel_master_name are set together"),
        (
            {
                "livekit_redis_sentinel_addresses": ["10.0.0.2:26379"],
                "livekit_redis_sentinel_master_name": "calls",
                "livekit_redis_address": "10.0.0.2:6379",
            },
            "livekit_redis_address is the address of one Redis, and Sentinels are set",
        ),
        ({"livekit_redis_sentinel_addresses": ["10.0.0.2"]}, "'10.0.0.2' has no port: write HOST:PORT"),
        ({"livekit_webhook_urls": ["live.lab.test/api"]}, "is not an address such as https://example.com/api/webhook"),
        ({"livekit_api_key": "two words"}, "a key may have only letters, digits, - and _"),
        ({"livekit_turn_enabled": True, "livekit_turn_tls_port": 5349}, "TURN over TLS needs livekit_turn_domain"),
        ({"livekit_image": "livekit/livekit-server:v1.7.2"}, "LiveKit 1.7.2 is not known; the oldest is 1.8.4"),
        ({"livekit_version": "newest"}, "'newest' is not a version such as 1.13.5"),
        ({"livekit_version": "1.13.4"}, "livekit_version is 1.13.4, and the tag of livekit_image says another"),
        ({"livekit_turn_relays_per_user": 5}, "livekit_turn_relays_per_user is a setting of LiveKit 1.13.6 and later"),
        ({"livekit_turn_enabled": True, "livekit_image": "livekit:latest"}, "does not say the version"),
        ({"livekit_turn_enabled": True, "livekit_image": "livekit/livekit-server:v1"}, "does not say the version"),
        (
            {"livekit_turn_ttl_s": 60, "livekit_image": "livekit/livekit-server:v1.11.0"},
            "livekit_turn_ttl_s is a setting of LiveKit 1.12.0 and later",
        ),
        ({"livekit_turn_deny_peer_cidrs": ["10.0.0.1/8"]}, "'10.0.0.1/8' is not a network such as 10.0.0.0/8"),
        ({"livekit_prometheus_username": "p"}, "livekit_prometheus_username and livekit_prometheus_password are set"),
        ({"livekit_node_ip": "media.lab.test"}, "'media.lab.test' is not an IP address, and LiveKit takes no name"),
        ({"livekit_udp_port_stop": 5}, "did you mean 'livekit_udp_port_start'"),
        ({"livekit_tcp_prot": 5}, "did you mean 'livekit_tcp_port'"),
    ],
)
def test_wrong_parameters_are_refused(refusal: Callable[..., str], variables: dict[str, Any], said: str) -> None:
    """Each wrong or unknown parameter is named in plain words before anything is connected; no secret is shown."""
    message = refusal(**variables)
    assert said in message
    assert "'short'" not in message


def test_keys_are_the_same_on_all_nodes(refusal: Callable[..., str]) -> None:
    """Nodes with different secrets would refuse each other's participants; that is bad input."""
    other = {"livekit_api_secret": "another-secret-of-32-characters-or-more"}
    said = refusal(lambda every: every["hosts"]["lab4"].update(other))
    assert "lab2 and lab4 are nodes of one LiveKit cluster, and their API keys differ" in said
    assert "another-secret" not in said


def test_versions_are_the_same_on_all_nodes(refusal: Callable[..., str]) -> None:
    """One cluster runs one version."""
    said = refusal(lambda every: every["hosts"]["lab3"].update(livekit_image="livekit/livekit-server:v1.9.0"))
    assert "their livekit_image differ" in said


def test_without_a_redis_there_is_no_cluster(refusal: Callable[..., str]) -> None:
    """Nodes that would share nothing are refused, with what to set."""
    said = refusal(lambda every: every["children"].pop("redis"))
    assert "share exactly one Redis" in said
    assert "livekit_redis_address" in said


def test_a_redis_elsewhere_needs_no_redis_of_ours(changed: Callable[..., Planned]) -> None:
    """livekit_redis_address takes the place of the role redis."""
    planned = changed(
        lambda every: every["children"].pop("redis"),
        livekit_redis_address="10.9.9.9:6380",
        livekit_redis_password="elsewhere",
    )
    assert planned.yaml("lab2", CONFIG)["redis"] == {"address": "10.9.9.9:6380", "password": "elsewhere"}


def test_sentinels_say_where_the_redis_is(changed: Callable[..., Planned], strict: Callable[[str], Any]) -> None:
    """The server asks them for the primary; one of them may be away when a node starts, so none is waited for."""
    planned = changed(
        lambda every: every["children"].pop("redis"),
        livekit_redis_sentinel_addresses=["10.9.9.1:26379", "10.9.9.2:26379"],
        livekit_redis_sentinel_master_name="calls",
        livekit_redis_sentinel_password="sentinels",
        livekit_redis_password="elsewhere",
    )
    assert planned.yaml("lab2", CONFIG)["redis"] == {
        "sentinel_master_name": "calls",
        "sentinel_addresses": ["10.9.9.1:26379", "10.9.9.2:26379"],
        "sentinel_password": "sentinels",
        "password": "elsewhere",
    }
    strict(planned.text("lab2", CONFIG))
    assert not [task for task in planned.tasks("lab2") if isinstance(task.resource, TcpAnswer)]


def test_a_found_address_is_not_set_as_well(changed: Callable[..., Planned]) -> None:
    """With use_external_ip the node asks STUN; a fixed node_ip beside it would be announced instead."""
    rtc = changed(livekit_use_external_ip=True).yaml("lab2", CONFIG)["rtc"]
    assert (rtc["use_external_ip"], "node_ip" in rtc) == (True, False)


RELAYING = {"livekit_turn_enabled": True}


def turn_of(planned: Planned, host: str = "lab3") -> dict[str, Any]:
    turn: dict[str, Any] = planned.yaml(host, CONFIG)["turn"]
    return turn


def test_relays_may_reach_the_nodes_own_media_and_no_other_private_address(changed: Callable[..., Planned]) -> None:
    """From 1.12 on relays reach no private address unasked; without it nobody could join by relays only."""
    assert turn_of(changed(**RELAYING))["allow_restricted_peer_cidrs"] == ["192.168.56.13/32"]
    elsewhere = changed(**RELAYING, livekit_node_ip="10.1.2.3")
    assert turn_of(elsewhere)["allow_restricted_peer_cidrs"] == ["10.1.2.3/32"]
    public = changed(**RELAYING, livekit_node_ip="198.51.101.7")
    assert "allow_restricted_peer_cidrs" not in turn_of(public)
    wide = changed(**RELAYING, livekit_turn_allow_restricted_peer_cidrs=["192.168.56.0/24"])
    assert turn_of(wide)["allow_restricted_peer_cidrs"] == ["192.168.56.0/24"]
    none = changed(**RELAYING, livekit_turn_allow_restricted_peer_cidrs=[])
    assert "allow_restricted_peer_cidrs" not in turn_of(none)


@pytest.mark.parametrize("image", ["v1.8.4", "v1.8", "v1.11.0"])
def test_versions_before_the_restriction_get_no_key_they_do_not_know(
    changed: Callable[..., Planned], image: str
) -> None:
    """Their YAML is strict: with an unknown key they do not start."""
    older = changed(**RELAYING, livekit_image=f"livekit/livekit-server:{image}")
    assert "allow_restricted_peer_cidrs" not in turn_of(older)


@pytest.mark.parametrize(
    "image",
    [
        {"livekit_image": "livekit/livekit-server:v1.12"},
        {"livekit_image": "registry.lab:5000/livekit:1.13.5-ours@sha256:" + "a" * 64},
        {"livekit_image": "registry.lab:5000/livekit:ours", "livekit_version": "1.12.0"},
        {"livekit_image": "livekit/livekit-server:latest", "livekit_version": "v2.0"},
    ],
)
def test_the_version_is_read_from_the_tag_or_said(changed: Callable[..., Planned], image: dict[str, str]) -> None:
    """A tag of ours, a digest or ``latest`` needs livekit_version."""
    assert "allow_restricted_peer_cidrs" in turn_of(changed(**RELAYING, **image))


def test_settings_of_newer_versions_are_written(changed: Callable[..., Planned]) -> None:
    """Each under upstream's name; metrics have their password."""
    planned = changed(
        **RELAYING,
        livekit_turn_ttl_s=600,
        livekit_turn_deny_peer_cidrs=["10.0.0.0/8"],
        livekit_prometheus_port=6789,
        livekit_prometheus_username="prometheus",
        livekit_prometheus_password="p: w",
    )
    assert turn_of(planned)["ttl_seconds"] == 600
    assert turn_of(planned)["deny_peer_cidrs"] == ["10.0.0.0/8"]
    metrics = {"port": 6789, "username": "prometheus", "password": "p: w"}
    assert planned.yaml("lab3", CONFIG)["prometheus"] == metrics


def test_a_new_node_changes_nothing_on_the_others(changed: Callable[..., Planned]) -> None:
    """With TURN too: a node that is added restarts none."""
    alone = changed(lambda every: every["children"]["livekit"]["hosts"].pop("lab4"), **RELAYING)
    assert alone.text("lab2", CONFIG) == changed(**RELAYING).text("lab2", CONFIG)
