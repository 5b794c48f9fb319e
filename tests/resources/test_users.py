"""Users, groups and the keys that open them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.resources.authorized_keys import keys_with
from orchestr.resources.users import Group, User
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedAccounts

A, B = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 30} {letter}@x" for letter in "AB")
KEYS = "/home/app/.ssh/authorized_keys"


@pytest.fixture
def accounts() -> SimulatedAccounts:
    return SimulatedAccounts(MemoryHost())


def run(accounts: SimulatedAccounts, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
    system = MemorySystem(accounts.host, read_only=check)
    return [converge(Task(resource), system, check, False) for resource in resources]


def test_a_user_is_made_with_all_that_is_asked(accounts: SimulatedAccounts) -> None:
    """Group, number, shell, hash and keys come about in one run; a second one changes nothing."""
    user = User("app", 2001, "apps", ("docker",), "/bin/bash", authorized_keys=(A,), password_hash=Secret("$6$canary"))
    wanted = [Group("apps", 3001), Group("docker"), user]
    results = run(accounts, *wanted)
    assert [result["verdict"] for result in results] == ["changed"] * 3, results
    assert accounts.rows("/etc/passwd")["app"] == ["app", "x", "2001", "3001", "", "/home/app", "/bin/bash"]
    assert accounts.rows("/etc/shadow")["app"][1] == "$6$canary"
    assert accounts.host.text(KEYS) == A + "\n"
    assert [result["verdict"] for result in run(accounts, *wanted)] == ["ok"] * 3


def test_a_hash_is_in_no_argument_and_in_no_diff(accounts: SimulatedAccounts) -> None:
    """The password's hash goes over stdin and is hidden, old and new."""
    run(accounts, User("app", password_hash=Secret("$6$canary-old")))
    results = run(accounts, User("app", password_hash=Secret("$6$canary-new")))
    assert results[0]["verdict"] == "changed"
    assert "canary" not in str(results) + str(accounts.host.log)


def test_what_is_not_given_is_not_looked_at(accounts: SimulatedAccounts) -> None:
    """Only the name is given: shell, groups and keys are the host's business."""
    run(accounts, User("app", shell="/bin/zsh", authorized_keys=(A,)))
    assert run(accounts, User("app"))[0]["verdict"] == "ok"


def test_only_what_differs_is_changed(accounts: SimulatedAccounts) -> None:
    """A user in one of two groups is added to the other and stays in all it was in."""
    run(accounts, Group("one"), Group("two"), Group("mine"), User("app", groups=("one", "mine"), comment="x"))
    accounts.host.log.clear()
    assert run(accounts, User("app", groups=("one", "two"), comment="x"))[0]["verdict"] == "changed"
    assert accounts.host.log == [("usermod", "-a", "-G", "one,two", "--", "app")]
    assert all("app" in accounts.rows("/etc/group")[group][3] for group in ("one", "two", "mine"))


def test_a_group_of_the_same_name_is_joined(accounts: SimulatedAccounts) -> None:
    """useradd refuses a name that is a group already, unless told to use it."""
    assert [result["verdict"] for result in run(accounts, Group("app", 3001), User("app"))] == ["changed", "changed"]
    assert accounts.rows("/etc/passwd")["app"][3] == "3001"


def test_a_group_gets_the_number_it_should_have(accounts: SimulatedAccounts) -> None:
    """A group with another number is renumbered; one without a wanted number is left."""
    run(accounts, Group("g", 2000))
    assert run(accounts, Group("g"))[0]["verdict"] == "ok"
    assert run(accounts, Group("g", 2001))[0]["diff"] == "- gid: 2000\n+ gid: 2001"


