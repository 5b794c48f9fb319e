"""Forty and more ways to be wrong, as people are: each exits with 2, says where and what next, and connects to nobody.

Every case goes through the command line with --json. ``place`` is FILE:LINE:COLUMN as far as there is one; ``next`` is
the suggested name or the next step, for an error that leaves people without either is half an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import INVENTORY, PLAYBOOK, ROLE, Orchestr
from tests.cli.test_input_errors import MISTAKES

SITE, BOOK, ROLE_FILE = "inventories/site.yml", "playbooks/site.yml", "roles/app/__init__.py"
PLAN = ("plan", SITE)
CANARY = "canary-in-bad-input"
VAULT = """!vault |
      $ANSIBLE_VAULT;1.1;AES256
      33363965326261303931386664643637366236303531623837363939336537393037646137653532
      6162626163643930623835363062653536653035616165300a613938393031653734636461613436
      34316265646337323530656561633432366336613332333364376136323939616135366663373464
      6634646435646565370a393439353564633063313839623334626235353633653836613564383763
      3633
"""


@dataclass(frozen=True)
class Bad:
    """``files`` are put into the project, ``words`` are typed; the error stands at ``place`` and says ``says``."""

    says: str
    place: str = ""
    next: str = ""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    words: tuple[str, ...] = PLAN


def _all(line: str) -> dict[str, str]:
    """The inventory with ``line`` under all: vars: (line 3, column 5)."""
    return {SITE: INVENTORY.replace("  vars: {app_word: hello}\n", f"  vars:\n    {line}\n")}


def _play(line: str) -> dict[str, str]:
    """The playbook with ``line`` added to its play (line 4, column 3)."""
    return {BOOK: PLAYBOOK + f"  {line}\n"}


def _role(text: str) -> dict[str, str]:
    return {BOOK: PLAYBOOK.replace("[app]", text)}


NESTED = {
    ROLE_FILE: ROLE.replace("    token: SecretText | None = None\n", """\
    token: Annotated[SecretText, AfterValidator(_long)] | None = None
    env: dict[str, str] = {}
    ports: list[int] = []
    keys: dict[str, SecretText] = {}
""").replace("class Params", """\
from typing import Annotated

from pydantic import AfterValidator


def _long(value):
    if len(value.reveal()) < 12:
        raise ValueError("is shorter than 12 characters")
    return value


