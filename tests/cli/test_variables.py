"""Variables and passwords given on the command line."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import CANARY, INVENTORY, Orchestr

SITE = "inventories/site.yml"
PASSWORD = "letmein"
#: The canary, encrypted by ansible-vault with that password.
VAULTED = """\
    app_token: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      32393233623434303766663431653935303766316334333764666638386536626562366335656264
      6231303030383533366433616230373530666638643836340a393761623030666463303833356637
      33353062653635356331643063616436653234666635313732353231396533643262396663326234
      3733376534666464330a663836663231643636366333353738343131666137303939663964386366
      3637
"""


@pytest.fixture
def vaulted(project: Path) -> None:
    """The inventory has a vaulted token."""
    (project / SITE).write_text(INVENTORY.replace("  vars: {app_word: hello}\n", "  vars:\n" + VAULTED))


def _asked(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    prompts: list[str] = []

    def ask(prompt: str = "") -> str:
        prompts.append(prompt)
        return answer

    monkeypatch.setattr(getpass, "getpass", ask)
    return prompts


@pytest.mark.parametrize(
    "words",
    [["app_word=bye"], ["{app_word: bye}"], ['{"app_word": "bye"}'], ["app_word=no", "app_word=bye"], ["@vars.yml"]],
)
def test_extra_variables_win(
    orchestr: Orchestr, project: Path, hosts: Mapping[str, MemoryHost], words: list[str]
) -> None:
    """k=v, YAML, JSON and @FILE all set a variable over the inventory's; the last -e wins."""
    (project / "vars.yml").write_text("app_word: bye\n")
    options = [word for each in words for word in ("-e", each)]
    assert orchestr("run", SITE, *options).code == 0
    assert hosts["10.0.0.1"].text("/opt/app/word") == "bye\n"


def test_quoted_values(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """Words of one -e are split as a shell would, so that a value may have spaces."""
    orchestr("run", SITE, "-e", "other=1 app_word='good bye'")
    assert hosts["10.0.0.1"].text("/opt/app/word") == "good bye\n"


@pytest.mark.usefixtures("vaulted")
def test_vault_password_file(orchestr: Orchestr, project: Path, hosts: Mapping[str, MemoryHost]) -> None:
    """--vault-password-file is a file with the password, or a program that prints it."""
    (project / "password").write_text(PASSWORD + "\n")
    assert orchestr("run", SITE, "--vault-password-file", "password").code == 0
    assert hosts["10.0.0.1"].text("/opt/app/token") == CANARY
    program = project / "ask-keyring"
    program.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    program.chmod(0o700)
    assert orchestr("plan", SITE, "--vault-password-file", "ask-keyring").code == 0


@pytest.mark.usefixtures("vaulted")
def test_ask_vault_pass(orchestr: Orchestr, monkeypatch: pytest.MonkeyPatch) -> None:
    """--ask-vault-pass asks once, however many hosts need it; a wrong password is an input error at the value."""
    prompts = _asked(monkeypatch, PASSWORD)
    assert orchestr("run", SITE, "--ask-vault-pass").code == 0
    assert len(prompts) == 1
    _asked(monkeypatch, "wrong")
    outcome = orchestr("run", SITE, "--ask-vault-pass")
    assert outcome.code == 2
    assert f"{SITE}:3:16: the vault password is not the one" in outcome.err


@pytest.mark.usefixtures("vaulted")
def test_no_vault_password(orchestr: Orchestr, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a password the error is at the encrypted value and says how to give one."""
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    monkeypatch.delenv("ORCHESTR_VAULT_PASSWORD_FILE", raising=False)
    outcome = orchestr("run", SITE)
    assert outcome.code == 2
    assert "no vault password was given" in outcome.err


def test_ask_become_pass(orchestr: Orchestr, monkeypatch: pytest.MonkeyPatch) -> None:
    """-K asks for sudo's password and hands it to every host as a secret, which no output shows."""
    _asked(monkeypatch, CANARY)
    seen = []

    def connect(settings: Any, **options: Any) -> Any:
        from orchestr.errors import UnreachableError

        seen.append(settings.become_password.reveal())
        raise UnreachableError("enough")

    monkeypatch.setattr("orchestr.transport.connect.connect", connect)
    outcome = orchestr("run", SITE, "-K", "-vvv", "-e", "ansible_become=true")
    assert seen == [CANARY] * 3
    assert CANARY not in outcome.out + outcome.err
    assert CANARY not in json.dumps(orchestr("inventory", SITE, "-K", "--json").out)
