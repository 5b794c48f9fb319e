"""ChatSystem on real machines: one, then a swarm of three, then one again, its messages coming along."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.cluster import Done, Orchestr, wait_until
from tests.lab.conftest import ADDRESSES, ROOT, ssh

NODES = ("lab1", "lab2", "lab3")
SINGLE = ROOT / "inventories/lab/chatsystem-single.yml"
SWARM = ROOT / "inventories/lab/chatsystem-swarm.yml"
GATEWAY = f"http://{ADDRESSES['lab1']}:9000"
INTERNAL = (2379, 3306, 5672, 6379, 9200, 10003, 15672)
SERVICES = 6  # that register; the gateway does not
TWO_USER_SERVERS = json.dumps({"chatsystem_replicas": {"user_server": 2}})


def ask(path: str, document: Any = None) -> Any:
    """Ask the gateway; an answer that is no success is an OSError."""
    data = json.dumps(document).encode() if document is not None else None
    with urllib.request.urlopen(urllib.request.Request(GATEWAY + path, data), timeout=5) as answer:
        return json.load(answer)


def say(text: str) -> None:
    """Send a message in at the gateway, and wait until the store has it: it has been through the queue then."""
    sent = ask("/message", {"session": "lab", "text": text})["message_id"]
    wait_until(lambda: sent in [each["message_id"] for each in ask("/message?session=lab")], f"{text} is not stored")


def said() -> list[str]:
    """Return the texts of all messages, in their order."""
    texts: list[list[str]] = []

    def read() -> bool:
        try:
            texts.append([each["text"] for each in ask("/message?session=lab")])
        except OSError:  # the servers may still be registering
            return False
        return True

    wait_until(read, "the gateway gives no messages")
    return texts[-1]


def registered() -> dict[str, str]:
    """Return key → address of what etcd knows."""
    found: dict[str, str] = ask("/services")
    return found


def notes(done: Done) -> list[str]:
    return [event["message"] for event in done.events if event["event"] == "Note"]


@dataclass
class Story:
    """What happened, in order."""

    orchestr: Orchestr
    first: Done
    second: Done
    keys_of_one: dict[str, str]
    upgraded: Done
    after_upgrade: Done
    in_swarm: list[str]
    mysql_on: list[str]
    scaled: Done
    scaled_again: Done
    keys_of_two: dict[str, str]
    killed_after_the_dump: bool
    back: Done
    after_back: Done
    in_the_end: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, bare: list[str]) -> Story:
    orchestr = Orchestr(tmp_path_factory.mktemp("state"))
    first = orchestr.succeed("run", SINGLE)
    say("on one machine")
    second = orchestr("plan", SINGLE)
    keys_of_one = registered()
    upgraded = orchestr.succeed("upgrade", SINGLE, "--to", SWARM)
    say("in the swarm")
    after_upgrade = orchestr("plan", SWARM)
    in_swarm = said()
    look = "docker service ps --format '{{.Node}}' --filter desired-state=running chatsystem_mysql"
    mysql_on = ssh("lab1", look).split()
    scaled = orchestr.succeed("run", SWARM, "-e", TWO_USER_SERVERS)
    wait_until(lambda: len(registered()) == SERVICES + 1, "the second user_server is not registered")
    keys_of_two = registered()
    scaled_again = orchestr("plan", SWARM, "-e", TWO_USER_SERVERS)
    killed = kill_after_the_dump(orchestr, upgraded.result["run"])
    back = orchestr.succeed("rollback", upgraded.result["run"])
    in_the_end = said()
    after_back = orchestr("plan", SINGLE)
    return Story(
        orchestr,
        first,
        second,
        keys_of_one,
        upgraded,
        after_upgrade,
        in_swarm,
        mysql_on,
        scaled,
        scaled_again,
        keys_of_two,
        killed,
        back,
        after_back,
        in_the_end,
    )


def kill_after_the_dump(orchestr: Orchestr, run: str) -> bool:
    """Begin the way back and kill the controller once the database is saved; tell whether it was still at it."""
    process = orchestr.start("rollback", run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    dump = "/var/lib/orchestr/moves/chatsystem/mysql.sql"
    look = f"test -e {dump} && echo yes || true"
    wait_until(lambda: process.poll() is not None or "yes" in ssh("lab1", look), "there is no dump", 120)
    was_running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return was_running


def test_one_machine_converges(story: Story) -> None:
    """After the first run nothing is left to change, and every server is registered once."""
    assert story.first.exit == 0
    assert story.second.exit == 0, story.second.changes
    assert len(story.keys_of_one) == SERVICES


def test_the_upgrade_brings_the_messages_along(story: Story) -> None:
    """What was said on one machine is there in the swarm, where MySQL runs on another host, and more can be said."""
    assert story.in_swarm == ["on one machine", "in the swarm"]
    assert story.mysql_on == ["lab2"]


def test_the_downtime_is_said_before_and_after(story: Story) -> None:
    """Before the servers stop a person reads what it will take, and afterwards what it took."""
    told = notes(story.upgraded)
    before = next(index for index, text in enumerate(told) if "expect about" in text)
    after = next(index for index, text in enumerate(told) if "it was down for" in text)
    assert before < after
    saved = story.upgraded.finished("changed", resource="chatsystem_data_saved")
    assert saved == [("lab1", "from compose")]
    order = [str(event.get("message") or event.get("resource")) for event in story.upgraded.events]
    assert next(i for i, text in enumerate(order) if "expect about" in text) < order.index("chatsystem_data_saved")


def test_the_swarm_converges(story: Story) -> None:
    """After the upgrade a plan of the new inventory has nothing to change on any machine."""
    assert story.after_upgrade.exit == 0, story.after_upgrade.changes


def test_two_user_servers_stay_registered(story: Story) -> None:
    """Each replica has a key and an address of its own, below the same name."""
    keys = [key for key in story.keys_of_two if key.startswith("/service/user_service/")]
    assert len(keys) == 2
    assert len({story.keys_of_two[key] for key in keys}) == 2
    assert {name for _, kind, name in story.scaled.changes if kind == "stack"} == {"chatsystem"}
    assert story.scaled_again.exit == 0, story.scaled_again.changes


def test_a_killed_way_back_goes_on(story: Story) -> None:
    """A controller killed after the dump loses nothing: the same command again ends where it was to."""
    assert story.killed_after_the_dump
    assert story.in_the_end == ["on one machine", "in the swarm"]
    assert story.after_back.exit == 0, story.after_back.changes


def test_nobody_is_left_in_the_swarm(story: Story) -> None:
    """After the way back no machine is in a swarm, and the two that went run nothing any more."""
    for node in NODES:
        assert ssh(node, "docker info --format '{{.Swarm.LocalNodeState}}'").strip() == "inactive"
    for node in ("lab2", "lab3"):
        assert ssh(node, "docker ps -q").strip() == ""


def test_the_dump_is_kept_and_closed(story: Story) -> None:
    """The dumps of both moves are kept, for root alone, and nothing of a move is left beside them."""
    listed = ssh("lab1", "stat -c '%a %U %s' /var/backups/orchestr/chatsystem/*.sql").splitlines()
    assert len(listed) == 2
    assert all(line.startswith("600 root ") and int(line.split()[2]) > 1000 for line in listed)
    assert ssh("lab1", "ls /var/lib/orchestr/moves").strip() == ""


def test_only_the_gateway_answers_outside(story: Story) -> None:
    """From outside the gateway's two ports take connections, and no other of the system's."""
    import socket

    for port in (9000, 9001):
        socket.create_connection((ADDRESSES["lab1"], port), 3).close()
    for port in INTERNAL:
        with pytest.raises(OSError):
            socket.create_connection((ADDRESSES["lab1"], port), 1).close()


def test_no_password_is_in_the_containers_record(story: Story) -> None:
    """What `docker inspect` shows of the containers, and the files others may read, hold no password."""
    shown = ssh("lab1", "docker inspect $(docker ps -q); cat /opt/chatsystem/compose.yaml")
    assert "chatsystem-mysql-1" in shown
    for secret in ("lab-only-root-password", "lab-only-mysql-password", "lab-only-rabbitmq-password"):
        assert secret not in shown


def test_several_gateways_are_refused(story: Story) -> None:
    """More than one gateway is bad input without the override, before any connection."""
    wanted = json.dumps({"chatsystem_replicas": {"gateway_server": 2}})
    refused = story.orchestr("plan", SINGLE, "-e", wanted)
    assert refused.exit == 2
    assert "chatsystem_allow_several_gateways" in refused.errors
