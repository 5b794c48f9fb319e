"""Files of the controller are whole whenever somebody looks, and nothing is left beside them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from orchestr import atomic_file

ROOT = Path(__file__).parents[2]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A reader that has the former file open reads on in that one; the new one has the mode asked for."""
    path = tmp_path / "record.json"
    atomic_file.write(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("rb") as former:
        atomic_file.write(path, b"two", mode=0o640, is_durable=True)
        assert former.read() == b"one"
    assert path.read_bytes() == b"two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_failure_leaves_the_former_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """Whatever ends the writing, the part written so far is removed."""
    path = tmp_path / "record.json"
    atomic_file.write(path, b"one")
    with pytest.raises(KeyboardInterrupt), atomic_file.beside(path, b"two") as temporary:
        assert temporary.read_bytes() == b"two" and stat.S_IMODE(temporary.stat().st_mode) == 0o600
        raise KeyboardInterrupt
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["record.json"]


def test_a_link_in_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    """The file that the link names stays as it is."""
    other, path = tmp_path / "other", tmp_path / "record.json"
    other.write_bytes(b"somebody's")
    path.symlink_to(other)
    atomic_file.write(path, b"ours")
    assert other.read_bytes() == b"somebody's" and not path.is_symlink() and path.read_bytes() == b"ours"


def test_only_the_first_creates(tmp_path: Path) -> None:
    """The second process keeps what the first one made."""
    path = tmp_path / "secret"
    assert atomic_file.create(path, b"first") is True
    assert atomic_file.create(path, b"second") is False
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["secret"]


def test_the_controller_has_no_other_way_to_replace_a_file() -> None:
    """Names are given to temporary files in one module (the agent, on hosts, has its own)."""
    calls = ("os.replace(", "os.rename(", "os.link(", "mkstemp(", "NamedTemporaryFile(", "temporary.re")
    replacing = re.compile("|".join(map(re.escape, calls)))
    modules = [path for path in (ROOT / "orchestr").rglob("*.py") if path.parts[-2] not in ("agent",)]
    outside = [path for path in modules if "resources" not in path.parts and path.name != "atomic_file.py"]
    assert outside
    names = {str(path.relative_to(ROOT)) for path in outside if replacing.search(path.read_text(encoding="utf-8"))}
    assert names <= {"orchestr/vault/editing.py"}  # keeps an edited text under a new name; replaces nothing
