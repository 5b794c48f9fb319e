"""One LiveKit node behind Caddy on real machines: brought about, left alone, and put right where it drifted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.lab.cluster import (
    CADDY,
    LIVEKIT,
    REDIS,
    SINGLE,
    WEBAPP,
    Container,
    Done,
    Orchestr,
    container,
    upstreams,
    wait_until,
)
from tests.lab.conftest import ssh
from tests.lab.participant import Participant, ask

NODES = ["lab1", "lab2", "lab5"]
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
    """A participant joins through Caddy over TLS, and LiveKit's signed webhook reaches the application."""
    room = secrets.token_hex(4)
    with Participant(room, "ada") as ada:
        assert ada.welcome["participants"] == ["ada"]
        ada.socket.connection.send("hello")
        assert ada.next_text() == "hello"
        wait_until(lambda: ("participant_joined", room) in webhooks(), "the application heard of nobody joining")
    wait_until(lambda: ("room_finished", room) in webhooks(), "the application did not hear that the room is empty")


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


def test_a_refused_caddyfile_leaves_the_old_one_in_use(orchestr: Orchestr) -> None:
    """A Caddyfile that Caddy refuses fails its task with Caddy's words; Caddy goes on with what it had."""
    before, serving = container("lab1", CADDY), upstreams()
    with Participant(secrets.token_hex(4), "ada", holding=True) as ada:
        done = orchestr("run", SINGLE, "-e", '{"caddy_spare_upstreams": ["192.168.56.13:99999"]}')
        assert done.exit == 1
        ((host, message),) = done.trouble
        assert host == "lab1"
        assert "did not accept its new configuration" in message and "the old one keeps serving" in message
        assert ask("GET", "/api/events")[0] == 200
        assert (container("lab1", CADDY), upstreams()) == (before, serving)
        assert ada.broken is None
    assert orchestr.succeed("run", SINGLE).changes != []


def containers() -> dict[str, Container]:
    """Look at every container of the deployment."""
    places = {CADDY: "lab1", WEBAPP: "lab1", LIVEKIT: "lab2", REDIS: "lab2"}
    return {name: container(node, name) for name, node in places.items()}


def webhooks() -> list[tuple[str, str]]:
    """Return (event, room) of the webhooks the application took."""
    return [(event["event"], event["room"]["name"]) for event in ask("GET", "/api/events")[1]]


def diffs(done: Done) -> dict[tuple[str, str, str], str]:
    hosts = done.result["hosts"].items()
    return {(name, each["resource"], each["name"]): each["diff"] for name, host in hosts for each in host["changes"]}