def test_keys_are_added_and_others_stay(accounts: SimulatedAccounts) -> None:
    """Keys and comments of others stay; the same key with other options is replaced, not doubled."""
    run(accounts, User("app"))
    accounts.host.nodes["/home/app/.ssh"] = Node("directory", mode=0o700, uid=accounts_uid(accounts))
    accounts.host.add_file(KEYS, f'# mine\nfrom="10.0.0.1" {A}\n{B}\n', mode=0o600, uid=accounts_uid(accounts))
    assert run(accounts, User("app", authorized_keys=(A,)))[0]["verdict"] == "changed"
    assert accounts.host.text(KEYS) == f"# mine\n{A}\n{B}\n"


def accounts_uid(accounts: SimulatedAccounts) -> int:
    return int(accounts.rows("/etc/passwd")["app"][2])


def test_a_key_is_revoked_with_only_these_keys(accounts: SimulatedAccounts) -> None:
    """With `only_these_keys` whatever else opens the account goes, and is shown in the diff."""
    run(accounts, User("app", authorized_keys=(A, B)))
    result = run(accounts, User("app", authorized_keys=(B,), only_these_keys=True))[0]
    assert A in result["diff"] and accounts.host.text(KEYS) == B + "\n"
    run(accounts, User("app", only_these_keys=True))
    assert accounts.host.text(KEYS) == ""


@pytest.mark.parametrize(("mode", "uid"), [(0o644, None), (0o600, 0)])
def test_keys_that_sshd_would_not_trust_differ(accounts: SimulatedAccounts, mode: int, uid: int | None) -> None:
    """Modes and owner of ~/.ssh and its file are part of the state: sshd ignores what others can write."""
    user = User("app", authorized_keys=(A,))
    run(accounts, user)
    node = accounts.host.nodes[KEYS]
    node.mode, node.uid = mode, node.uid if uid is None else uid
    assert "ssh_access" in run(accounts, user)[0]["diff"]
    node = accounts.host.nodes[KEYS]
    assert (node.mode, node.uid) == (0o600, accounts_uid(accounts))


def test_a_link_in_a_users_home_is_not_followed(accounts: SimulatedAccounts) -> None:
    """A user cannot have root write somewhere else by making ~/.ssh a link."""
    run(accounts, User("app"))
    accounts.host.nodes["/home/app/.ssh"] = Node("link", target="/etc")
    result = run(accounts, User("app", authorized_keys=(A,)))[0]
    assert (
        "/home/app/.ssh is a link" in result["error"]["message"] and "/etc/authorized_keys" not in accounts.host.nodes
    )


def test_removal_leaves_the_home(accounts: SimulatedAccounts) -> None:
    """A user that should not be there is removed, its files stay."""
    run(accounts, User("app"))
    assert [run(accounts, User("app", present=False))[0]["verdict"] for _ in range(2)] == ["changed", "ok"]
    assert "/home/app" in accounts.host.nodes and "-r" not in str(accounts.host.log)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "-x"},
        {"name": "a:b"},
        {"name": ""},
        {"name": "a", "group": "-g"},
        {"name": "a", "groups": ("a,b",)},
        {"name": "a", "shell": "/bin/sh:"},
        {"name": "a", "comment": "x\ny"},
        {"name": "a", "password_hash": Secret("canary:x")},
        {"name": "a", "authorized_keys": ("not a key canary-free",)},
        {"name": "a", "authorized_keys": (A, A)},
    ],
)
def test_what_no_account_can_have_is_refused(arguments: dict[str, Any]) -> None:
    """Names, fields and keys that would break /etc/passwd or its neighbours are refused without showing secrets."""
    with pytest.raises(ValueError) as caught:
        User(**arguments)
    assert "canary:x" not in str(caught.value)


def test_key_lines_are_known_by_the_key_alone() -> None:
    """Options with spaces and quotes before the key, and comments after it, do not make it another key."""
    line = f'command="echo ssh-rsa x",no-pty {A}'
    assert keys_with([line, f"#{A}"], [A], False) == [A, f"#{A}"]
    ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI= me"
    assert keys_with([], [ecdsa, "sk-ssh-ed25519@openssh.com AAAAGnNrLXNz me"], True)[0] == ecdsa
