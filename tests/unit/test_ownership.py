"""Tasks of two roles that would undo each other are refused when planned."""

from __future__ import annotations

import pytest

from orchestr.agent.resource import Resource, Task
from orchestr.errors import InputError
from orchestr.planning.ownership import refuse_conflicts
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File, Link
from orchestr.resources.lines import Block, Line
from orchestr.resources.packages import Package
from orchestr.resources.services import Service
from orchestr.resources.sysctl import Sysctl
from orchestr.resources.users import Group, User
from orchestr.secret import Secret


def refuse(*resources: Resource, when: bool = True) -> None:
    tasks = [Task(resource, id=f"role{number}/task", when=when) for number, resource in enumerate(resources)]
    refuse_conflicts("web1", tasks)


CONFLICTS = [
    (File("/etc/x", "a"), File("/etc/./x", "b"), "path /etc/x"),
    (File("/etc/x", "a"), File("/etc/x", "a", mode=0o600), "mode 0644; 0600"),
    (File("/etc/x"), File("/etc/x", present=False), "present; absent"),
    (File("/etc/x"), Link("/etc/x", "/y"), "path /etc/x"),
    (File("/etc/x"), EnvFile.of("/etc/x", {"A": "1"}), "path /etc/x"),
    (Directory("/srv"), Directory("/srv/", mode=0o700), "path /srv"),
    (Line("/etc/f", "a=1", match="^a="), Line("/etc/f", "a=2", match="^a="), "line ^a="),
    (Block("/etc/f", "m", "x"), Block("/etc/f", "m", "y"), "block m"),
    (File("/etc/f", "whole"), Line("/etc/f", "a"), "writes the file whole"),
    (Block("/etc/f", "m", "x"), File("/etc/f", "whole"), "writes the file whole"),
    (Package("redis"), Package(("curl", "redis"), present=False), "installed; absent"),
    (Package("redis", version="7"), Package("redis", version="8"), "package redis"),
    (Service("nginx"), Service("nginx.service", running=False), "unit nginx.service running"),
    (User("bob", shell="/bin/sh"), User("bob", shell="/bin/bash"), "user bob shell"),
    (User("bob"), User("bob", present=False), "user bob"),
    (Group("g", gid=5), Group("g", gid=6), "group g gid"),
    (Sysctl("net.a", 1), Sysctl("net/a", 2), "kernel setting net/a"),
]


@pytest.mark.parametrize(("first", "second", "words"), CONFLICTS)
def test_both_tasks_are_named(first: Resource, second: Resource, words: str) -> None:
    """The message has the thing, both tasks and where they differ."""
    with pytest.raises(InputError) as raised:
        refuse(Directory("/opt"), first, second)
    message = str(raised.value)
    assert words in message and "role1/task" in message and "role2/task" in message
    refuse(first, second, when=False)


def test_tasks_that_agree_or_share_are_no_conflict() -> None:
    """The same wish twice, several lines of one file and several parts of a unit are."""
    refuse(Directory("/opt"), Directory("/opt/"), Package("curl"), Package(("curl", "git")))
    refuse(Line("/etc/f", "a"), Line("/etc/f", "b"), Block("/etc/f", "m", "x"), Block("/etc/f", "n", "y"))
    refuse(Service("nginx", config=("/a",)), Service("nginx", running=None, enabled=None))
    refuse(User("bob", groups=("a",)), User("bob", groups=("b",)), Directory("/etc/f"), File("/etc/f/g"))


def test_within_a_role_the_order_decides() -> None:
    """A role may write a file again; the value that it leaves is the one that other roles must agree with."""
    first, last = (Task(File("/etc/x", text), id=f"app/file:/etc/x#{text}") for text in "ab")
    refuse_conflicts("web1", [first, last, Task(Line("/etc/x", "c"), id="app/line")])
    refuse_conflicts("web1", [first, last, Task(File("/etc/x", "b"), id="web/other")])
    for other in (File("/etc/x", "a"), Line("/etc/x", "c")):
        with pytest.raises(InputError, match="app/file:/etc/x#b and web/other"):
            refuse_conflicts("web1", [first, last, Task(other, id="web/other")])


def test_a_secret_is_not_shown() -> None:
    """The values of a conflict are shown only where nothing of them is secret."""
    with pytest.raises(InputError) as raised:
        refuse(Block("/etc/f", "m", Secret("hunter2")), Block("/etc/f", "m", Secret("hunter3")))
    assert "hunter" not in str(raised.value)
