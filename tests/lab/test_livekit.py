"""One LiveKit node behind Caddy on real machines: brought about, left alone, and put right where it drifted."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.call import Call
from tests.lab.cluster import (
    CADDY,
    LIVEKIT,
    REDIS,
    SINGLE,
    SITE,
    WEBAPP,
    Container,
    Done,
    Orchestr,
    container,
    upstreams,
    wait_until,
)
from tests.lab.conftest import ssh
from tests.lab.site import ask, delete_room, site, webhooks

NODES = ["lab1", "lab2", "lab5"]
pytestmark = pytest.mark.usefixtures("real_livekit")
#: The one task that has to find a drift → (host, how it came about, what a diff has to show).
DRIFTS = {
    ("lab1", "env_file", "/opt/webapp/.env"): (
        "sed -i s/0.0.0.0/127.0.0.9/ /opt/webapp/.env",
        ("- BIND_ADDRESS", "+ BIND_ADDRESS"),
    ),
    ("lab2", "firewall", "host"): ("ufw delete allow 7881/tcp", ("+ ", "7881")),
    ("lab2", "compose_project", "redis"): (f"docker stop {REDIS}", ("- redis: exited", "+ redis: running")),
    ("lab1", "file", "/opt/caddy/etc/Caddyfile"): (
        "chmod 644 /opt/caddy/etc/Caddyfile",
        ("- mode: 0644", "+ mode: 0600"),
    ),
}


@pytest.fixture(scope="module")
def orchestr(tmp_path_factory: pytest.TempPathFactory, bare: list[str]) -> Orchestr:
    return Orchestr(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module", autouse=True)
def first(orchestr: Orchestr) -> Done:
    """The first run, from bare machines."""
    done = orchestr("run", SINGLE)
    assert done.exit == 0, done.errors + done.output[-4000:]
    return done


@pytest.fixture(autouse=True)
def converged(orchestr: Orchestr) -> Iterator[None]:
    """Leave the machines as the inventory says, whatever a test did."""
    yield
    orchestr.succeed("run", SINGLE)


def test_bare_machines_become_what_the_inventory_says(first: Done) -> None:
    """One command on bare machines changes those that have a part, and leaves the bystander alone."""
    changed = {name: host["changed"] > 0 for name, host in first.result["hosts"].items()}
    assert changed == {"lab1": True, "lab2": True, "lab5": False}


def test_a_second_run_changes_nothing(orchestr: Orchestr) -> None:
    """Running again changes nothing on any host, restarts nothing, and a plan has nothing to say."""
    before = containers()
    assert orchestr.succeed("run", SINGLE).changes == []
    assert containers() == before
    plan = orchestr("plan", SINGLE)
    assert (plan.exit, plan.changes) == (0, [])
    assert {host["unknown"] for host in plan.result["hosts"].values()} == {0}


def test_verify_passes(orchestr: Orchestr) -> None:
    """The roles' own checks hold, on the hosts and from here, and there are some for every host with a part."""
    hosts = orchestr.succeed("verify", SINGLE).result["hosts"]
    outcomes = {name: {check["outcome"] for check in host["checks"]} for name, host in hosts.items()}
    assert outcomes["lab1"] == outcomes["lab2"] == {"passed"}


def test_a_room_is_joined_from_outside() -> None:
    """Two participants join through Caddy over TLS and hear each other; the application gets the webhooks."""
    with Call() as call:
        wait_until(lambda: ("participant_joined", call.room) in webhooks(), "the application heard of nobody joining")
        assert call.measure().gaps == []
    wait_until(lambda: ("participant_left", call.room) in webhooks(), "the application heard of nobody leaving")
    delete_room(call.room)
    wait_until(lambda: ("room_finished", call.room) in webhooks(), "the application heard of no room's end")


def test_drift_is_found_and_put_right_exactly(orchestr: Orchestr) -> None:
    """Four things changed by hand: a plan shows these four with diffs, a run changes these four and nothing else."""
    before = containers()
    for (host, _, _), (command, _) in DRIFTS.items():
        ssh(host, command)
    plan = orchestr("plan", SINGLE)
    assert plan.exit == 3
    assert sorted(plan.changes) == sorted(DRIFTS)
    for change, diff in diffs(plan).items():
        assert all(part in diff for part in DRIFTS[change][1]), (change, diff)
    run = orchestr.succeed("run", SINGLE)
    assert sorted(run.changes) == sorted(DRIFTS)
    after = containers()
    assert after.pop(REDIS).status == "running"
    assert after == {name: found for name, found in before.items() if name != REDIS}  # the repaired .env is no restart
    again = orchestr("plan", SINGLE)
    assert (again.exit, again.changes) == (0, [])


def test_a_rule_taken_from_the_kernel_is_found(orchestr: Orchestr) -> None:
    """A rule that ufw still lists but the kernel no longer has is a drift, and is put back."""
    ssh("lab2", "iptables -D ufw-user-input -p tcp --dport 7881 -j ACCEPT")
    plan = orchestr("plan", SINGLE)
    assert (plan.exit, plan.changes) == (3, [("lab2", "firewall", "host")])
    orchestr.succeed("run", SINGLE)
    assert "--dport 7881" in ssh("lab2", "iptables -S ufw-user-input")