class Params""")
}  # fmt: skip

BAD = {
    # -- inventories
    "alias to nowhere": Bad("an anchor that is not defined", f"{SITE}:3:8", files=_all("x: *nowhere")),
    "misspelt ansible_host": Bad(
        "says nothing about the connection",
        f"{SITE}:6:16",
        "ansible_host",
        {SITE: INVENTORY.replace("ansible_host: 10.0.0.1", "ansible_hots: 10.0.0.1")},
    ),
    "misspelt ansible_python_interpreter": Bad(
        "says nothing", f"{SITE}:3:5", "ansible_python_interpreter", _all("ansible_pyton_interpreter: /usr/bin/python3")
    ),
    "port with a letter": Bad("from 1 to 65535, found '22a'", f"{SITE}:3:19", files=_all("ansible_port: 22a")),
    "port by template": Bad("found 'many'", f"{SITE}:3:19", files=_all("ansible_port: '{{ p }}'\n    p: many")),
    "address with a port": Bad(
        "a host without a port", f"{SITE}:3:19", "and ansible_port: 22", _all("ansible_host: '10.0.0.1:22'")
    ),
    "login by template": Bad("'ip' is not defined", f"{SITE}:3:19", files=_all("ansible_user: '{{ ip }}'")),
    "address that is a number": Bad("found the number 10.1", f"{SITE}:3:19", "put quotes", _all("ansible_host: 10.1")),
    "unknown way to become root": Bad("known: sudo", f"{SITE}:3:28", files=_all("ansible_become_method: su")),
    "tabs": Bad("a tab indents this line", f"{SITE}:2:1", files={SITE: "all:\n\thosts:\n\t\tweb1:\n"}),
    "wrong indentation": Bad(
        "the indentation", f"{SITE}:4:4", files={SITE: "all:\n  hosts:\n    web1:\n   web2:\n"}
    ),
    "a section twice": Bad(
        "written twice", f"{SITE}:4:3", "keep one", {SITE: "all:\n  vars: {a: 1}\n  hosts: {a: }\n  vars: {b: 1}\n"}
    ),
    "a long circle": Bad(
        "circle: a → b → c → a",
        f"{SITE}:3:16",
        "take 'a' out",
        {SITE: "a: {children: {b: }}\nb: {children: {c: }}\nc: {children: {a: }}\n"},
    ),
    "range without end": Bad("has no end", f"{SITE}:3:5", "web[1:3]", {SITE: "all:\n  hosts:\n    web[1:]:\n"}),
    "children as a list": Bad("found a list", f"{SITE}:3:5", "'web:'", {SITE: "all:\n  children:\n    - web\n"}),
    "hosts as a list": Bad("found a list", f"{SITE}:3:5", "'web1:'", {SITE: "all:\n  hosts:\n    - web1\n"}),
    "INI words for a host": Bad(
        "mapping of variables", f"{SITE}:3:11", files={SITE: "all:\n  hosts:\n    web1: ansible_host=10.0.0.1\n"}
    ),
    "empty": Bad("is empty", SITE, "an inventory starts with", {SITE: ""}),
    "binary": Bad("is not UTF-8", f"{SITE}:2", "save it as UTF-8", {SITE: bytes(range(256))}),
    "UTF-16": Bad("is not UTF-8", f"{SITE}:1", "it begins as UTF-16", {SITE: INVENTORY.encode("utf-16")}),
    "Latin-1": Bad("is not UTF-8", f"{SITE}:6", "save it", {SITE: INVENTORY.replace("web1", "wéb1").encode("latin-1")}),
    "five megabytes of it": Bad("a second ':'", f"{SITE}:1:5", files={SITE: "a: b: c\n" * 600_000}),
    "a playbook": Bad("found a list", f"{BOOK}:1:1", "an inventory starts", words=("plan", BOOK)),
    "a directory without any": Bad(
        "no inventory files", "inventories/d", "prod.yml", {"inventories/d/notes.txt": "x"}, ("plan", "inventories/d")
    ),
    "no name": Bad("path is empty", "", "prod.yml", words=("plan", "")),
    "misspelt file": Bad("no such inventory", "inventories/stie.yml", SITE, words=("plan", "inventories/stie.yml")),
    "group_vars as a list": Bad(
        "found a list", "inventories/group_vars/web.yml:1:1", files={"inventories/group_vars/web.yml": "- a: 1\n"}
    ),
    "host_vars with a tab": Bad(
        "a tab", "inventories/host_vars/web1.yml:2:1", files={"inventories/host_vars/web1.yml": "a:\n\tb: 1\n"}
    ),
    "alias in itself": Bad("inside the very value", f"{SITE}:3:8", "write the value out", _all("x: &a [*a]")),
    "a second document": Bad("a second document", f"{SITE}:3:1", "'---'", {SITE: "all:\n  hosts: {a: }\n---\nall:\n"}),
    "port by name": Bad("found 'ssh'", f"{SITE}:3:19", "ansible_port: 22", _all("ansible_port: ssh")),
    "unknown connection": Bad("'winrm'", f"{SITE}:3:25", "leave it out for ssh", _all("ansible_connection: winrm")),
    "vars as a list": Bad("found a list", f"{SITE}:3:5", "NAME: value", {SITE: "all:\n  vars:\n    - a: 1\n"}),
    "a host with a space": Bad(
        "not a valid host name", f"{SITE}:3:5", "a key of its own", {SITE: "all:\n  hosts:\n    h 1:\n"}
    ),
    "unknown tag": Bad("unknown tag !!nope", f"{SITE}:3:8", "known tags: !vault", _all("x: !!nope 1")),
    "control characters": Bad("control characters", f"{SITE}:3:9", "remove the character", _all("x: a\x01b")),
    "hosts 1 and true": Bad(
        "counts as the same as 1", f"{SITE}:4:5", "quotes around both", {SITE: "all:\n  hosts:\n    1:\n    true:\n"}
    ),
    "a host without a name": Bad("name is empty", f"{SITE}:3:5", "before the ':'", {SITE: 'all:\n  hosts:\n    "":\n'}),
    "a group without a name": Bad("name is empty", f"{SITE}:1:1", "before the ':'", {SITE: '"": {hosts: {a: }}\n'}),
    "--host of nobody": Bad("no host 'nope'", SITE, "lists the hosts", words=("inventory", SITE, "--host", "nope")),
    "a number that is none, as JSON": Bad(
        "no .nan and no .inf", f"{SITE}:3:16", "put quotes", _all("x: {y: [1, .nan]}"), ("inventory", SITE)
    ),
    "an infinite number of one host": Bad(
        "x: JSON has no", f"{SITE}:3:8", "put quotes", _all("x: -.inf"), ("inventory", SITE, "--host", "web1")
    ),
    # -- secrets
    "damaged vault text": Bad(
        "the vault text is damaged",
        f"{SITE}:3:16",
        "restore it from a copy, or encrypt it again",
        {**_all("app_token: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      3336zz\n"), "word": "w\n"},
        (*PLAN, "--vault-password-file", "word"),
    ),
    "no vault text at all": Bad("starts with $ANS", f"{SITE}:3:16", "encrypt it again", _all("app_token: !vault x")),
    "no vault password": Bad(
        "no vault password", f"{SITE}:3:16", "ORCHESTR_VAULT_PASSWORD_FILE", _all(f"app_token: {VAULT}")
    ),
    "wrong vault password": Bad(
        "not the one this was encrypted with",
        f"{SITE}:3:16",
        "--vault-password-file",
        {**_all(f"app_token: {VAULT}"), "word": f"{CANARY}\n"},
        (*PLAN, "--vault-password-file", "word"),
    ),
    "empty vault password": Bad(
        "the file is empty",
        "word",
        "put the vault password",
        {**_all(f"app_token: {VAULT}"), "word": ""},
        (*PLAN, "--vault-password-file", "word"),
    ),
    "!file that is missing": Bad("No such file", f"{SITE}:3:16", "beside the file", _all("app_token: !file none")),
    "!env that is not set": Bad("is not set", f"{SITE}:3:16", "export NO_TOKEN_7=", _all("app_token: !env NO_TOKEN_7")),
    "!command that fails": Bad("exited with 1", f"{SITE}:3:16", files=_all("app_token: !command ['false']")),
    # -- playbooks
    "roles as a text": Bad("roles is a list, found text", f"{BOOK}:3:10", files=_role("app")),
    "serial 0": Bad("a count like 1", f"{BOOK}:4:11", files=_play("serial: 0")),
    "serial in quotes": Bad('a percentage like "50%"', f"{BOOK}:4:11", files=_play("serial: '50'")),
    "too much failure": Bad("from 0 to 100", f"{BOOK}:4:24", files=_play("max_fail_percentage: 200")),
    "unknown role": Bad("role 'apps' not found", f"{BOOK}:3:11", "app", _role("[apps]")),
    "a role with a hyphen": Bad(
        "whose name Python cannot import", f"{BOOK}:3:11", "to my_app",
        {**_role("[my-app]"), "roles/my-app/__init__.py": ""},
    ),
    "unknown role, searched": Bad("'zzz' not found", f"{BOOK}:3:11", "(searched in ", _role("[zzz]")),
    "gather_facts": Bad("of Ansible", f"{BOOK}:4:3", "leave it out: facts come", _play("gather_facts: false")),
    "handlers": Bad("of Ansible", f"{BOOK}:4:3", "a service is restarted when", _play("handlers: []")),
    "remote_user": Bad("of Ansible", f"{BOOK}:4:3", "ansible_user", _play("remote_user: me")),
    "ansible_connection: docker": Bad(
        "known: ssh, local", f"{SITE}:3:25", "leave it out for ssh", _all("ansible_connection: docker")
    ),
    "INI in a directory": Bad(
        "an INI inventory", "inv/hosts.ini", "this sorts hosts", {"inv/hosts.ini": "[web]\nz\na\n"}, ("plan", "inv")
    ),
    "role outside": Bad("role '../app' not found", f"{BOOK}:3:11", "app", _role("[../app]")),
    "parameter of a role, misspelt": Bad(
        "no parameter 'prot'", f"{BOOK}:3:40", "app_port", _role("[{role: app, vars: {app_prot: 1}}]")
    ),
    "parameter without its role's name": Bad(
        "its parameters begin with app_", f"{BOOK}:3:30", "app_port", _role("[{role: app, vars: {port: 1}}]")
    ),
    "hosts that are no patterns": Bad(
        "found a mapping", f"{BOOK}:2:11", files={BOOK: PLAYBOOK.replace("hosts: all", "hosts: [{a: 1}]")}
    ),
    "unknown group": Bad("'we_b' is neither a host", f"{BOOK}:2:10", "web", {BOOK: PLAYBOOK.replace("all", "we_b")}),
    "tasks in a play": Bad("is a key of Ansible", f"{BOOK}:4:3", "deploy()", _play("tasks: []")),
    "playbook missing": Bad("not found", "playbooks/stie.yml", BOOK, words=(*PLAN, "--playbook", "playbooks/stie.yml")),
    "playbook that is a directory": Bad("a directory", "playbooks", BOOK, words=(*PLAN, "--playbook", "playbooks")),
    "playbook that is an inventory": Bad("found a mapping", f"{SITE}:1:1", "- name", words=(*PLAN, "--playbook", SITE)),
    "playbook named in the inventory": Bad(
        "playbook not found: playbooks/stie.yml", f"{SITE}:3:24", BOOK, _all("orchestr_playbook: playbooks/stie.yml")
    ),
    "playbooks as a list": Bad("found a list", f"{SITE}:3:24", files=_all("orchestr_playbook: [a, b]")),
    # -- parameters
    "a list for a mapping": Bad(
        "expected a dictionary", f"{SITE}:3:14", "orchestr doc app", {**NESTED, **_all("app_env: [A, B]")}
    ),
    "a wrong item of a list": Bad(
        "app_ports[1]: expected an integer", f"{SITE}:3:20", "orchestr doc app", {**NESTED, **_all("app_ports: [1, x]")}
    ),
    "a wrong value in a mapping": Bad(
        "app_env.A: expected a string", f"{SITE}:3:18", "orchestr doc", {**NESTED, **_all("app_env: {A: [1]}")}
    ),
    "a secret too short": Bad(
        "shorter than 12", f"{SITE}:3:16", "orchestr doc app", {**NESTED, **_all("app_token: canary")}
    ),
    "a secret of the wrong type": Bad(
        "app_keys", f"{SITE}:3:15", "orchestr doc app", {**NESTED, **_all(f"app_keys: {CANARY}")}
    ),
    "a required one missing": Bad(
        "needs app_word",
        f"{BOOK}:3:11",
        f"set app_word in {SITE}",
        {ROLE_FILE: ROLE.replace('Field("hello", ', "Field("), **_all("a: 1")},
    ),
    "an undefined name": Bad("'app_wrod'", f"{SITE}:3:15", "app_word", _all("app_word: '{{ app_wrod }}'")),
    "a template in itself": Bad("app_word → app_word", f"{SITE}:3:15", files=_all("app_word: '{{ app_word }}'")),
    "an unknown filter": Bad("no filter 'to_yml'", f"{SITE}:3:15", "to_yaml", _all("app_word: '{{ 1 | to_yml }}'")),
    "a template never closed": Bad("malformed template", f"{SITE}:3:15", files=_all("app_word: '{{ x'")),
    # -- options
    "--limit misspelt": Bad("'wbe' is neither a host", "", "web", words=(*PLAN, "--limit", "wbe")),
    "--limit that leaves nobody": Bad("no play", BOOK, "--graph", words=(*PLAN, "--limit", "web:&db")),
    "--limit that is empty": Bad("--limit is empty", "", "all is every host", words=(*PLAN, "--limit", "")),
    "--limit of a missing file": Bad("No such file", "none", words=(*PLAN, "--limit", "@none")),
    "a play without roles": Bad("the play has no roles", f"{BOOK}:3:10", "roles: [NAME]", _role("[]")),
    "a role with deploy misspelt": Bad(
        "no deploy(), but deplyo()", f"{ROLE_FILE}:18", "deploy", {ROLE_FILE: ROLE.replace("deploy", "deplyo")}
    ),
    "a role that does nothing": Bad(
        "no deploy(): it does", ROLE_FILE, "define deploy", {ROLE_FILE: ROLE[: ROLE.index("def deploy")]}
    ),
    "--limit with a host of no play": Bad(
        "--limit spare: no play", BOOK, "leave it out", {SITE: INVENTORY + "    spare: {hosts: {s1: }}\n",
        BOOK: PLAYBOOK.replace("all", "web")}, (*PLAN, "--limit", "web1:spare"),
    ),
    "--tags that are empty": Bad("--tags is empty", "", "leave it out", words=(*PLAN, "--tags", "")),
    "-e without a value": Bad("is not NAME=VALUE", "", "-e takes", words=(*PLAN, "-e", "app_word")),
    "-e with a space": Bad("what follows app_word=…", "", "quote", words=(*PLAN, "-e", f"app_word=a {CANARY}")),
    "-e with half a quote": Bad("no closing quotation", "", "quote", words=(*PLAN, "-e", f"app_word='{CANARY}")),
    "-e half YAML": Bad("not valid YAML", "--extra-vars:2:1", "-e takes", words=(*PLAN, "-e", f"{{a: [{CANARY}")),
    "-e of a list": Bad("found a list", "--extra-vars", "-e takes", words=(*PLAN, "-e", f"[{CANARY}]")),
    "-e of the wrong type": Bad("an integer", "--extra-vars", "orchestr doc", words=(*PLAN, "-e", "app_port=x")),
    "-e of a misspelt parameter": Bad("no parameter", "--extra-vars", "app_port", words=(*PLAN, "-e", "app_prot=1")),
    "-e of a wrong port": Bad("found '22a'", "--extra-vars", words=(*PLAN, "-e", "ansible_port=22a")),
    "--playbook that is nowhere": Bad("not found", "/nope", "like playbooks/", words=(*PLAN, "--playbook", "/nope")),
    "--forks that is no number": Bad("'abc' is not a whole number", "", "--help", words=(*PLAN, "-f", "abc")),
    "--forks 0": Bad("0 is less than 1", "", "--help", words=(*PLAN, "-f", "0")),
    "two inventories": Bad("unexpected extra argument", "", "--help", words=(*PLAN, SITE)),
    # -- verbs
    "upgrade to itself": Bad("the same inventory", SITE, "orchestr run", words=("upgrade", SITE, "--to", SITE)),
    "upgrade to nothing": Bad("no such", "none.yml", SITE, words=("upgrade", SITE, "--to", "none.yml")),
    "upgrade to another cluster": Bad(
        "no host of", "other.yml", "orchestr run", {"other.yml": "all: {hosts: {z: }}\n"},
        ("upgrade", SITE, "--to", "other.yml"),
    ),
    "upgrade without --to": Bad("missing option '--to'", "", "--help", words=("upgrade", SITE)),
    "exec on nobody": Bad("pattern is empty", "", "all is every host", words=("exec", SITE, "", "--", "reboot")),
    "exec alone": Bad("missing argument 'INVENTORY'", "", "write: orchestr exec INVENTORY", words=("exec",)),
    "exec of nothing": Bad("the command is missing", "", "write a program", words=("exec", SITE, "all", "--", "")),
    "no such run": Bad("no run '../..'", "", "orchestr history", words=("show", "../..")),
    "a role's Params of another kind": Bad(
        "not a subclass", ROLE_FILE, "class Params(Base)", {ROLE_FILE: ROLE.replace("Params(Base)", "Params")}
    ),
    "a role that is no Python": Bad("SyntaxError", f"{ROLE_FILE}:1", files={ROLE_FILE: "def deploy(:\n"}),
}  # fmt: skip


def test_there_are_more_than_forty() -> None:
    """Beside the mistakes in files tested elsewhere, at least forty more are tried through the command line."""
    assert len(BAD) >= 40 and len(BAD) + len(MISTAKES) >= 100


@pytest.mark.parametrize("name", BAD)
def test_bad_input(orchestr: Orchestr, project: Path, hosts: Mapping[str, MemoryHost], name: str) -> None:
    """It exits with 2: one object on stdout, the message on stderr, no traceback, nobody connected to."""
    case = BAD[name]
    for path, content in case.files.items():
        target = project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    split = case.words.index("--") if "--" in case.words else len(case.words)
    outcome = orchestr(*case.words[:split], "--json", *case.words[split:])
    assert (outcome.code, outcome.out.count("\n")) == (2, 1), outcome.err
    found = json.loads(outcome.out)
    error = found["error"]
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error[key] is not None)
    assert (found["exit"], place.removeprefix(f"{project}/")) == (2, case.place)
    assert case.says in error["message"]
    assert case.next in f"{error['suggestion']}\n{error['next_step']}"
    assert error["suggestion"] or error["next_step"], "half an error: it says nothing of what to do"
    assert case.says in outcome.err and outcome.err.count("error: ") == 1
    assert CANARY not in outcome.err + outcome.out
    assert "Traceback" not in outcome.err
    assert [host.log for host in hosts.values()] == [[], [], []]


def test_a_program_is_no_inventory(orchestr: Orchestr, project: Path) -> None:
    """A dynamic inventory of Ansible is not taken for a text, and not run."""
    program = project / "dynamic.sh"
    program.write_text("#!/bin/sh\ntouch ran\necho '{}'\n")
    program.chmod(0o755)
    outcome = orchestr("plan", "dynamic.sh")
    assert outcome.code == 2 and "dynamic.sh: is a program; orchestr reads inventories, and runs none\n" in outcome.err
    assert "ansible-inventory -i dynamic.sh --list --yaml --export > inventory.yml" in outcome.err
    assert not (project / "ran").exists()


@pytest.mark.parametrize("line", ["ansible_port: {}", "ansible_become: {}", "app_port: '{}'", "ansible_host: 'a@{}'"])
def test_a_value_without_end_is_cut_short(orchestr: Orchestr, project: Path, line: str) -> None:
    """What was found is quoted to be recognised, not whole."""
    (project / SITE).write_text(_all(line.format("9" * 5000))[SITE])
    outcome = orchestr("plan", SITE)
    assert outcome.code == 2
    assert "99999" in outcome.err
    assert len(outcome.err) < 500


def test_no_playbook_anywhere(orchestr: Orchestr, project: Path) -> None:
    """Without --playbook and orchestr_playbook the message says how to name one."""
    (project / BOOK).unlink()
    outcome = orchestr("plan", SITE)
    assert outcome.code == 2
    assert "playbooks/site.yml: playbook not found\n  → name one: orchestr_playbook in the inventory" in outcome.err


@pytest.mark.parametrize(
    "content",
    [INVENTORY.replace("\n", "\r\n"), "\ufeff" + INVENTORY, INVENTORY + "\n# " + "x" * 5_000_000],
    ids=["CRLF", "BOM", "5 MB"],
)
def test_odd_but_right(orchestr: Orchestr, project: Path, content: str) -> None:
    """Windows line ends, a byte order mark and sheer size are no mistakes."""
    (project / SITE).write_bytes(content.encode())
    assert orchestr("plan", SITE).code == 3


@pytest.mark.parametrize("words", [["ping", SITE, "-K"], ["run", SITE, "-K"], ["plan", SITE, "-K", "--json"]])
def test_a_prompt_without_anybody_to_answer(project: Path, process: Orchestr, words: list[str]) -> None:
    """The end of the input at a prompt (``</dev/null``, Ctrl-D) is bad input with a next step, not a fault."""
    outcome = process(*words, stdin=subprocess.DEVNULL, start_new_session=True)
    assert outcome.code == 2
    assert "\nerror: nothing was typed at the prompt 'BECOME password'\n  → run it in a terminal, or set" in outcome.err
    assert "fault" not in outcome.err


@pytest.mark.parametrize("text", ["", "\n"])
def test_nothing_to_encrypt(project: Path, process: Orchestr, text: str) -> None:
    """An empty stdin is refused: an empty secret helps nobody and hides that the value was lost on the way."""
    (project / "pw").write_text("word\n")
    (project / "pw").chmod(0o600)
    words = ("secrets", "encrypt", "--string", "token", "--vault-password-file", "pw")
    outcome = process(*words, input=text)
    assert (outcome.code, outcome.out) == (2, "")
    assert "stdin is empty: nothing was encrypted\n  → pipe it: printf %s VALUE | orchestr secrets" in outcome.err
    assert "$ANSIBLE_VAULT" in process(*words, input="canary\n").out


@pytest.mark.parametrize("words", ["run inv", "run inventories/site.yml --playbook pl", "secrets view va"])
def test_file_names_complete(project: Path, words: str) -> None:
    """With the shell's completion on, an argument that is a file is left to the shell, which knows files."""
    typed = words.split()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "_ORCHESTR_COMPLETE": "bash_complete",
        "COMP_WORDS": f"orchestr {words}",
        "COMP_CWORD": str(len(typed)),
    }
    command = [sys.executable, "-m", "orchestr"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == f"file,{typed[-1]}\n", done.stderr
