"""The inventories a user starts from: refused until the secrets are the user's own, then complete."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestr.errors import InputError
from tests.unit.roles.conftest import ROOT, plan_file

SINGLE, DISTRIBUTED = ROOT / "inventories/prod.yml", ROOT / "inventories/prod-distributed.yml"
CHAT, CHAT_SWARM = ROOT / "inventories/chatsystem.yml", ROOT / "inventories/chatsystem-swarm.yml"
CHAT_PLAYBOOK, INIT_SQL = ROOT / "playbooks/chatsystem.yml", "inventories/lab/files/init_all.sql"
OWN = {"livekit_api_secret": "x" * 44, "redis_password": "y" * 48}


@pytest.mark.parametrize(
    ("missing", "place"),
    [("livekit_api_secret", "machine1: webapp_secret_files"), ("redis_password", "secrets.yml:15:")],
)
def test_a_placeholder_is_refused(missing: str, place: str) -> None:
    """A secret that everybody can read in the examples deploys nothing; the message leads to it, without showing it."""
    with pytest.raises(InputError) as caught:
        plan_file(SINGLE, **{name: value for name, value in OWN.items() if name != missing})
    assert place in str(caught.value)
    assert "a secret is still the example's CHANGE-ME" in str(caught.value)
    assert "CHANGE-ME-" not in str(caught.value)


@pytest.mark.parametrize("path", [SINGLE, DISTRIBUTED])
def test_with_secrets_of_ones_own_every_machine_has_a_plan(path: object) -> None:
    """Nothing else has to be filled in for the examples to be complete."""
    planned = plan_file(ROOT / str(path), **OWN)
    assert all(tasks for tasks in planned.all_tasks().values())
    assert "live.example.com {" in planned.text("machine1", "/opt/caddy/etc/Caddyfile")


def test_media_comes_by_the_public_address_and_redis_by_the_private_one() -> None:
    """Browsers are told ansible_host; machines talk among themselves on private_address."""
    planned = plan_file(DISTRIBUTED, **OWN)
    config = planned.yaml("machine3", "/opt/livekit/livekit.yaml")
    assert (config["rtc"]["node_ip"], config["redis"]["address"]) == ("203.0.113.3", "10.0.0.2:6379")
    assert planned.ports("redis", "machine2") == {("6379", "tcp"): ("10.0.0.3", "10.0.0.4")}


@pytest.mark.parametrize("kind", ["inventories/prod", "inventories/lab/livekit"])
def test_growing_adds_hosts_and_nothing_else(kind: str) -> None:
    """The distributed inventory without its new hosts is the single one."""
    names = ("-single.yml", "-distributed.yml") if "lab" in kind else (".yml", "-distributed.yml")
    single, distributed = (yaml.safe_load((ROOT / f"{kind}{end}").read_text()) for end in names)
    everyone, nodes = distributed["all"]["hosts"], distributed["all"]["children"]["livekit"]["hosts"]
    for name in everyone.keys() - single["all"]["hosts"].keys():
        del everyone[name], nodes[name]
    assert distributed == single


@pytest.mark.parametrize("path", [CHAT, CHAT_SWARM], ids=["one machine", "swarm"])
def test_chatsystem_needs_nothing_but_its_own_sql(path: Path) -> None:
    """With the SQL file and own passwords, every machine of the ChatSystem examples has a plan."""
    names = ("mysql_root_password", "mysql_password", "redis_password", "rabbitmq_password")
    passwords = {name: f"of-my-own-{name}" for name in names}
    planned = plan_file(path, CHAT_PLAYBOOK, mysql_init_sql=INIT_SQL, **passwords)
    assert all(tasks for tasks in planned.all_tasks().values())
    with pytest.raises(InputError, match="mysql_init_sql cannot be read"):
        plan_file(path, CHAT_PLAYBOOK, **passwords).all_tasks()
    with pytest.raises(InputError, match="still the example's CHANGE-ME"):
        plan_file(path, CHAT_PLAYBOOK, mysql_init_sql=INIT_SQL)


def test_chatsystem_moves_with_its_settings_and_leaves_in_place_what_does_not_move() -> None:
    """Both ChatSystem examples have the same variables; only MySQL, whose data moves, is on another machine."""
    one, many = (yaml.safe_load(path.read_text())["all"] for path in (CHAT, CHAT_SWARM))
    assert one["vars"] == many["vars"]
    for name, group in one["children"].items():
        assert group.get("vars") == many["children"][name].get("vars"), name
    moved = {name for name, group in one["children"].items() if group["hosts"] != many["children"][name]["hosts"]}
    assert moved == {"mysql", "chatsystem"}
    assert list(many["children"]["swarm_managers"]["hosts"]) == list(one["hosts"])
