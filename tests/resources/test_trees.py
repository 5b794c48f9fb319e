"""What a directory keeps on its way: packed and unpacked by the real tar, with the very arguments that hosts get."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestr.resources.trees import PACK, UNPACK, Tree
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.simulated_trees import MemoryVolumes

HOLE_BYTES = 64 << 20


def pack(place: Path) -> bytes:
    return subprocess.run([*PACK, str(place), "."], capture_output=True, check=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of several kinds, in an order that no directory lists them in."""
    place = tmp_path / "data"
    (place / "inner" / "empty").mkdir(parents=True)
    place.chmod(0o2750)
    for name in ("z", "a", "m"):
        (place / name).write_text(name)
    (place / "a").chmod(0o4611)
    os.utime(place / "a", (1_000_000_000, 1_000_000_000))
    os.link(place / "a", place / "inner" / "same")
    (place / "inner" / "link").symlink_to("/nowhere/at all")
    (place / os.fsdecode(b"no text \xff\n")).write_text("x")
    (place / ("long " * 45)).write_text("y")
    with (place / "hole").open("wb") as stream:
        stream.seek(HOLE_BYTES)
        stream.write(b"end")
    return place


def test_a_tree_arrives_as_it_was(tree: Path, tmp_path: Path) -> None:
    """Names, content, modes, times, links of both kinds; a hole takes no room on the way."""
    data, target = pack(tree), tmp_path / "arrived"
    target.mkdir(mode=0o700)
    subprocess.run([*UNPACK, str(target)], input=data, check=True)
    assert len(data) < HOLE_BYTES // 100
    names = sorted(os.fsencode(path.relative_to(tree)) for path in tree.rglob("*"))
    assert sorted(os.fsencode(path.relative_to(target)) for path in target.rglob("*")) == names
    for name in [b".", *names]:
        before, after = (os.lstat(os.path.join(os.fsencode(place), name)) for place in (tree, target))
        assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid), name
        assert int(before.st_mtime) == int(after.st_mtime), name
    assert (target / "hole").read_bytes() == (tree / "hole").read_bytes()
    assert os.readlink(target / "inner" / "link") == "/nowhere/at all"
    assert (target / "a").stat().st_ino == (target / "inner" / "same").stat().st_ino


def test_an_unchanged_tree_packs_the_same(tree: Path, tmp_path: Path) -> None:
    """Packed again after an interruption it has the digest of the copy that has arrived, and is not unpacked again."""
    first = pack(tree)
    for path in sorted(tree.iterdir(), reverse=True):  # read, which changes times of access
        if path.is_file():
            path.read_bytes()
    assert pack(tree) == first


def test_a_tree_is_found_through_links_and_volumes() -> None:
    """A link at its place is followed, a volume is where the engine says; an empty directory holds nothing."""
    host = MemoryHost()
    MemoryVolumes(host)
    system = MemorySystem(host)
    system.make_directory("/disk/files")
    system.symlink("/disk/files", "/opt/data")
    linked, volume = Tree("linked", path="/opt/data"), Tree("volume", volume="data")
    assert (linked.place(system), linked.has_content(system)) == ("/disk/files", False)
    host.add_file("/disk/files/one", "1")
    assert linked.has_content(system)
    assert (volume.place(system), volume.has_content(system)) == ("", False)
    host.add_file(f"{MemoryVolumes.ROOT}/data/_data/one", "1")
    assert volume.has_content(system)
