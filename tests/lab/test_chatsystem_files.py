"""ChatSystem's uploads and volumes on real machines: to other hosts with a swarm, within it, and back again."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.cluster import Done, Orchestr, wait_until
from tests.lab.conftest import ROOT, ssh
from tests.lab.test_chatsystem import SINGLE, SWARM, notes

NODES = ("lab1", "lab2", "lab3")
DATA = "/opt/chatsystem/docker_image_data/data"
MARK = "/var/lib/orchestr/trees/chatsystem_uploads.leaving"
LARGE_BYTES = 9_000_000  # more than may be on its way at once
REDIS = (
    "docker exec $(docker ps -q --filter name=chatsystem.redis) redis-cli -a lab-only-redis-password --no-auth-warning"
)
ES = "/var/lib/docker/volumes/chatsystem_es-data/_data"


def write_swarm(path: Path, storage: str) -> Path:
    """Write the lab's swarm with uploads on one host, and redis, rabbitmq and elasticsearch away from the first."""
    document: dict[str, Any] = yaml.safe_load(SWARM.read_text().replace("{{ inventory_dir }}/../..", str(ROOT)))
    groups = document["all"]["children"]
    groups["chatsystem_storage"] = {"hosts": {storage: None}}
    for group, host in (("redis", "lab2"), ("rabbitmq", "lab2"), ("elasticsearch", "lab3")):
        groups[group]["hosts"] = {host: None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def files(node: str) -> dict[str, str]:
    """Return name → mode, owner and sha256 of what file_server has on a node; nothing where it is not."""
    look = f"cd {DATA} 2>/dev/null && find . -type f -exec stat -c '%n %a %u:%g' {{}} + -exec sha256sum {{}} + || true"
    found: dict[str, str] = {}
    for line in ssh(node, look).splitlines():
        words = line.split()
        name, said = (words[0], " ".join(words[1:])) if words[0].startswith(".") else (words[1], words[0])
        found[name] = f"{found.get(name, '')} {said}".strip()
    return found


@dataclass
class Story:
    """What happened, in order."""

    at_first: dict[str, str]
    upgraded: Done
    after_upgrade: Done
    moved: dict[str, str]
    left_behind: str
    key_in_swarm: str
    index_in_swarm: str
    within: Done
    after_within: Done
    within_swarm: dict[str, str]
    others_stayed: bool
    killed_on_the_way: bool
    back: Done
    after_back: Done
    in_the_end: dict[str, str]
    key_in_the_end: list[str]
    index_in_the_end: str


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, bare: list[str]) -> Story:
    orchestr = Orchestr(tmp_path_factory.mktemp("state"))
    swarm = write_swarm(ROOT / "build/tests/chatsystem-storage.yml", "lab3")
    orchestr.succeed("run", SINGLE)
    seed()
    at_first = files("lab1")
    upgraded = orchestr.succeed("upgrade", SINGLE, "--to", swarm)
    moved, left_behind = files("lab3"), ssh("lab1", f"ls -d {DATA}*; ls {DATA}.moved-*")
    key_in_swarm, index_in_swarm = ssh("lab2", f"{REDIS} GET kept").strip(), ssh("lab3", f"cat {ES}/mine")
    after_upgrade = orchestr("plan", swarm)
    ssh("lab3", f"rm {DATA}/doomed; echo later >{DATA}/added")
    before = server_ids()
    write_swarm(swarm, "lab2")
    within = orchestr.succeed("run", swarm)
    others_stayed, within_swarm = server_ids() == before, files("lab2")
    after_within = orchestr("plan", swarm)
    ssh("lab2", f"{REDIS} SET later yes; echo newest >{DATA}/newest")
    killed = kill_while_it_leaves(orchestr, upgraded.result["run"])
    back = orchestr.succeed("rollback", upgraded.result["run"])
    after_back = orchestr("plan", SINGLE)
    return Story(
        at_first,
        upgraded,
        after_upgrade,
        moved,
        left_behind,
        key_in_swarm,
        index_in_swarm,
        within,
        after_within,
        within_swarm,
        others_stayed,
        killed,
        back,
        after_back,
        files("lab1"),
        ssh("lab1", f"{REDIS} MGET kept later").split(),
        ssh("lab1", f"cat {ES}/mine"),
    )


