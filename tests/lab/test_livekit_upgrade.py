"""From one LiveKit node to three and back on real machines, with a call going on all the while."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.call import Call, Heard
from tests.lab.cluster import (
    CADDY,
    DISTRIBUTED,
    LIVEKIT,
    REDIS,
    SINGLE,
    WEBAPP,
    Container,
    Done,
    Orchestr,
    container,
    home_of,
    list_of_nodes,
    listener,
    livekit_module,
    requests_in_progress,
    upstreams,
    wait_until,
)
from tests.lab.conftest import ADDRESSES, lab, ssh
from tests.lab.site import create_room

pytestmark = pytest.mark.usefixtures("real_livekit")
ONE = {f"{ADDRESSES['lab2']}:7880"}
THREE = {f"{ADDRESSES[node]}:7880" for node in ("lab2", "lab3", "lab4")}
KEPT = {CADDY: "lab1", WEBAPP: "lab1", LIVEKIT: "lab2", REDIS: "lab2"}


@dataclass
class Story:
    """What happened, in order: one node, three upgrades of which two fail, the way back from the second one between.

    A call is going on from the start.
    """

    orchestr: Orchestr
    call: Call
    before: dict[str, Container]
    stopped: Done
    halfway: Done
    back: Done
    upgraded: Done
    seen: dict[str, set[str]]  # Caddy's upstreams after each step
    heard: Heard  # in all that time


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, bare: list[str]) -> Iterator[Story]:
    orchestr, seen = Orchestr(tmp_path_factory.mktemp("state")), {}
    orchestr.succeed("run", SINGLE)
    before = kept()
    with Call() as call:
        with listener("lab3", 7880):
            stopped = orchestr("upgrade", SINGLE, "--to", DISTRIBUTED, "--no-verify")
        seen["stopped"] = upstreams()
        ssh("lab4", "touch /opt/livekit")  # where a directory has to come
        halfway = orchestr("upgrade", SINGLE, "--to", DISTRIBUTED, "--no-verify")
        seen["halfway"] = upstreams()
        back = orchestr("rollback", halfway.result["run"], "--no-verify")
        seen["back"] = upstreams()
        ssh("lab4", "rm /opt/livekit")
        upgraded = orchestr("upgrade", SINGLE, "--to", DISTRIBUTED)
        seen["upgraded"] = upstreams()
        yield Story(orchestr, call, before, stopped, halfway, back, upgraded, seen, call.is_heard_again())


def test_a_port_that_is_taken_stops_the_upgrade_before_it_begins(story: Story) -> None:
    """Another program on a new node's port is named; nothing was changed, and Caddy kept its upstreams."""
    assert story.stopped.exit == 1
    ((host, message),) = story.stopped.trouble
    assert host == "lab3"
    assert "7880" in message and "python3" in message
    assert story.stopped.changes == []
    assert story.seen["stopped"] == ONE
    assert story.stopped.result["states"]["lab3"] == "failed, nothing changed on it"


def test_a_new_node_that_fails_never_gets_traffic(story: Story) -> None:
    """An upgrade that breaks at the second new node says how each machine stands, and Caddy knows of none of them."""
    assert story.halfway.exit == 1
    ((host, message),) = story.halfway.trouble
    assert host == "lab4" and "/opt/livekit" in message
    assert story.seen["halfway"] == ONE
    states = story.halfway.result["states"]
    assert states["lab3"].startswith("added") and states["lab4"].startswith("failed after")
    assert story.halfway.result["hosts"]["lab1"]["changed"] > 0  # its firewall; but its Caddyfile is as it was
    assert ("lab1", "caddy") not in story.halfway.finished("changed", resource="compose_project")


def test_there_is_a_way_back_from_halfway(story: Story) -> None:
    """After an upgrade that broke, rollback ends with 0: the node that was added is stopped, Caddy as it was."""
    assert story.back.exit == 0, story.back.errors + story.back.output[-4000:]
    assert story.seen["back"] == ONE
    assert story.back.result["states"]["lab3"] == "drained and stopped"


def test_the_same_command_goes_on_once_the_cause_is_gone(story: Story) -> None:
    """The upgrade then ends with 0, and Caddy has all three nodes."""
    assert story.upgraded.exit == 0, story.upgraded.errors + story.upgraded.output[-4000:]
    assert story.seen["upgraded"] == THREE
    topology = {"new": ["lab3", "lab4"], "kept": ["lab1", "lab2", "lab5"], "removed": []}
    assert story.upgraded.result["topology"] == topology


def test_nobody_is_cut_off(story: Story) -> None:
    """A call that began before goes on through three upgrades and a rollback: no gap, no new connection."""
    heard = story.heard
    print(f"upgrades and a rollback: {heard}")
    assert (heard.longest_gap_s < 1, heard.reconnects, heard.ended) == (True, 0, []), heard
    assert heard.heard_s > 20


