"""Tasks that would undo each other are refused when planned."""

from __future__ import annotations

import pytest

from orchestr.agent.resource import Resource, Task
from orchestr.errors import InputError
from orchestr.planning.ownership import Owners, refuse_conflicts
from orchestr.resources.commands import Command
from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File, Link
from orchestr.resources.firewall.firewall import Firewall, FirewallRule
from orchestr.resources.firewall.rules import Rule
from orchestr.resources.lines import Block, Line
from orchestr.resources.packages import Package
from orchestr.resources.probes import TcpAnswer
from orchestr.resources.services import Service
from orchestr.resources.swarm.nodes import SwarmNode
from orchestr.resources.swarm.stack import Stack, StackService
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
    (File("/etc/s.conf"), Sysctl("net.a", 1, "/etc/s.conf"), "writes the file whole"),
    (Line("/etc/f", "a=1", match="^a="), Line("//etc/./f", "a=2", match="^a="), "line ^a="),
    (FirewallRule(80), FirewallRule(80, action="deny"), "(allow; deny)"),
    (FirewallRule(80, sources=("10.0.0.1",)), FirewallRule("80", sources=("10.0.0.1",), present=False), "absent"),
    (Firewall((Rule(80),)), Firewall((Rule(81),)), "firewall as a whole"),
    (ComposeProject("/opt/a", ("x",), "shop"), ComposeProject("/opt/b", ("x",), "shop"), "compose project shop"),
    (Stack("shop", (StackService("x", "1"),)), Stack("shop", (StackService("x", "2"),)), "stack shop"),
    (SwarmNode("n1", role="worker"), SwarmNode("n1", role="manager"), "role worker; manager"),
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


@pytest.mark.parametrize(("first", "second", "words"), CONFLICTS)
def test_two_tasks_of_one_role_are_refused_too(first: Resource, second: Resource, words: str) -> None:
    """Each would undo the other in every run; with a task that acts between them, the order decides."""
    tasks = [Task(item, id=f"app/task{number}") for number, item in enumerate((first, Directory("/opt"), second))]
    with pytest.raises(InputError) as raised:
        refuse_conflicts("web1", tasks)
    message = str(raised.value)
    assert words in message and "app/task0" in message and "app/task2" in message
    assert message.startswith("two tasks of web1") and "let one task decide it" in message
    for acting in (Command(("true",)), TcpAnswer(port=80), Service("own")):
        refuse_conflicts("web1", [tasks[0], Task(acting, id="app/acting"), tasks[2]])


def test_the_value_that_a_role_leaves_counts_for_others() -> None:
    """A role may write a file, act, and write it again; other roles must agree with the last value."""
    act = Task(Command(("true",)), id="app/command")
    first, last = (Task(File("/etc/x", text), id=f"app/file:/etc/x#{text}") for text in "ab")
    refuse_conflicts("web1", [first, act, last, Task(File("/etc/x", "b"), id="web/other")])
    for other in (File("/etc/x", "a"), Line("/etc/x", "c")):
        with pytest.raises(InputError, match="app/file:/etc/x#b and web/other"):
            refuse_conflicts("web1", [first, act, last, Task(other, id="web/other")])


def test_plays_are_compared_as_well() -> None:
    """A role of a later play that contradicts one of an earlier play is refused; the same role again is not."""
    owners = Owners()
    owners.add("web1", [Task(File("/etc/x", "a"), id="app/x")])
    owners.add("web1", [Task(File("/etc/x", "b"), id="app/x")])
    for other in (File("/etc/x", "a"), Line("//etc/./x", "c"), Link("/etc/x", "/y")):
        with pytest.raises(InputError, match=r"two roles of web1 decide the path /etc/x.*app/x and web/other"):
            owners.add("web1", [Task(other, id="web/other")])
    owners.add("web1", [Task(File("/etc/x", "b"), id="web/other")])


def test_a_secret_is_not_shown() -> None:
    """The values of a conflict are shown only where nothing of them is secret."""
    with pytest.raises(InputError) as raised:
        refuse(Block("/etc/f", "m", Secret("hunter2")), Block("/etc/f", "m", Secret("hunter3")))
    assert "hunter" not in str(raised.value)