def seed() -> None:
    """Put uploads there, of several owners and modes, one large; a key into Redis, a file into the search's volume."""
    ssh(
        "lab1",
        f"cd {DATA}; head -c {LARGE_BYTES} /dev/urandom >large; echo early >doomed; mkdir -m 750 inner; "
        f"echo private >inner/private; chmod 600 inner/private; chown 1234:4321 inner/private; "
        f"{REDIS} SET kept yes; echo indexed >{ES}/mine",
    )


def server_ids() -> list[str]:
    """Return the containers of user_server and MySQL, wherever they run."""
    look = "docker ps -q --no-trunc --filter name=chatsystem_user_server --filter name=chatsystem_mysql"
    return [ssh(node, look) for node in NODES]


def kill_while_it_leaves(orchestr: Orchestr, run: str) -> bool:
    """Begin the way back and kill the controller once the uploads begin to leave; tell whether it was still at it."""
    process = orchestr.start("rollback", run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    look = f"test -e {MARK} && echo yes || true"
    wait_until(lambda: process.poll() is not None or "yes" in ssh("lab2", look), "the uploads do not leave", 180)
    was_running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return was_running


def test_uploads_move_with_their_host(story: Story) -> None:
    """They are on the storage's host, the same to the byte, the mode and the owner."""
    assert len(story.at_first) == 3 and "1234:4321" in story.at_first["./inner/private"]
    assert story.moved == story.at_first


def test_the_old_ones_are_kept_under_another_name(story: Story) -> None:
    """Nothing is at their old place, where it would count, and nothing was removed."""
    assert DATA not in story.left_behind.split()
    assert {"doomed", "large", "inner"} <= set(story.left_behind.split())


def test_volumes_move_with_their_service(story: Story) -> None:
    """Redis has its keys, the search its files, on the hosts that they are on now."""
    assert (story.key_in_swarm, story.index_in_swarm) == ("yes", "indexed\n")


def test_the_files_are_counted_before(story: Story) -> None:
    """The expected downtime names them with their size, from where and to where; afterwards it is measured."""
    told = " ".join(notes(story.upgraded))
    assert "chatsystem_uploads 9." in told and "from lab1 to lab3" in told and "it was down for" in told


def test_a_swarm_with_its_data_elsewhere_converges(story: Story) -> None:
    """After the upgrade, and after a move within it, a plan has nothing to change."""
    assert story.after_upgrade.exit == 0, story.after_upgrade.changes
    assert story.after_within.exit == 0, story.after_within.changes


def test_within_a_swarm_only_what_moves_is_down(story: Story) -> None:
    """Uploads follow their group to another host, with what was added and without what was deleted; others run on."""
    assert set(story.within_swarm) == {"./large", "./inner/private", "./added"}
    assert story.others_stayed
    stopped = story.within.finished("changed", resource="application_services_stopped")
    assert stopped == [("lab1", "chatsystem: file_server")]
    assert "partly down for" in " ".join(notes(story.within))


def test_the_newest_comes_back(story: Story) -> None:
    """After the way back, killed in the middle, the files are those of the swarm: added ones, not the deleted one."""
    assert story.killed_on_the_way
    assert set(story.in_the_end) == {"./large", "./inner/private", "./added", "./newest"}
    assert story.in_the_end["./large"] == story.at_first["./large"]
    assert story.in_the_end["./inner/private"] == story.at_first["./inner/private"]


def test_volumes_come_back_as_they_were_last(story: Story) -> None:
    """What Redis was given in the swarm is there on the one machine."""
    assert (story.key_in_the_end, story.index_in_the_end) == (["yes", "yes"], "indexed\n")
    assert story.after_back.exit == 0, story.after_back.changes


def test_nothing_is_under_way_any_more(story: Story) -> None:
    """No host has a mark of a move, and this machine holds nothing of what went through it."""
    for node in NODES:
        assert ssh(node, "ls /var/lib/orchestr/trees/*.leaving 2>/dev/null || true") == ""
        assert ssh(node, "ls -A /var/lib/orchestr/moves 2>/dev/null || true").strip() == ""
