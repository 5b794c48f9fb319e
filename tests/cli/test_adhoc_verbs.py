"""ping, facts, exec, inventory, trust and doc."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestr.transport.known_hosts import OfferedKey, fingerprint
from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import Orchestr

SITE = "inventories/site.yml"


def test_ping(orchestr: Orchestr, hosts: dict[str, MemoryHost]) -> None:
    """ping says who answers and who does not, and exits with 4 when one does not."""
    assert "All 3 hosts answer." in orchestr("ping", SITE).out
    del hosts["10.0.0.3"]
    outcome = orchestr("ping", SITE)
    assert outcome.code == 4
    assert "connected    web1" in outcome.out
    assert "unreachable  db1   10.0.0.3 does not answer" in outcome.out
    assert json.loads(orchestr("ping", SITE, "web", "--json").out)["exit"] == 0


def test_facts(orchestr: Orchestr) -> None:
    """facts shows what the agent found, on stdout alone, and under each host with --json."""
    outcome = orchestr("facts", SITE, "db")
    assert "  distribution           debian\n" in outcome.out
    assert "4.0 GiB" in outcome.out
    found = json.loads(orchestr("facts", SITE, "--json").out)
    assert found["hosts"]["web2"]["facts"]["cpu_count"] == 2


def test_exec(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """exec puts the host's name before each line of output; a status other than 0 gives 1 and is named on stderr."""
    for host in hosts.values():
        host.commands[("uname", "-r")] = "6.1\nrest"
    outcome = orchestr("exec", SITE, "all", "--", "uname", "-r")
    assert outcome.code == 0
    assert sorted(outcome.out.splitlines()) == [
        *("db1  | 6.1", "db1  | rest", "web1 | 6.1", "web1 | rest", "web2 | 6.1", "web2 | rest")
    ]
    hosts["10.0.0.2"].commands[("uname", "-r")] = (3, "", "no")
    failing = orchestr("exec", SITE, "web", "--", "uname", "-r")
    assert failing.code == 1
    assert "failed       web2  uname -r" in failing.err
    assert "it ended with 3" in failing.err
    found = json.loads(orchestr("exec", SITE, "web", "--json", "--", "uname", "-r").out)
    assert (found["hosts"]["web2"]["exit"], found["hosts"]["web2"]["stderr"]) == (3, "no")
    assert (found["hosts"]["web1"]["exit"], found["hosts"]["web1"]["stdout"]) == (0, "6.1\nrest")


