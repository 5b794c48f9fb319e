"""A secret on every path a careless role or a slip of the hand can send it: it arrives nowhere but where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import CANARY, INVENTORY, ROLE, Orchestr

SITE = "inventories/site.yml"
START = ROLE.partition("def deploy")[0]
NESTED = (
    START.replace(
        "class Params",
        "class Login(Base):\n    user: str\n    key: SecretText\n\n\nclass Params",
    )
    + "    logins: list[Login] = []\n\n\ndef deploy(host, params):\n    yield Directory('/opt/app')\n"
)


@dataclass(frozen=True)
class Slip:
    """A role's text, the lines of the inventory's vars, and what is typed."""

    role: str = ROLE
    variables: str = "app_token: !file ../token"
    words: tuple[str, ...] = ("run", SITE, "-vvv", "--diff")
    files: Mapping[str, str] = field(default_factory=dict)


def _deploy(*lines: str) -> str:
    return f"{START}\n\ndef deploy(host, params):\n" + "".join(f"    {line}\n" for line in lines)


SLIPS = {
    "in a task's name": Slip(
        "from orchestr.agent.resource import Task\n"
        + _deploy("yield Task(Directory('/opt/app'), name='for ' + params.token.reveal())")
    ),
    "in a path": Slip(_deploy("yield Directory('/opt/' + params.token.reveal())")),
    "in an argument": Slip(
        "from orchestr.resources.commands import Command\n" + _deploy("yield Command(('true', params.token.reveal()))")
    ),
    "in plain content": Slip(
        _deploy("yield Directory('/opt/app')", "yield File('/opt/app/x', content='a ' + params.token.reveal())")
    ),
    "in a note": Slip(_deploy("host.note('with ' + params.token.reveal())", "yield Directory('/opt/app')")),
    "in an exception": Slip(_deploy("raise ValueError(params.token.reveal())", "yield")),
    "in an input error": Slip(
        "from orchestr import InputError\n"
        + _deploy("raise InputError(params.token.reveal(), next_step=params.token.reveal())", "yield")
    ),
    "in a failed lookup": Slip(
        _deploy("yield File('/opt/x', content=host.template('x.j2', params))"),
        files={"roles/app/templates/x.j2": "{{ {'a': 1}[params.token] }}"},
    ),
    "in a filter that fails": Slip(
        _deploy("yield File('/opt/x', content=host.template('x.j2', params))"),
        files={"roles/app/templates/x.j2": "{{ params.token | b64decode }}{{ [params.token] | map('int') | join }}"},
    ),
    "in a variable's lookup": Slip(variables="app_token: !file ../token\n    app_word: \"{{ {'a': 1}[app_token] }}\""),
    "as a port": Slip(variables="ansible_port: !file ../token"),
    "as a flag": Slip(variables="ansible_become: !file ../token"),
    "as a way to connect": Slip(variables="ansible_connection: !file ../token"),
    "as an address": Slip(variables="ansible_host: !file ../spaced"),
    "as a number": Slip(variables="app_port: !file ../token"),
    "as a template's number": Slip(variables="app_token: !file ../token\n    app_port: '{{ app_token }}'"),
    "in a nested parameter": Slip(NESTED, f"app_logins: [{{user: [], key: {CANARY}}}, {{user: a, key: [{CANARY}]}}]"),
    "in a mapping of the wrong shape": Slip(NESTED, f"app_logins: [{CANARY}]"),
    "in -e": Slip(words=("run", SITE, "-vvv", "-e", f"app_token={CANARY}")),
    "in -e of the wrong shape": Slip(NESTED, words=("run", SITE, "-e", f"{{app_logins: [{{key: {CANARY}}}]}}")),
    "in the inventory": Slip(words=("inventory", SITE, "--json")),
    "in one host's inventory": Slip(words=("inventory", SITE, "--host", "web1", "--json")),
    "in a plan": Slip(words=("plan", SITE, "-vvv")),
}


@pytest.mark.parametrize("name", SLIPS)
def test_it_is_hidden(orchestr: Orchestr, project: Path, hosts: Mapping[str, MemoryHost], name: str) -> None:
    """It is in no output at -vvv, in no event, and in no file of the journal, nor in what show and history say."""
    slip = SLIPS[name]
    variables = INVENTORY.replace("  vars: {app_word: hello}\n", f"  vars:\n    {slip.variables}\n")
    files = {SITE: variables, "token": CANARY, "spaced": f"{CANARY} x", "roles/app/__init__.py": slip.role}
    for path, text in {**files, **slip.files}.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    events = () if slip.words[0] == "inventory" else ("--events", str(project / "events.jsonl"))
    quiet = [word for word in slip.words if word not in ("-vvv", "--json")]
    said = [orchestr(*slip.words, *events), orchestr(*quiet, "--json")]
    said += [orchestr("show", "last", "-vvv"), orchestr("show", "last", "--json"), orchestr("history", "--json")]
    written = [*(project / "state").rglob("*"), *project.glob("events.*")]
    recorded = [path.read_text() for path in written if path.is_file()]
    for text in [*recorded, *(each.out + each.err for each in said)]:
        assert CANARY not in text, text[max(0, text.index(CANARY) - 300) :][:400]
    assert said[0].out + said[0].err
    assert "fault in orchestr:" not in said[0].err
