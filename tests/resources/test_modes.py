"""Modes of files: one rule, right or refused where they are written; secrets are never for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File
from orchestr.resources.lines import Block, Line
from orchestr.resources.modes import canonical_mode, mode_bits
from orchestr.transport.memory import MemoryHost, MemorySystem

COMMON = (0o400, 0o440, 0o444, 0o500, 0o550, 0o555, 0o600, 0o640, 0o644, 0o660, 0o664, 0o700, 0o710, 0o711, 0o750,
          0o755, 0o770, 0o775, 0o777, 0o1777, 0o2755, 0o2775, 0o4755)  # fmt: skip


def run(host: MemoryHost, resource: Resource) -> dict[str, Any]:
    return converge(Task(resource), MemorySystem(host), False, False)


@pytest.mark.parametrize("mode", COMMON)
def test_a_mode_is_taken_in_each_form_and_refused_as_decimal_digits(mode: int) -> None:
    """0o644, "0644", "644" and "0o644" are one mode; 644 is told what was meant."""
    digits = f"{mode:o}"
    assert [mode_bits(form) for form in (mode, digits, f"0{digits}", f"0o{digits}")] == [mode] * 4
    with pytest.raises(ValueError, match=f"write 0o{digits}"):
        mode_bits(int(digits))


@pytest.mark.parametrize(
    ("text", "mode"),
    [("u=rw,go=r", 0o644), ("a=r", 0o444), ("u=rwx,g=rx,o=", 0o750), ("u=rwxs,go=rx", 0o4755), ("ug=rw", 0o660),
     ("u=rwx,g=rwxs,o=rx", 0o2775), ("a=rwxt", 0o1777), ("ugo=rwx", 0o777)],
)  # fmt: skip
def test_assignments_are_those_of_chmod(text: str, mode: int) -> None:
    """Classes that are not named get nothing."""
    assert mode_bits(text) == mode


@pytest.mark.parametrize(
    "mode", ["", "rw", "u+x", "64", "0888", "99999", "u=q", "=r", True, None, 1.5, -1, 0o10000, b"0644"]
)
def test_anything_else_is_refused(mode: Any) -> None:
    """Relative changes, other letters and other types are no modes."""
    with pytest.raises(ValueError, match="mode"):
        mode_bits(mode)


@given(st.integers(0, 0o7777))
def test_every_mode_can_be_written_and_travels(mode: int) -> None:
    """An odd one is written as text; what a resource keeps is taken again on the host."""
    kept = canonical_mode(f"{mode:04o}")
    assert mode_bits(kept) == mode and canonical_mode(kept) == kept
    assert File("/f", mode=kept) == File("/f", mode=f"{mode:04o}")


@pytest.mark.parametrize("mode", [0o644, "0644", "u=rw,go=r"])
def test_resources_take_every_form(mode: int | str) -> None:
    """The file has the mode, and the resources are equal."""
    host = MemoryHost()
    assert run(host, File("/etc/x", "x", mode=mode))["verdict"] == "changed" and host.nodes["/etc/x"].mode == 0o644
    assert File("/etc/x", mode=mode) == File("/etc/x") and Directory("/d", mode=mode) == Directory("/d", mode=0o644)


MAKE: list[Callable[[Any], Resource]] = [
    lambda mode: File("/etc/x", Secret("hunter2"), mode=mode),
    lambda mode: EnvFile.of("/etc/x", {"P": Secret("hunter2")}, mode=mode),
    lambda mode: Line("/etc/x", Secret("hunter2"), create=True, mode=mode),
    lambda mode: Block("/etc/x", "m", Secret("hunter2"), create=True, mode=mode),
]


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("mode", [0o644, 0o604, "0701", "a=r"])
def test_a_secret_for_everybody_is_refused_where_it_is_written(
    make: Callable[[Any], Resource], mode: int | str
) -> None:
    """No resource that writes a file takes a Secret and rights of others."""
    with pytest.raises(ValueError, match="secret"):
        make(mode)


@pytest.mark.parametrize(
    "resource",
    [
        File("/etc/x", Secret("s")),
        EnvFile.of("/etc/x", {"P": Secret("s")}),
        Line("/etc/x", Secret("s"), create=True),
        Block("/etc/x", "m", Secret("s"), create=True),
    ],
)
def test_a_file_with_a_secret_is_0600_unless_told_otherwise(resource: Resource) -> None:
    """Without a mode only its owner reads it; a mode for a group is the role's to choose."""
    host = MemoryHost()
    assert run(host, resource)["verdict"] == "changed" and host.nodes["/etc/x"].mode == 0o600
    assert File("/x", Secret("s"), mode=0o640).bits == 0o640 and File("/x", "s").bits == 0o644
