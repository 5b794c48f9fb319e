"""Commands: done unless they need not be, secrets on stdin only."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.resources.commands import Command
from orchestr.transport.memory import MemoryHost, MemorySystem, Node


def host_with(**answers: Any) -> MemoryHost:
    host = MemoryHost()
    host.commands.update({(name,): answer for name, answer in answers.items()})
    return host


def run(host: MemoryHost, resource: Resource, check: bool = False) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(host, read_only=check), check, False)


def test_it_reports_what_it_said() -> None:
    """The outcome has status, stdout and stderr, whatever the status with `check_exit=False`."""
    host = host_with(backup=(3, "out", "err"))
    result = run(host, Command(("backup", "now"), check_exit=False))
    assert (result["verdict"], result["outcome"]) == ("changed", {"exit": 3, "stdout": "out", "stderr": "err"})


def test_a_status_other_than_0_fails() -> None:
    """By default a failing command fails its task, with its stderr."""
    result = run(host_with(backup=(3, "", "disk is full")), Command(("backup",)))
    assert (result["verdict"], result["error"]["stderr"]) == ("failed", "disk is full")


def test_it_is_not_run_when_it_is_done() -> None:
    """`creates` and `unless` say that it is done; then there is no outcome either."""
    host = host_with(make="", check=(0, "", ""), no=(1, "", ""))
    host.add_file("/opt/made", "")
    for command in (Command(("make",), creates="/opt/made"), Command(("make",), unless=("check",))):
        result = run(host, command)
        assert result["verdict"] == "ok" and "outcome" not in result
    host.commands[("make",)] = lambda system, words, input: system.host.add_file("/opt/not", "") or ""
    assert run(host, Command(("make",), unless=("no",), creates="/opt/not"))["verdict"] == "changed"
    assert host.log.count(("make",)) == 1


def test_a_command_that_never_gets_done_says_why() -> None:
    """Without the path that it creates it would run in every run: that is a failure, with the path in it."""
    host = host_with(make="", odd=(1, "", ""), no=(1, "", ""))
    for _ in range(2):
        error = run(host, Command(("make",), creates="/opt/never"))["error"]
        assert error["message"] == "make ended well, but /opt/never, which it creates, is not there"
        assert "would run again in every run" in error["next_step"]
    assert run(host, Command(("odd",), creates="/opt/never", check_exit=False))["verdict"] == "changed"
    said: list[str] = []
    system = MemorySystem(host, on_output=lambda text, *rest: said.append(text))
    assert converge(Task(Command(("make",), unless=("no",))), system, False, False)["verdict"] == "changed"
    assert "unless (no) does not hold after it, so it runs again in every run" in "".join(said)


def test_the_same_command_later_reports_itself() -> None:
    """An outcome is of this time: a command that need not run again does not report its last one."""

    def make(system: MemorySystem, words: tuple[str, ...], input: bytes) -> str:
        system.host.nodes["/opt/made"] = Node("file")
        return "made"

    system = MemorySystem(host_with(make=make))
    task = Task(Command(("make",), creates="/opt/made"))
    assert converge(task, system, False, False)["outcome"]["stdout"] == "made"
    assert "outcome" not in converge(task, system, False, False)


def test_a_plan_runs_nothing_but_the_question() -> None:
    """In check mode only `unless` is asked."""
    host = host_with(make="", no=(1, "", ""))
    assert run(host, Command(("make",), unless=("no",)), check=True)["verdict"] == "changed"
    assert host.log == [("no",)]


def test_a_secret_goes_over_stdin() -> None:
    """Input may be a Secret and reaches the command; an argument or a variable of its environment may not be one."""
    host = host_with(login=lambda system, words, input: "got " + input.decode())
    result = run(host, Command(("login",), input=Secret("canary")))
    assert result["outcome"]["stdout"] == "got canary" and "canary" not in str(host.log) + Command(("login",)).label
    with pytest.raises(ValueError, match="a Secret goes to input") as caught:
        Command(("login", Secret("canary")))  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)
    with pytest.raises(ValueError, match="a Secret goes to input"):
        Command(("login",), env=(("TOKEN", Secret("canary")),))  # type: ignore[arg-type]


@pytest.mark.parametrize("argv", [(), "ls -l"])
def test_a_command_is_a_list_of_words(argv: Any) -> None:
    """A line for a shell is not a command."""
    with pytest.raises(ValueError, match="a Command is a list of words"):
        Command(argv)


def test_labels_are_short_and_tell_commands_apart() -> None:
    """Two long commands that begin alike have different labels of one line."""
    one, two = (Command(("sh", "-c", "echo\n" + "x" * 200 + end)).label for end in "ab")
    assert one != two and len(one) < 90 and "\n" not in one
    assert Command(("ls", "a b")).label == "ls 'a b'" and Command(("ls",), label_text="list").label == "list"
