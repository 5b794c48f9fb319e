"""Agents on a real host: each kind of account starts one, or is told what hinders it and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import orchestr
from orchestr import events
from orchestr.engine import fleet, start_pace
from orchestr.results import HostResult
from tests.lab.conftest import ADDRESSES, LAB, ssh

NODE = "lab5"
NODES = [NODE]
OTHER_PYTHON = "/usr/local/bin/other-python"
#: Python's bytecode has another number than the controller's, as that of another version; it waits before it runs.
OTHER = r"""#!/bin/sh
sleep 1
exec python3 -S -I -c 'import sys, _frozen_importlib_external as e
e.MAGIC_NUMBER = b"\1\2\r\n"
exec(sys.argv.pop())' "$@"
"""
SILENT = 'import socket, time; s = socket.socket(2, 2); s.bind(("127.0.0.2", 53)); time.sleep(600)'
PASSWORD = "lab-only-Pa55word"


class Account(NamedTuple):
    """A user of the node: how it differs from others, and the expected message and next step ("" for a start)."""

    shell: str = "/bin/bash"
    rule: str = "NOPASSWD: ALL"
    defaults: str = ""
    bashrc: str = ""
    setup: str = ""
    variables: dict[str, Any] = {}  # noqa: RUF012 (a NamedTuple's default)
    message: str = ""
    step: str = ""


ACCOUNTS = {
    "plain": Account(),
    "csh": Account(shell="/usr/bin/tcsh"),
    "cshpass": Account(shell="/usr/bin/tcsh", rule="ALL", variables={"ansible_become_password": PASSWORD}),
    "fish": Account(shell="/usr/bin/fish"),
    "noisy": Account(bashrc="echo oR; printf 'no end' >&2; nvm use"),
    "needstty": Account(
        defaults="requiretty", message="demands a terminal (requiretty)", step="Defaults:needstty !requiretty"
    ),
    "asked": Account(rule="ALL", bashrc="nvm use", message="sudo asks asked for a password", step="-K"),
    "wrong": Account(
        rule="ALL",
        variables={"ansible_become_password": "another"},
        message="sudo did not accept the password of wrong",
        step="ansible_become_password",
    ),
    "unlisted": Account(
        rule="",
        variables={"ansible_become_password": PASSWORD},
        message="does not allow unlisted to become root",
        step="visudo",
    ),
    "nosudo": Account(bashrc="PATH=/nowhere", message="there is no sudo on the host", step="apt-get install -y sudo"),
    "nopython": Account(
        bashrc="PATH=/nowhere",
        variables={"ansible_become": False},
        message="there is no python3 on the host",
        step="apt-get install -y python3",
    ),
    "expired": Account(setup="chage -d 0 expired", message="password of expired has expired", step="passwd expired"),
    "nologin": Account(shell="/usr/sbin/nologin", message="login shell of nologin refuses logins", step="chsh -s"),
    "false": Account(shell="/bin/false", message="login shell of false started no command", step="/bin/false"),
    "rbash": Account(shell="/bin/rbash", message="the login of rbash is restricted", step="ansible_user"),
    "exits": Account(bashrc="exit 3", message="started no command: it ended before it began", step="profile"),
    "slow": Account(defaults="fqdn", variables={"ansible_python_interpreter": OTHER_PYTHON}),
}


def _make(name: str, account: Account) -> str:
    """Return the commands that make an account."""
    rule = f"{name} ALL=(ALL:ALL) {account.rule}\n" if account.rule else ""
    defaults = f"Defaults:{name} {account.defaults}\n" if account.defaults else ""
    return f"""
useradd --create-home --shell {account.shell} {name} && echo {name}:{PASSWORD} | chpasswd
install -d -m 700 -o {name} -g {name} /home/{name}/.ssh
install -m 600 -o {name} -g {name} /root/.ssh/authorized_keys /home/{name}/.ssh/
cat >/home/{name}/.bashrc <<'END'
{account.bashrc}
END
cat >>/etc/sudoers.d/starts <<'END'
{rule}{defaults}END
{account.setup}
"""


@pytest.fixture(scope="module")
def accounts(bare: list[str]) -> Iterator[None]:
    """All accounts; the host's own name has no address, and the nameserver says nothing for two seconds."""
    lists = "-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/debian.list -o Dir::Etc::sourceparts=-"
    shells = f"apt-get update -qq {lists} && apt-get install -y -qq --no-install-recommends tcsh fish >/dev/null 2>&1"
    ssh(NODE, f"set -e; {shells}; cat >{OTHER_PYTHON}; chmod 755 {OTHER_PYTHON}", input=OTHER)
    people = "".join(_make(name, account) for name, account in ACCOUNTS.items())
    silent = f"systemd-run --quiet --unit=silent python3 -c '{SILENT}'\n"
    silent += "until ss -Huln 'sport = :53' | grep -q 127.0.0.2; do sleep 0.05; done\n"
    silent += "cp /etc/hosts /etc/resolv.conf /root/; echo 127.0.0.1 localhost >/etc/hosts\n"
    silent += "printf 'nameserver 127.0.0.2\\noptions timeout:2 attempts:1\\n' >/etc/resolv.conf\n"
    rules = "echo 'Defaults !fqdn' >/etc/sudoers.d/starts; chmod 440 /etc/sudoers.d/starts\n"
    ssh(NODE, "sh -es", input=rules + people + silent + "visudo -cq\n")
    yield
    restore = "for file in hosts resolv.conf; do cat /root/$file >/etc/$file; done"
    ssh(NODE, f"{restore}; systemctl stop silent; rm /etc/sudoers.d/starts")


def _inventory(root: Path) -> Path:
    common = {
        "ansible_host": ADDRESSES[NODE],
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(LAB / "id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={LAB / 'known_hosts'}",
    }
    hosts = {name: {"ansible_user": name, **account.variables} for name, account in ACCOUNTS.items()}
    path = root / "hosts.yml"
    path.write_text(json.dumps({"all": {"vars": common, "hosts": hosts}}))
    return path


def test_each_account_starts_an_agent_or_is_told_why_not(
    accounts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once. Signs of life are due many times during the slow start, of a python that asks for sources."""
    monkeypatch.setattr(fleet, "BEAT_S", 0.02)
    monkeypatch.setattr(start_pace, "SLOW_S", 1.5)
    seen: list[events.Event] = []
    result = orchestr.ping(orchestr.load_inventory(_inventory(tmp_path)), on_event=seen.append)
    problems = {name: problem for name in ACCOUNTS for problem in [_problem(name, result.hosts[name])] if problem}
    assert not problems, json.dumps(problems, indent=1)
    slow = {event.host: event.slow for event in seen if isinstance(event, events.HostConnected) and event.slow}
    assert "does not find the address of the host's own name; add the name there" in slow["slow"], slow
    assert PASSWORD not in repr(seen)


def _problem(name: str, result: HostResult) -> str:
    """Return how a result differs from the account's expected one."""
    expected, errors = ACCOUNTS[name], result.errors
    if not expected.message:
        return "" if not errors else f"no start: {errors}"
    is_told = bool(errors) and expected.message in errors[0]["message"] and expected.step in errors[0]["next_step"]
    return "" if is_told else f"expected {expected.message!r} and {expected.step!r}: {errors or 'it started'}"
