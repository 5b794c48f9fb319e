"""rollback: which upgrade is meant, with what it was made, and from wherever it is typed. Hosts in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import INVENTORY, PLAYBOOK, ROLE, Orchestr

SITE, GROWN = "inventories/site.yml", "inventories/grown.yml"
UPGRADE = ("upgrade", SITE, "--to", GROWN)
STOPPING = """

def stop(host, params):
    yield File("/opt/app/word", present=False)
"""


@pytest.fixture(autouse=True)
def grown(project: Path) -> None:
    """Before: web1 alone. After: all three. The checks need no shell."""
    (project / GROWN).write_text(INVENTORY)
    (project / SITE).write_text("all:\n  children:\n    web:\n      hosts:\n        web1: {ansible_host: 10.0.0.1}\n")
    (project / "roles/app/__init__.py").write_text(ROLE + STOPPING)
    (project / "roles/app/verify.py").write_text("def test_name(machine):\n    assert machine.name\n")


def _upgrade(orchestr: Orchestr, *more: str) -> str:
    """Set up and upgrade, its closing verify included; return the run's name."""
    orchestr("run", SITE, *more)
    done = orchestr(*UPGRADE, *more, "--json")
    assert done.code == 0, done
    return str(json.loads(done.out)["run"])


def test_last_is_the_last_upgrade(orchestr: Orchestr) -> None:
    """`rollback last` goes back from the newest upgrade, also when plans and runs came after it."""
    run = _upgrade(orchestr)
    orchestr("plan", GROWN)
    orchestr("run", GROWN)
    done = orchestr("rollback", "last")
    assert done.code == 0, done
    assert "web2  drained and stopped" in done.out
    assert json.loads(orchestr("show", run, "--json").out)["verb"] == "upgrade"