def test_words_after_the_dashes_belong_to_the_command(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """An option after -- is the command's, --json among them; without -- the error says to put it there."""
    assert "put -- before the command" in orchestr("exec", SITE, "db", "ip", "-4").err
    hosts["10.0.0.3"].commands[("ip", "--json")] = "[]\n"
    assert orchestr("exec", SITE, "db", "--", "ip", "--json").out == "db1 | []\n"
    assert orchestr("exec", "none.yml", "db", "--", "ip", "--json").out == ""


def test_inventory(orchestr: Orchestr) -> None:
    """inventory lists hosts with address and groups, draws the tree, and gives Ansible's JSON."""
    assert "web1  10.0.0.1  web\n" in orchestr("inventory", SITE).out
    assert "db1" not in orchestr("inventory", SITE, "-l", "web").out
    assert "  |--@web:\n  |  |--web1\n" in orchestr("inventory", SITE, "--graph").out
    found = json.loads(orchestr("inventory", SITE, "--json").out)
    assert found["_meta"]["hostvars"]["web1"]["app_word"] == "hello"
    assert found["web"]["hosts"] == ["web1", "web2"]
    assert json.loads(orchestr("inventory", SITE, "--host", "db1").out)["ansible_host"] == "10.0.0.3"


def test_doc(orchestr: Orchestr) -> None:
    """doc lists roles and resources, and describes one of either with its defaults."""
    listed = orchestr("doc").out
    assert "app" in listed and "File" in listed
    role = orchestr("doc", "app").out
    assert "app_word: str = 'hello'\n      what it says\n" in role
    assert "app_port: int (at least 1, at most 65535) = 80" in role
    assert "app_token: Secret | None = None" in role
    resource = orchestr("doc", "file").out
    assert "path: str  (required)" in resource
    assert "mode: int | str | None = None" in resource
    (found,) = json.loads(orchestr("doc", "app", "--json").out)["roles"]
    assert [field["name"] for field in found["fields"]] == ["app_word", "app_port", "app_token"]


@pytest.fixture
def offered(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, OfferedKey]:
    """The key each address offers; the project's known_hosts is its own."""
    inventory = project / SITE
    known = project / "known_hosts"
    options = f"ansible_ssh_common_args: -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none"
    inventory.write_text(inventory.read_text().replace("{app_word: hello}", "{app_word: hello, " + options + "}"))
    keys = {f"10.0.0.{number}": _new_key(project / f"key{number}") for number in (1, 2, 3)}
    monkeypatch.setattr("orchestr.transport.host_key_records.scan", lambda settings: [keys[settings.address]])
    return keys


def _new_key(path: Path) -> OfferedKey:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    kind, text, *_ = path.with_suffix(".pub").read_text().split()
    return OfferedKey(kind, text, fingerprint(text))


def test_trust_records_what_is_agreed_to(orchestr: Orchestr, project: Path, offered: Any) -> None:
    """Without agreement nothing is recorded; with --yes the keys are, in a file of the user's own."""
    assert orchestr("trust", SITE, "--json").code == 1
    assert not (project / "known_hosts").exists()
    outcome = orchestr("trust", SITE, "--yes")
    assert outcome.code == 0
    for key in offered.values():
        assert f"{key.fingerprint} (ssh-ed25519): new" in outcome.out
    assert stat.S_IMODE((project / "known_hosts").stat().st_mode) == 0o600
    again = orchestr("trust", SITE)
    assert (again.code, "All keys are on record." in again.out) == (0, True)


def test_trust_by_fingerprint(orchestr: Orchestr, project: Path, offered: dict[str, OfferedKey]) -> None:
    """--fingerprint records only the key that has it, and fails for one that nobody offers."""
    key = offered["10.0.0.2"]
    assert orchestr("trust", SITE, "-l", "web2", "--fingerprint", key.fingerprint).code == 0
    assert (project / "known_hosts").read_text() == f"10.0.0.2 {key.type} {key.base64}\n"
    assert orchestr("trust", SITE, "-l", "web2", "--fingerprint", "SHA256:none").code == 1


def test_trust_says_before_it_asks_that_it_has_no_file(orchestr: Orchestr, project: Path, offered: Any) -> None:
    """UserKnownHostsFile=/dev/null: named with the way out, for the hosts that have it; the others' are recorded."""
    inventory = project / SITE
    own = "10.0.0.2, ansible_ssh_common_args: -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=none}"
    inventory.write_text(inventory.read_text().replace("10.0.0.2}", own))
    outcome = orchestr("trust", SITE, "-l", "web2")
    assert outcome.code == 4
    assert "no file to record the key" in outcome.out and "remove UserKnownHostsFile=/dev/null" in outcome.out
    assert f"{offered['10.0.0.2'].fingerprint} (ssh-ed25519): new" in outcome.out
    assert "Record" not in outcome.out
    assert orchestr("trust", SITE, "--yes").code == 4
    text = (project / "known_hosts").read_text()
    assert offered["10.0.0.1"].base64 in text and offered["10.0.0.2"].base64 not in text


def test_only_the_named_host_is_replaced(orchestr: Orchestr, project: Path, offered: dict[str, OfferedKey]) -> None:
    """--replace holds for the hosts it names; --yes alone replaces nothing, and a misspelt name is an error."""
    orchestr("trust", SITE, "--yes")
    kept = offered["10.0.0.2"]
    for number in (1, 2):
        offered[f"10.0.0.{number}"] = _new_key(project / f"newkey{number}")
    misspelt = orchestr("trust", SITE, "--yes", "--replace", "web11")
    assert (misspelt.code, "did you mean 'web1'?" in misspelt.err) == (2, True)
    assert orchestr("trust", SITE, "--yes", "--replace", "web1").code == 1
    text = (project / "known_hosts").read_text()
    assert offered["10.0.0.1"].base64 in text
    assert kept.base64 in text
    assert offered["10.0.0.2"].base64 not in text


def test_trust_of_a_changed_key(orchestr: Orchestr, project: Path, offered: dict[str, OfferedKey]) -> None:
    """A changed key is shown with both fingerprints and recorded only where --replace names its host."""
    old = offered["10.0.0.1"]
    orchestr("trust", SITE, "--yes")
    offered["10.0.0.1"] = _new_key(project / "newkey")
    refused = orchestr("trust", SITE, "--yes")
    assert refused.code == 1
    assert f"offered   {offered['10.0.0.1'].fingerprint} (ssh-ed25519): CHANGED" in refused.out
    assert f"recorded  {old.fingerprint}" in refused.out
    assert f"orchestr trust {SITE} -l web1 --replace web1" in refused.out
    assert old.base64 in (project / "known_hosts").read_text()
    assert orchestr("trust", SITE, "--yes", "--replace", "web1").code == 0
    assert old.base64 not in (project / "known_hosts").read_text()
