"""Files, directories and links."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.resources.files import Directory, File, Link, text_diff
from orchestr.transport.memory import MemoryHost, MemorySystem, Node


def run(host: MemoryHost, resource: Resource, check: bool = False) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(host, read_only=check), check, False)


def test_a_changed_file_shows_the_lines_that_differ() -> None:
    """The diff of a file has its old and new lines and nothing of what stays far away."""
    host = MemoryHost()
    host.add_file("/etc/app", "".join(f"line {number}\n" for number in range(20)))
    after = host.text("/etc/app").replace("line 9\n", "line nine\n")
    diff = run(host, File("/etc/app", after))["diff"]
    assert "- line 9" in diff and "+ line nine" in diff and "line 3" not in diff


def test_an_old_secret_is_never_shown() -> None:
    """What a file with secrets held before may be an old secret: it is hidden, new secrets too, the rest is shown."""
    host = MemoryHost()
    host.add_file("/etc/app", "name: app\npassword: old-canary\n", mode=0o600)
    diff = run(host, File("/etc/app", Secret("name: web\npassword: new-canary\n", ["new-canary"]), 0o600), check=True)[
        "diff"
    ]
    assert "canary" not in diff and "+ name: web" in diff


def test_no_line_of_a_secret_of_several_lines_is_shown() -> None:
    """A private key in a template is hidden line by line."""
    key = "-----BEGIN KEY-----\nMIIcanary\n-----END KEY-----"
    diff = text_diff("a\n", Secret(f"a\nb\n{key}\nc\n", [key]))
    assert "canary" not in diff and "+ b" in diff and "+ c" in diff


def test_a_secret_whose_parts_are_not_known_is_hidden_whole() -> None:
    """A file that is one secret shows that it differs, and nothing of it."""
    assert text_diff("old", Secret("new")) == "~ content differs ‹secret›"


def test_a_directory_is_not_removed_where_a_file_is_unwanted() -> None:
    """`File(present=False)` on a directory refuses instead of removing a tree."""
    host = MemoryHost()
    host.nodes["/opt/data"] = Node("directory")
    host.add_file("/opt/data/precious", "x")
    result = run(host, File("/opt/data", present=False))
    assert result["verdict"] == "failed" and "/opt/data/precious" in host.nodes


@pytest.mark.parametrize("resource", [Directory("/opt/x", present=False), Link("/opt/x", present=False)])
def test_a_file_is_not_removed_where_something_else_is_unwanted(resource: Resource) -> None:
    """Neither a directory nor a link that should not be there removes a file of that name."""
    host = MemoryHost()
    host.add_file("/opt/x", "precious")
    assert run(host, resource)["verdict"] == "failed" and host.text("/opt/x") == "precious"


def test_an_owner_who_is_not_there_is_named() -> None:
    """An unknown owner fails before anything is written."""
    host = MemoryHost()
    result = run(host, File("/etc/app", "x", owner="nosuch"))
    assert "no user 'nosuch'" in result["error"]["message"] and "/etc/app" not in host.nodes


def test_an_owner_by_number_is_the_same_owner() -> None:
    """`owner="0"` and `owner="root"` mean the same file."""
    host = MemoryHost()
    run(host, File("/etc/app", "x", owner="root"))
    assert run(host, File("/etc/app", "x", owner="0"))["verdict"] == "ok"


def test_a_plan_predicts_a_removal() -> None:
    """After a plan that removes a file, its predicted digest is none, also for whoever asks again."""
    host = MemoryHost()
    host.add_file("/etc/app", "x")
    system = MemorySystem(host, read_only=True)
    for _ in range(2):
        assert converge(Task(File("/etc/app", present=False)), system, True, False)["verdict"] == "changed"
        assert system.digest("/etc/app") is None