def test_rollback_last_again_does_not_go_forth(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """Typed again it finds what it did: a rollback is not what is gone back from."""
    _upgrade(orchestr)
    orchestr("rollback", "last")
    again = orchestr("rollback", "last", "--json")
    assert (again.code, json.loads(again.out)["states"]["web2"]) == (0, "already stopped")
    assert "/opt/app/word" not in hosts["10.0.0.2"].nodes


def test_a_rollback_can_itself_be_gone_back_from(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """By its name: what its parting run recorded does not hide where it came from."""
    _upgrade(orchestr)
    run = json.loads(orchestr("rollback", "last", "--json").out)["run"]
    assert orchestr("rollback", run).code == 0
    assert "/opt/app/word" in hosts["10.0.0.2"].nodes


def test_what_is_no_upgrade_is_refused_with_the_one_that_is(orchestr: Orchestr) -> None:
    """The refusal of a plain run names the last upgrade; with none on record it says so."""
    plain = json.loads(orchestr("run", SITE, "--json").out)["run"]
    assert "no upgrade is recorded" in orchestr("rollback", "last").err
    run = _upgrade(orchestr)
    refused = orchestr("rollback", plain)
    assert refused.code == 2
    assert f"orchestr rollback {run}" in refused.err


def test_an_upgrade_and_its_verify_are_one_run(orchestr: Orchestr) -> None:
    """`show last` is the whole upgrade with the checks that closed it; history has one line for both."""
    orchestr("run", SITE)
    done = json.loads(orchestr(*UPGRADE, "--json").out)
    assert done["verify"]["run"] == done["run"]
    assert [each["verb"] for each in json.loads(orchestr("history", "--json").out)["runs"]] == ["run", "upgrade"]
    shown = orchestr("show", "last")
    assert "web2  added (2 changes)" in shown.out
    assert "All 3 checks on 3 hosts passed." in shown.out
    again = json.loads(orchestr("show", "last", "--json").out)
    assert again == {key: done[key] for key in again}


def test_a_failing_verify_is_the_upgrades_exit_code_on_record(orchestr: Orchestr, project: Path) -> None:
    """An upgrade whose checks fail is on record as failed, its changes as they were."""
    orchestr("run", SITE)
    (project / "roles/app/verify.py").write_text("def test_name(machine):\n    assert not machine.name\n")
    assert orchestr(*UPGRADE).code == 1
    last = json.loads(orchestr("history", "--json").out)["runs"][-1]
    assert (last["verb"], last["exit"], last["changed"]) == ("upgrade", 1, 4)
    assert json.loads(orchestr("show", "last", "--json").out)["exit"] == 1


def test_the_playbook_of_the_upgrade_is_used(
    orchestr: Orchestr, project: Path, hosts: Mapping[str, MemoryHost]
) -> None:
    """An upgrade by another playbook is gone back from by that one, not by site.yml; --playbook overrides it."""
    (project / "playbooks/other.yml").write_text(PLAYBOOK)
    site = "- {name: other, hosts: all, roles: [other]}\n"
    (project / "playbooks/site.yml").write_text(site)
    other = 'from orchestr.resources.files import File\n\n\ndef deploy(host, params):\n    yield File("/opt/wrong")\n'
    (project / "roles/other").mkdir()
    (project / "roles/other/__init__.py").write_text(f'"""Another."""\n\n{other}')
    _upgrade(orchestr, "--playbook", "playbooks/other.yml")
    done = orchestr("rollback", "last", "--no-verify")
    assert done.code == 0, done
    assert "→ orchestr verify inventories/site.yml --playbook playbooks/other.yml" in done.out
    assert "/opt/app/word" not in hosts["10.0.0.2"].nodes
    assert [host for host in hosts.values() if "/opt/wrong" in host.nodes] == []
    assert "playbook not found" in orchestr("rollback", "last", "--playbook", "none.yml").err


def test_variables_of_the_upgrade_must_be_given_again(orchestr: Orchestr, project: Path) -> None:
    """Their names are on record and their values are not; without them rollback says which, and with them it works."""
    role = project / "roles/app/__init__.py"
    role.write_text(role.read_text().replace('Field("hello", ', "Field("))
    (project / GROWN).write_text(INVENTORY.replace("  vars: {app_word: hello}\n", ""))
    run = _upgrade(orchestr, "-e", "app_word=canary-word")
    refused = orchestr("rollback", "last")
    assert refused.code == 2
    assert "the rollback needs variables of the upgrade: app_word" in refused.err
    assert f"→ orchestr rollback {run} -e app_word=…" in refused.err
    started = json.loads((project / "state/runs" / run / "events.jsonl").read_text().splitlines()[2])
    assert (started["event"], started["extra_variables"]) == ("RunStarted", ["app_word"])
    assert "canary-word" not in str(started)
    assert orchestr("rollback", "last", "-e", "app_word=canary-word").code == 0


def test_the_sudo_password_is_asked_for_again(orchestr: Orchestr, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade with -K is gone back from with -K."""
    monkeypatch.setattr("getpass.getpass", lambda prompt: "canary-sudo")
    run = _upgrade(orchestr, "-K")
    assert f"→ orchestr rollback {run} -K" in orchestr("rollback", "last").err
    assert orchestr("rollback", "last", "-K").code == 0


def test_from_another_directory(
    orchestr: Orchestr, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record holds from anywhere: not by what has the same relative path there."""
    _upgrade(orchestr)
    assert f"  {SITE}\n" in orchestr("history").out
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "inventories").mkdir()
    (elsewhere / SITE).write_text("all: {hosts: {stranger: }}\n")
    monkeypatch.chdir(elsewhere)
    assert json.loads(orchestr("history", "--json").out)["runs"][0]["inventory"] == str(project / SITE)
    done = orchestr("rollback", "last")
    assert done.code == 0, done
    assert "stranger" not in done.out
    assert f"→ orchestr verify {project / SITE}" in done.out


def test_the_closing_line_names_the_inventory(orchestr: Orchestr) -> None:
    """After a rollback the next command is about the inventory the cluster is at again."""
    _upgrade(orchestr)
    done = orchestr("rollback", "last")
    assert f"→ orchestr verify {SITE}\n" in done.out
    assert f"→ orchestr verify {SITE}\n" in orchestr("show", "last").out


def test_a_failed_rollback_is_typed_again(orchestr: Orchestr, hosts: dict[str, MemoryHost]) -> None:
    """The next step after a failure is the same rollback."""
    run = _upgrade(orchestr)
    del hosts["10.0.0.1"]
    done = orchestr("rollback", run)
    assert f"then: orchestr rollback {run}\n" in done.out
    assert "web2  untouched, still part of the cluster" in done.out


def test_states_of_hosts_that_leave(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """Stopped now, stopped before, or nothing to stop: each is said as it is, never "still running"."""
    _upgrade(orchestr)
    del hosts["10.0.0.3"].nodes["/opt/app/word"]
    done = orchestr("rollback", "last")
    assert "web2  drained and stopped" in done.out
    assert "db1   already stopped" in done.out


def test_a_host_without_anything_to_stop(orchestr: Orchestr, project: Path) -> None:
    """A host whose roles stop nothing is not said to be drained, stopped or running."""
    (project / "roles/app/__init__.py").write_text(ROLE)
    _upgrade(orchestr)
    assert "web2  nothing to stop on it, no longer part of the cluster" in orchestr("rollback", "last").out


def test_a_refused_upgrade_leaves_no_record(orchestr: Orchestr, project: Path) -> None:
    """Bad input for a host that leaves is found before anything is recorded, and hides no upgrade."""
    _upgrade(orchestr)
    before = sorted((project / "state/runs").iterdir())
    (project / SITE).write_text((project / SITE).read_text() + "        web9: {app_port: many}\n")
    assert orchestr("upgrade", SITE, "--to", GROWN).code == 2
    assert sorted((project / "state/runs").iterdir()) == before
    assert "upgrade" in orchestr("show", "last").out