def test_what_was_there_is_left_alone(story: Story) -> None:
    """No container of the kept machines was restarted, and the bystander reports not one change."""
    assert kept() == story.before
    assert [change for change in story.upgraded.changes if change[0] == "lab5"] == []
    assert story.upgraded.result["states"]["lab5"] == "unchanged"


def test_new_nodes_come_first_then_caddy(story: Story) -> None:
    """lab3 serves, then lab4, and only then Caddy is told; lab2's firewall lets them reach Redis before they start."""
    started = story.upgraded.finished("changed", resource="compose_project")
    assert started == [("lab3", "livekit"), ("lab4", "livekit"), ("lab1", "caddy")]
    changed = [(e["host"], e["resource"]) for e in story.upgraded.events if e.get("verdict") == "changed"]
    assert changed.index(("lab2", "firewall")) < changed.index(("lab3", "compose_project"))


def test_backup_comes_before_the_first_change(story: Story) -> None:
    """What is about to change on a kept machine is packed before anything changes there, for root's eyes only."""
    packed = story.upgraded.finished("changed", resource="archive")
    assert ("lab1", "caddy") in packed
    finished = [(e["host"], e["resource"]) for e in story.upgraded.events if e.get("verdict") == "changed"]
    assert finished.index(("lab1", "archive")) < finished.index(("lab1", "file"))
    modes = ssh("lab1", "find /var/backups/orchestr -type f -printf '%m %u\\n' -o -type d -printf '%m %u\\n'")
    assert set(modes.splitlines()) == {"600 root", "700 root"}


def test_one_room_spans_the_nodes(story: Story) -> None:
    """Two people whose signalling goes over different nodes are in one room, and hear each other."""
    for _ in range(10):
        before = requests_in_progress()
        with Call() as call:
            carried = {address: number - before[address] for address, number in requests_in_progress().items()}
            if sorted(carried.get(address, 0) for address in THREE) == [0, 1, 1]:
                assert home_of(call.room) in {address.partition(":")[0] for address in THREE}
                return
    raise AssertionError(f"the last call's signalling goes over {carried}, never over two nodes")


def test_a_server_that_is_killed_is_back_at_once(story: Story) -> None:
    """kill -9 of the server that has a room: Docker starts it again, and both are in the room again by themselves."""
    with call_on("lab3") as call:
        call.reset()
        ssh("lab3", "pkill -9 -x livekit-server")
        heard = call.wait_until(lambda heard: heard.reconnects > 0, "nobody notices")
        heard = call.is_heard_again()
        print(f"server killed: {heard}")
        assert (heard.longest_gap_s < 30, heard.ended) == (True, []), heard


def test_a_call_moves_when_its_node_loses_power(story: Story) -> None:
    """The machine with a room is gone: both are in the room again on another node, within 30 s."""
    with call_on("lab3") as call:
        call.reset()
        lab("kill", "lab3")
        try:
            call.wait_until(lambda heard: heard.reconnects > 0 and heard.silent_s > 1, "nobody notices", 40)
            heard = call.is_heard_again(40)
            print(f"machine without power: {heard}")
            assert (heard.longest_gap_s < 30, heard.ended) == (True, []), heard
            assert home_of(call.room) in {ADDRESSES["lab2"], ADDRESSES["lab4"]}
        finally:
            lab("start", "lab3")
    wait_until(lambda: is_serving("lab3"), "lab3 does not serve again", 60)


def test_upgraded_is_converged(story: Story) -> None:
    """Another upgrade changes nothing, a run of the new inventory neither."""
    again = story.orchestr.succeed("upgrade", SINGLE, "--to", DISTRIBUTED, "--no-verify")
    assert again.changes == []
    assert story.orchestr.succeed("run", DISTRIBUTED).changes == []


def test_an_upgrade_ends_with_a_look_from_outside(story: Story) -> None:
    """The roles' checks ran after the upgrade, on every machine of the cluster, and all of them hold."""
    hosts = story.upgraded.result["verify"]["hosts"]
    outcomes = {name: {check["outcome"] for check in host["checks"]} for name, host in hosts.items()}
    assert all(outcomes[name] == {"passed"} for name in ("lab1", "lab2", "lab3", "lab4")), outcomes


