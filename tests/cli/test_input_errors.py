"""What a user writes wrong: exit 2, file:line:column, the closest known name, no traceback, nobody connected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import INVENTORY, PLAYBOOK, Orchestr

SITE = "inventories/site.yml"
BOOK = "playbooks/site.yml"


@dataclass(frozen=True)
class Mistake:
    """``text`` is put into ``file``; the error names ``place`` (line:column) and says ``says``."""

    name: str
    file: str
    text: str
    place: str
    says: str


def _inventory(line: str) -> str:
    return INVENTORY.replace("  vars: {app_word: hello}\n", f"  vars:\n    {line}\n")


def _play(line: str) -> str:
    return PLAYBOOK + f"  {line}\n"


MISTAKES = [
    Mistake("not-yaml", BOOK, "- name: [\n", "2:1", "expected"),
    Mistake("not-a-list", BOOK, "hosts: all\n", "1:1", "a playbook is a list of plays"),
    Mistake("empty", BOOK, "[]\n", "1:1", "the playbook has no plays"),
    Mistake("not-a-play", BOOK, "- all\n", "1:3", "a play is a mapping, found text"),
    Mistake("no-hosts", BOOK, "- roles: [app]\n", "1:3", "the play has no 'hosts'"),
    Mistake("no-roles", BOOK, "- hosts: all\n", "1:3", "the play has no 'roles'"),
    Mistake("unknown-key", BOOK, _play("serail: 1"), "4:3", "did you mean 'serial'?"),
    Mistake("ansible-tasks", BOOK, _play("tasks: []"), "4:3", "put tasks into a role's deploy()"),
    Mistake("bad-serial", BOOK, _play("serial: [1, half]"), "4:15", "a batch size is a count like 1"),
    Mistake("bad-percentage", BOOK, _play("max_fail_percentage: 130"), "4:24", "a number from 0 to 100"),
    Mistake("bad-order", BOOK, _play("order: sortd"), "4:10", "did you mean 'sorted'?"),
    Mistake("bad-flag", BOOK, _play("any_errors_fatal: maybe"), "4:21", "true or false, found text"),
    Mistake("unknown-role", BOOK, PLAYBOOK.replace("[app]", "[ap]"), "3:11", "did you mean 'app'?"),
    Mistake("role-key", BOOK, PLAYBOOK.replace("[app]", "[{role: app, var: {}}]"), "3:23", "did you mean 'vars'?"),
    Mistake("unknown-group", BOOK, PLAYBOOK.replace("all", "wbe"), "2:10", "did you mean 'web'?"),
    Mistake("unknown-parameter", SITE, _inventory("app_wrod: hi"), "3:15", "did you mean 'app_word'?"),
    Mistake("wrong-type", SITE, _inventory("app_port: many"), "3:15", "expected an integer"),
    Mistake("out-of-range", SITE, _inventory("app_port: 70000"), "3:15", "less than or equal to 65535"),
    Mistake("secret-in-the-open", SITE, _inventory("app_word: !env HOME"), "3:15", "a secret"),
    Mistake("unset-variable", SITE, _inventory("app_word: '{{ wrod }}'"), "3:15", "wrod"),
    Mistake("tab", SITE, INVENTORY.replace("    web:", "\tweb:"), "4:1", "tab"),
    Mistake("inventory-key", SITE, INVENTORY.replace("children:", "childern:"), "3:3", "did you mean 'children'"),
    Mistake("vars-in-a-play", BOOK, _play("vars: {app_wrod: 1}"), "4:20", "did you mean 'app_word'?"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_mistakes_in_files(
    orchestr: Orchestr, project: Path, hosts: Mapping[str, MemoryHost], mistake: Mistake
) -> None:
    """Each mistake is named at its place with what to do, and nobody was connected to."""
    (project / mistake.file).write_text(mistake.text, encoding="utf-8")
    outcome = orchestr("run", SITE)
    assert outcome.code == 2
    assert f"{mistake.file}:{mistake.place}: " in outcome.err
    assert mistake.says in outcome.err
    assert "did you mean" in outcome.err or "\n  → " in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert [host.log for host in hosts.values()] == [[], [], []]


def test_missing_parameter(orchestr: Orchestr, project: Path) -> None:
    """A parameter that must be set and is not is named, with where to set it."""
    role = project / "roles/app/__init__.py"
    role.write_text(role.read_text().replace('word: str = Field("hello", ', "word: str = Field("))
    (project / SITE).write_text(INVENTORY.replace("{app_word: hello}", "{}"))
    outcome = orchestr("plan", SITE)
    assert outcome.code == 2
    assert f"{BOOK}:3:11: web1: the role app needs app_word, which is not set" in outcome.err
    assert f"set app_word in {SITE}" in outcome.err


def test_a_role_that_cannot_be_loaded(orchestr: Orchestr, project: Path) -> None:
    """A mistake in a role's Python is named with its file and line."""
    (project / "roles/app/__init__.py").write_text("import os\nimport no_such_module\n")
    outcome = orchestr("plan", SITE)
    assert outcome.code == 2
    assert "roles/app/__init__.py:2: the role app cannot be loaded" in outcome.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu", SITE], "there is no verb 'rnu' (did you mean 'run'?)"),
        (["run", SITE, "--limt", "web"], "there is no option --limt (did you mean '--limit'?)"),
        (["run"], "missing argument 'INVENTORY'"),
        (["run", SITE, "--forks", "none"], "'none' is not a whole number"),
        (["run", "inventories/siet.yml"], "did you mean 'inventories/site.yml'?"),
        (["run", SITE, "--playbook", "playbooks/sitee.yml"], "did you mean 'playbooks/site.yml'?"),
        (["run", SITE, "-l", "wbe"], "did you mean 'web'?"),
        (["run", SITE, "-e", "word"], "'word' is not NAME=VALUE"),
        (["run", SITE, "-e", "{a: ["], "--extra-vars:2:1: not valid YAML"),
        (["run", SITE, "-e", "@none.yml"], "none.yml: -e: no such file"),
        (["run", SITE, "-e", "app_wrod=1"], "did you mean 'app_word'?"),
        (["run", SITE, "--vault-password-file", "none"], "no such vault password file"),
        (["doc", "ap"], "did you mean 'app'?"),
        (["inventory", SITE, "--host", "wbe1"], "did you mean 'web1'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line(orchestr: Orchestr, words: list[str], says: str) -> None:
    """A wrong verb, option or value exits with 2 and says what was meant."""
    outcome = orchestr(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert says in outcome.err
    assert "did you mean" in outcome.err or "\n  → " in outcome.err
    assert outcome.out == ""


def test_errors_as_json(orchestr: Orchestr, project: Path) -> None:
    """With --json an error is one object on stdout as well as the message on stderr."""
    (project / BOOK).write_text(_play("serail: 1"))
    outcome = orchestr("run", SITE, "--json")
    found = json.loads(outcome.out)
    assert outcome.code == found["exit"] == 2
    assert set(found) == {"version", "error", "exit"}
    assert set(found["error"]) == {"message", "file", "line", "column", "suggestion", "next_step"}
    assert (found["error"]["line"], found["error"]["column"], found["error"]["suggestion"]) == (4, 3, "serial")
    assert "serail" in outcome.err


@pytest.mark.parametrize("words", [["rnu", "--json"], ["run", "--json"], ["run", SITE, "--jsno", "--json"]])
def test_command_line_errors_as_json(orchestr: Orchestr, words: list[str]) -> None:
    """Also what is wrong before the options are understood comes as an object."""
    assert json.loads(orchestr(*words).out)["exit"] == 2
