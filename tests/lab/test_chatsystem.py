"""ChatSystem on real machines: one, then a swarm of three, then one again, its messages coming along."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.cluster import Done, Orchestr, wait_until
from tests.lab.conftest import ADDRESSES, ROOT, lab, ssh

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
class Absence:
    """When somebody who asks the gateway all the time got no answer, first and last."""

    first: float | None = None
    last: float | None = None

    @property
    def seconds(self) -> float:
        return self.last - self.first if self.first is not None and self.last is not None else 0.0


@contextmanager
def away() -> Iterator[Absence]:
    """Ask the gateway all the time meanwhile."""
    absence, is_over = Absence(), threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            try:
                urllib.request.urlopen(GATEWAY, timeout=2).close()
            except OSError:
                absence.last = time.monotonic()
                absence.first = absence.first or absence.last

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield absence
    finally:
        is_over.set()
        thread.join()


@dataclass
class Story:
    """What happened, in order."""

    orchestr: Orchestr
    first: Done
    second: Done
    keys_of_one: dict[str, str]
    mysql_anew: Done
    texts_with_mysql_anew: list[str]
    absence: Absence
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
    mysql_anew = orchestr.succeed("run", SINGLE, "-e", "mysql_max_connections=201")
    texts_with_mysql_anew = said()
    with away() as absence:
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
        mysql_anew,
        texts_with_mysql_anew,
        absence,
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
    saved = story.upgraded.finished("changed", resource="application_saved")
    assert saved == [("lab1", "chatsystem from compose")]
    order = [str(event.get("message") or event.get("resource")) for event in story.upgraded.events]
    assert next(i for i, text in enumerate(order) if "expect about" in text) < order.index("application_saved")


def test_the_downtime_is_what_users_saw(story: Story) -> None:
    """The run's own figure covers all of the time in which somebody outside got no answer."""
    [told] = [found for text in notes(story.upgraded) for found in re.findall(r"it was down for ([\d.]+) s", text)]
    assert 0 < story.absence.seconds <= float(told) + 2  # two looks' patience


def test_the_database_is_made_once(story: Story) -> None:
    """A MySQL made anew over its data keeps it: the file for a new database, which drops tables, is not run again."""
    assert ("lab1", "compose_project", "chatsystem") in story.mysql_anew.changes
    assert story.texts_with_mysql_anew == ["on one machine"]


def test_all_checks_passed_in_the_swarm(story: Story) -> None:
    """The upgrade ended with the roles' checks from outside, none of them left out or failed on any machine."""
    hosts = story.upgraded.result["verify"]["hosts"]
    assert {name: {check["outcome"] for check in hosts[name]["checks"]} for name in NODES} == {
        name: {"passed"} for name in NODES
    }


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


def test_checks_see_what_is_broken(story: Story) -> None:
    """A registration that is gone, a queue that takes nothing, a gateway that is stopped: each is a failed check."""
    etcdctl = "docker exec chatsystem-etcd-1 env ETCDCTL_API=3 etcdctl"
    [key] = [key for key in registered() if key.startswith("/service/friend_service")]
    ssh("lab1", f"{etcdctl} del {key}; docker stop -t 1 chatsystem-rabbitmq-1 chatsystem-gateway_server-1")
    try:
        done = story.orchestr("verify", SINGLE)
    finally:
        ssh("lab1", "docker start chatsystem-rabbitmq-1 chatsystem-gateway_server-1")
        ssh("lab1", "docker restart -t 1 chatsystem-friend_server-1")
    assert done.exit == 1
    failed = [check["name"] for check in done.result["hosts"]["lab1"]["checks"] if check["outcome"] == "failed"]
    for what in ("gateway_answers_outside", "registered_once", "message"):
        assert any(what in name for name in failed), (what, failed)


def test_bare_machines_become_the_swarm_in_one_run(story: Story) -> None:
    """Without a step in between: one run, nothing left to change, all checks; a bad image is taken back."""
    lab("reset", *NODES)
    orchestr = story.orchestr
    orchestr.succeed("run", SWARM)
    say("into a new swarm")
    assert orchestr("plan", SWARM).exit == 0
    orchestr.succeed("verify", SWARM)
    bad = json.dumps({"chatsystem_images": {"user_server": "redis:7"}})  # it has no user_server
    refused = orchestr("run", SWARM, "-e", bad)
    assert refused.exit == 1
    assert [host for host, _ in refused.trouble] == ["lab1"] and "rolled back" in refused.trouble[0][1]
    assert said() == ["into a new swarm"]
    orchestr.succeed("run", SWARM)
    assert len(registered()) == SERVICES