def test_rollback_returns_to_one_node(story: Story) -> None:
    """Caddy forgets the two nodes, then they stop; the call on the first one goes on; Redis is closed to them again."""
    story.call.reset()
    back = story.orchestr.succeed("rollback", story.upgraded.result["run"], "--no-verify")
    assert upstreams() == ONE
    stopped = back.finished("changed", resource="compose_project")
    assert stopped[0] == ("lab1", "caddy") and set(stopped[1:]) == {("lab3", "livekit"), ("lab4", "livekit")}
    assert {container(node, LIVEKIT).status for node in ("lab3", "lab4")} == {"exited"}
    assert kept() == story.before
    assert ADDRESSES["lab3"] not in ssh("lab2", "ufw status")
    heard = story.call.is_heard_again()
    print(f"rollback: {heard}")
    assert (heard.longest_gap_s < 1, heard.ended) == (True, []), heard


def test_a_kept_node_is_drained_before_its_restart(story: Story, tmp_path: Path) -> None:
    """With a change for lab2 too, the new nodes serve first; lab2 waits for the call to end, and only it restarts."""
    story.call.reset()
    record = tmp_path / "events.jsonl"
    words = ("--to", DISTRIBUTED, "--no-verify", "-e", "livekit_log_level=debug", "--json", "--events", record)
    upgrade = story.orchestr.start("upgrade", SINGLE, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    draining = f"docker logs {LIVEKIT} 2>&1 | grep -c 'waiting for participants' || true"
    wait_until(lambda: int(ssh("lab2", draining)) > 0, "lab2 does not drain", 60)
    assert upstreams() == THREE
    assert container("lab2", LIVEKIT) == story.before[LIVEKIT]
    with Call() as another:
        assert home_of(another.room) not in ("", ADDRESSES["lab2"])  # a draining node gets no new room
    assert "drain lab2" in record.read_text()
    heard = story.call.is_heard_again()
    assert (heard.longest_gap_s < 1, heard.ended) == (True, []), heard
    story.call.leave()
    output, errors = upgrade.communicate(timeout=60)
    assert upgrade.returncode == 0, output + errors
    after = kept()
    assert after.pop(LIVEKIT).id != story.before[LIVEKIT].id
    assert after == {name: found for name, found in story.before.items() if name != LIVEKIT}


def test_a_drain_has_a_deadline(story: Story) -> None:
    """A call that stays is cut off after livekit_drain_timeout_s, and goes on elsewhere; only that node restarts."""
    story.orchestr.succeed("run", DISTRIBUTED, "-e", "livekit_drain_timeout_s=10")
    others = {node: container(node, LIVEKIT) for node in ("lab3", "lab4")}
    with call_on("lab2") as call:
        call.reset()
        done = story.orchestr.succeed("run", DISTRIBUTED, "--limit", "lab2", "-e", "livekit_log_level=debug")
        assert {change[0] for change in done.changes} == {"lab2"}
        call.wait_until(lambda heard: heard.reconnects > 0, "nobody notices")
        heard = call.is_heard_again()
        print(f"cut off at the deadline of a drain: {heard}")
        assert heard.ended == [], heard
    assert {node: container(node, LIVEKIT) for node in others} == others


def test_the_emptiest_node_changes_first(story: Story) -> None:
    """With one call on lab2 and two on lab4 a change comes to lab3, lab2 and lab4; all calls go on."""
    short = ("-e", "livekit_drain_timeout_s=10")
    story.orchestr.succeed("run", DISTRIBUTED, *short)
    with call_on("lab2") as one, call_on("lab4") as two, call_on("lab4") as three:
        wait_until(lambda: tracks() == {"lab2": 2, "lab3": 0, "lab4": 4}, "LiveKit counts others")
        for call in (one, two, three):
            call.reset()
        done = story.orchestr.succeed("run", DISTRIBUTED, *short, "-e", "livekit_empty_timeout_s=301")
        order = [host for host, name in done.finished("changed", resource="compose_project") if name == "livekit"]
        assert order == ["lab3", "lab2", "lab4"]
        for call in (one, two, three):
            heard = call.is_heard_again()
            print(f"rolled over: {heard}")
            assert heard.ended == [], heard


def tracks() -> dict[str, int]:
    """Return the number of tracks, in and out, on each node, by LiveKit's own list."""
    table, load_of = list_of_nodes(), livekit_module("resources").load_of
    return {node: (load_of(table, ADDRESSES[node]) or (0, 0, -1))[2] for node in ("lab2", "lab3", "lab4")}


def call_on(node: str) -> Call:
    """Return a call in a room on a node."""
    room = secrets.token_hex(4)
    create_room(room, node)
    call = Call(room)
    assert home_of(room) == ADDRESSES[node]
    return call


def is_serving(node: str) -> bool:
    return ssh(node, f"curl -so /dev/null -w '%{{http_code}}' http://{ADDRESSES[node]}:7880/ || true") == "200"


def kept() -> dict[str, Container]:
    return {name: container(node, name) for name, node in KEPT.items()}
