"""Files of variables: what is refused, what a diff shows (tests/lab/test_env_files.py reads them back)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.agent.secret import Secret
from orchestr.resources import env_grammars
from orchestr.resources.env_files import EnvFile
from orchestr.transport.memory import MemoryHost, MemorySystem

READERS = sorted(env_grammars.GRAMMARS)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def run(host: MemoryHost, resource: EnvFile) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(host), False, False)


@settings(max_examples=30, deadline=None)
@given(st.lists(VALUES | st.text("$`\"'\\ #\n!~=", max_size=8), min_size=1, max_size=40))
def test_a_shell_reads_back_what_was_written(values: list[str]) -> None:
    """`set -a; . FILE` gives exactly the values, for any text at all."""
    variables = {f"V{number}": value for number, value in enumerate(values)}
    text = "".join(env_grammars.shell(key, value) + "\n" for key, value in variables.items())
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        shell = ["sh", "-c", 'set -a; . "$1"; exec env -0', "sh", file.name]
        found = subprocess.run(shell, capture_output=True, check=True, env={"PATH": os.environ["PATH"]}).stdout
    read = dict(entry.split("=", 1) for entry in found.decode().split("\0") if entry)
    assert {key: read[key] for key in variables} == variables


@pytest.mark.parametrize(
    ("reader", "value", "reason"),
    [
        ("docker", "canary\nb", "line break"),
        ("docker", "canary\r", "carriage return"),
        ("docker", "canary" * 11_000, "65535 bytes"),
        ("systemd", "canary\x1b", "control character"),
        ("systemd", "canary\ufdd0", "noncharacter"),
        ("compose", "canary\0", "NUL"),
        ("shell", "canary\ud800", "Unicode"),
    ],
)
def test_what_a_reader_cannot_give_back_is_refused(reader: str, value: str, reason: str) -> None:
    """A value that the reader would change or drop is refused when the resource is made, by key and not by value."""
    with pytest.raises(ValueError, match=f"the value of TOKEN.*{reason}") as caught:
        EnvFile.of("/opt/.env", {"TOKEN": Secret(value)}, reader=reader)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "1A", "A B", "A=B", "-A", "A$", "é", "A\n"])
@pytest.mark.parametrize("reader", READERS)
def test_a_key_that_is_not_one_is_refused(reader: str, key: str) -> None:
    """Keys are names of variables, for every reader."""
    with pytest.raises(ValueError, match="not a name of a variable"):
        EnvFile.of("/opt/.env", {key: "x"}, reader=reader)


def test_a_key_with_a_dot_is_for_containers_only() -> None:
    """`spring.datasource.url` can be given to a container; a shell and systemd refuse it."""
    EnvFile.of("/opt/.env", {"a.b-c": "x"}, reader="docker")
    for reader in ("shell", "systemd"):
        with pytest.raises(ValueError, match="not a name"):
            EnvFile.of("/opt/.env", {"a.b-c": "x"}, reader=reader)


def test_numbers_and_booleans_become_text_and_nothing_else_does() -> None:
    """A port may be a number in the inventory; a missing value is a mistake."""
    made = EnvFile.of("/opt/.env", {"PORT": 80, "DEBUG": False, "RATE": 0.5})
    assert made.variables == (("PORT", "80"), ("DEBUG", "false"), ("RATE", "0.5"))
    with pytest.raises(ValueError, match="the value of PORT"):
        EnvFile.of("/opt/.env", {"PORT": None})


def test_a_key_given_twice_and_an_unknown_reader_are_refused() -> None:
    """Which of two values counts is not left to the reader."""
    with pytest.raises(ValueError, match="A is given twice"):
        EnvFile("/opt/.env", (("A", "1"), ("A", "2")))
    with pytest.raises(ValueError, match="no env file reader 'podman'"):
        EnvFile.of("/opt/.env", {"A": "1"}, reader="podman")


def test_a_diff_shows_clear_values_and_hides_secrets_on_both_sides() -> None:
    """Old values are shown only for keys whose new value is in clear; a key that is gone may have been a secret."""
    host = MemoryHost()
    host.add_file("/opt/.env", "PORT=80\nTOKEN=old-canary\nGONE=other-canary\nSAME=1\n", mode=0o600)
    wanted = EnvFile.of("/opt/.env", {"PORT": 81, "TOKEN": Secret("new-canary"), "SAME": 1, "NEW": "yes"})
    assert run(host, wanted)["diff"].splitlines() == [
        "- GONE=‹secret›",
        "- PORT=80",
        "+ PORT=81",
        "- TOKEN=‹secret›",
        "+ TOKEN=‹secret›",
        "+ NEW=yes",
    ]


def test_a_diff_shows_no_line_of_an_old_value_of_several_lines() -> None:
    """Where an old value spans lines, one of them can look like another key's: nothing old is shown."""
    host = MemoryHost()
    host.add_file("/opt/.env", 'KEY="-----BEGIN\nPORT=canary\n-----END"\n', mode=0o600)
    diff = run(host, EnvFile.of("/opt/.env", {"PORT": 81}))["diff"]
    assert "canary" not in diff and "+ PORT=81" in diff


def test_only_the_mode_differs() -> None:
    """A file that others can read is brought back to 0600 without rewriting it."""
    host = MemoryHost()
    wanted = EnvFile.of("/opt/.env", {"A": Secret("canary")})
    run(host, wanted)
    host.nodes["/opt/.env"].mode = 0o644
    assert run(host, wanted)["diff"] == "- mode: 0644\n+ mode: 0600"