def test_calls_go_on_with_a_new_caddyfile_and_with_a_refused_one(orchestr: Orchestr) -> None:
    """One that Caddy refuses fails its task with Caddy's words and Caddy keeps the old one; none breaks a call."""
    before, serving = container("lab1", CADDY), upstreams()
    with Call() as call:
        done = orchestr("run", SINGLE, "-e", '{"caddy_spare_upstreams": ["192.168.56.13:99999"]}')
        assert done.exit == 1
        ((host, message),) = done.trouble
        assert host == "lab1"
        assert "did not accept its new configuration" in message and "the old one keeps serving" in message
        assert ask("GET", "/api/events")[0] == 200
        assert (container("lab1", CADDY), upstreams()) == (before, serving)
        assert orchestr.succeed("run", SINGLE, "-e", "caddy_stream_close_delay_s=1234").changes != []
        assert container("lab1", CADDY).id == before.id
        heard = call.is_heard_again()
        assert (heard.longest_gap_s < 1, heard.reconnects, heard.ended) == (True, 0, []), heard


def test_calls_come_back_when_redis_does() -> None:
    """Without Redis a call loses its signalling and then its sound, and nobody joins; with it again all are back."""
    with Call() as call:
        call.reset()
        ssh("lab2", f"docker stop {REDIS}")
        try:
            wait_until(lambda: validation_status() == 503, "Caddy still sends joins to a node without Redis")
            call.wait_until(lambda heard: heard.silent_s > 1, "the sound goes on without Redis", 60)
        finally:
            ssh("lab2", f"docker start {REDIS}")
        heard = call.is_heard_again()
        print(f"without Redis: {heard}")
        assert heard.ended == [], heard
    with Call() as another:
        assert another.measure().gaps == []


def validation_status() -> int:
    """Return the status with which a join without a token is answered: 401 by LiveKit, 503 by Caddy alone."""
    connection = http.client.HTTPSConnection(SITE)
    connection.sock = site()
    connection.request("GET", "/rtc/validate")
    return connection.getresponse().status


def test_an_update_of_livekit_with_participants_that_may_use_relays_only(
    orchestr: Orchestr, older_livekit: str, tmp_path: Path
) -> None:
    """Relays carry sound on 1.8.4 and on 1.13.5 after the update; `verify` proves it, over UDP and TLS, or is red."""
    turn, older = turn_variables(tmp_path), ("-e", f"livekit_image={older_livekit}")
    orchestr.succeed("run", SINGLE, *turn, *older)
    orchestr.succeed("verify", SINGLE, *turn, *older)
    with Call(relay_only=True) as call:
        assert call.measure().gaps == []
    orchestr.succeed("run", SINGLE, *turn)
    assert orchestr.succeed("run", SINGLE, *turn).changes == []
    orchestr.succeed("verify", SINGLE, *turn)
    with Call(relay_only=True) as call:
        assert call.measure().gaps == []
    closed = ("-e", '{"livekit_turn_allow_restricted_peer_cidrs": []}')
    orchestr.succeed("run", SINGLE, *turn, *closed)
    verified = orchestr("verify", SINGLE, *turn, *closed)
    assert verified.exit == 1
    failed = [check for check in verified.result["hosts"]["lab2"]["checks"] if check["outcome"] == "failed"]
    assert len(failed) == 1 and "does not relay to the media at 192.168.56.12" in str(failed)


def turn_variables(directory: Path) -> tuple[str, str]:
    """Return the option that turns TURN on, with a certificate of its own, and metrics with a password."""
    key, certificate = directory / "turn.key", directory / "turn.crt"
    subject = ["-subj", "/CN=turn.lab.test", "-addext", "subjectAltName=DNS:turn.lab.test"]
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*words, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    variables = directory / "turn.yml"
    variables.write_text(
        yaml.safe_dump(
            {
                "livekit_turn_enabled": True,
                "livekit_turn_domain": "turn.lab.test",
                "livekit_turn_tls_port": 443,
                "livekit_turn_certificate": certificate.read_text(),
                "livekit_turn_private_key": key.read_text(),
                "livekit_prometheus_port": 6789,
                "livekit_prometheus_username": "prometheus",
                "livekit_prometheus_password": "lab-only-metrics-password",
            }
        )
    )
    return "-e", f"@{variables}"


def containers() -> dict[str, Container]:
    """Look at every container of the deployment."""
    places = {CADDY: "lab1", WEBAPP: "lab1", LIVEKIT: "lab2", REDIS: "lab2"}
    return {name: container(node, name) for name, node in places.items()}


def diffs(done: Done) -> dict[tuple[str, str, str], str]:
    hosts = done.result["hosts"].items()
    return {(name, each["resource"], each["name"]): each["diff"] for name, host in hosts for each in host["changes"]}
