"""Lines and blocks in files that others write too."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.resources.files import File
from orchestr.resources.lines import Block, Line
from orchestr.transport.memory import MemoryHost, MemorySystem, Node


def run(host: MemoryHost, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
    system = MemorySystem(host, read_only=check)
    return [converge(Task(resource), system, check, number > 0) for number, resource in enumerate(resources)]


def host_with(content: str | bytes, mode: int = 0o644) -> MemoryHost:
    host = MemoryHost()
    host.add_file("/etc/f", content, mode=mode, uid=65534)
    return host


@pytest.mark.parametrize(
    ("before", "line", "after"),
    [
        ("a\nb\n", Line("/etc/f", "c"), "a\nb\nc\n"),
        ("a\nb", Line("/etc/f", "c"), "a\nb\nc"),
        ("", Line("/etc/f", "c"), "c\n"),
        ("a\r\nb\r\n", Line("/etc/f", "c"), "a\r\nb\r\nc\r\n"),
        ("#Port 22\nPort 23\nx\n", Line("/etc/f", "Port 24", match="^#?Port "), "#Port 22\nPort 24\nx\n"),
        ("#opt\n#opt\nx\n", Line("/etc/f", "opt 1", match="^#opt"), "#opt\nopt 1\nx\n"),
        ("x\r\nPort 23", Line("/etc/f", "Port 24", match="^Port"), "x\r\nPort 24"),
        ("[a]\nx\n[b]\n", Line("/etc/f", "y", insert_after=r"^\[a\]"), "[a]\ny\nx\n[b]\n"),
        ("[a]\n", Line("/etc/f", "y", insert_after="nothing"), "[a]\ny\n"),
        ("a\nb\na\n", Line("/etc/f", "a", present=False), "b\n"),
        ("a 1\nb\na 2\n", Line("/etc/f", match="^a", present=False), "b\n"),
    ],
)
def test_one_line_changes_and_the_rest_stays(before: str, line: Line, after: str) -> None:
    """The line is replaced, added or removed; other lines, their ends and a missing last end stay."""
    host = host_with(before, mode=0o640)
    assert run(host, line)[0]["verdict"] == "changed"
    assert host.text("/etc/f") == after
    assert (host.nodes["/etc/f"].mode, host.nodes["/etc/f"].uid) == (0o640, 65534)
    assert run(host, line)[0]["verdict"] == "ok"


def test_bytes_that_are_not_text_survive() -> None:
    """A file in another encoding keeps its bytes."""
    host = host_with(b"caf\xe9\nx\n")
    run(host, Line("/etc/f", "y"))
    assert host.nodes["/etc/f"].data == b"caf\xe9\nx\ny\n"


def test_a_link_is_edited_where_it_leads() -> None:
    """Editing /etc/f that is a link changes the file behind it and leaves the link."""
    host = MemoryHost()
    host.add_file("/opt/real", "a\n")
    host.nodes["/etc/f"] = Node("link", target="../opt/real")
    run(host, Line("/etc/f", "b"))
    assert host.nodes["/etc/f"].type == "link" and host.text("/opt/real") == "a\nb\n"


def test_a_missing_file_is_made_only_when_asked() -> None:
    """Without `create` a missing file is an error that says so; with it the file is made."""
    host = MemoryHost()
    assert "no file /etc/f" in run(host, Line("/etc/f", "a"))[0]["error"]["message"]
    assert run(host, Line("/etc/f", "a", present=False))[0]["verdict"] == "ok"
    run(host, Line("/etc/f", "a", create=True))
    assert (host.text("/etc/f"), host.nodes["/etc/f"].mode) == ("a\n", 0o644)


def test_a_plan_sees_what_earlier_lines_of_it_would_do() -> None:
    """In check mode several lines of one file are each judged after the ones before."""
    host = host_with("a\n")
    results = run(host, Line("/etc/f", "b"), Line("/etc/f", "a"), Line("/etc/f", "b"), Line("/etc/f", "c"), check=True)
    assert [result["verdict"] for result in results] == ["changed", "ok", "ok", "changed"]


def test_a_plan_does_not_judge_a_line_of_a_file_that_will_change_first() -> None:
    """A line of a file that another task would rewrite is unknown, not a guess."""
    host = host_with("a\n")
    results = run(host, File("/etc/f", "b\n"), Line("/etc/f", "a"), check=True)
    assert [result["verdict"] for result in results] == ["changed", "unknown"]


def test_a_secret_line_shows_neither_its_old_nor_its_new_text() -> None:
    """A secret line is found by `match`, hidden in the diff, and refused in a file that everybody can read."""
    line = Line("/etc/f", Secret("password canary-new"), match="^password")
    host = host_with("password canary-old\n", mode=0o600)
    result = run(host, line)[0]
    assert result["verdict"] == "changed" and "canary" not in str(result)
    assert host.text("/etc/f") == "password canary-new\n"
    open_to_all = host_with("x\n", mode=0o644)
    assert "everybody can read" in run(open_to_all, line)[0]["error"]["message"]


@pytest.mark.parametrize(
    "arguments", [{"line": "a\nb"}, {}, {"line": "a", "match": "("}, {"line": "a", "insert_after": "["}]
)
def test_a_line_that_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    """Several lines, none at all, and what is not a regular expression are mistakes before any host is touched."""
    with pytest.raises(ValueError, match=r"/etc/f|regular expression"):
        Line("/etc/f", **arguments)


@pytest.mark.parametrize("before", ["", "a\n", "a", "a\r\nb\r\n"])
def test_a_block_comes_changes_and_goes_without_a_trace(before: str) -> None:
    """A block is added, replaced and removed; what was there before is there again, byte for byte."""
    host = host_with(before)
    for content in ("x\ny\n", "z\n", ""):
        assert run(host, Block("/etc/f", "peers", content))[0]["verdict"] == "changed"
        found = host.text("/etc/f").splitlines()
        assert found == [*before.splitlines(), "# BEGIN orchestr peers", *content.split(), "# END orchestr peers"]
    run(host, Block("/etc/f", "peers", present=False))
    assert host.text("/etc/f") == before


def test_two_blocks_of_one_file_do_not_meet() -> None:
    """Each block has its marker; a change of one leaves the other."""
    host = host_with("top\n")
    run(host, Block("/etc/f", "one", "1"), Block("/etc/f", "two", "2"), Block("/etc/f", "one", "11"))
    assert host.text("/etc/f").count("orchestr two") == 2 and "\n11\n" in host.text("/etc/f")


def test_damaged_marks_are_said_and_not_guessed() -> None:
    """A block whose end somebody removed is an error naming both marks; nothing is written."""
    host = host_with("# BEGIN orchestr one\nx\nprecious\n")
    result = run(host, Block("/etc/f", "one", "y"))[0]
    assert "damaged" in result["error"]["message"] and "END orchestr one" in result["error"]["next_step"]
    assert host.text("/etc/f").endswith("precious\n")


def test_a_secret_block_shows_only_what_is_not_secret() -> None:
    """A block with secret parts is shown without them, its old lines hidden."""
    host = host_with("", mode=0o600)
    run(host, Block("/etc/f", "one", Secret("user a\npassword canary-1\n", ["canary-1"])))
    result = run(host, Block("/etc/f", "one", Secret("user b\npassword canary-2\n", ["canary-2"])))[0]
    assert "canary" not in str(result) and "+ user b" in result["diff"]
