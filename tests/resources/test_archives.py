"""Backups: one private archive of what is there."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.agent.system import System
from orchestr.resources import archives
from orchestr.resources.archives import Archive


class OwnSystem(System):
    """This machine, at a clock of its own, with files that belong to whoever runs the test."""

    clock = 1_790_000_000.0

    def now(self) -> float:
        OwnSystem.clock += 1
        return OwnSystem.clock

    def make_directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        super().make_directory(path, mode=mode, uid=os.getuid(), gid=os.getgid())

    def write_bytes(self, path: str, data: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        super().write_bytes(path, data, mode=mode, uid=os.getuid(), gid=os.getgid())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(archives, "BACKUPS", str(tmp_path / "backups"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "key").write_text("private")
    return tmp_path


def run(resource: Archive) -> dict[str, Any]:
    return converge(Task(resource), OwnSystem(), False, False)


def test_what_is_there_can_be_had_back(place: Path) -> None:
    """The archive holds files and directories as they were, and its outcome says where it is."""
    done = run(Archive("caddy", (str(place / "data"), str(place / "absent"))))
    assert done["verdict"] == "changed"
    with tarfile.open(done["outcome"]["archive"]) as archive:
        member = archive.extractfile(str(place / "data/key").lstrip("/"))
        assert member is not None and member.read() == b"private"
    assert done["outcome"]["size_bytes"] == Path(done["outcome"]["archive"]).stat().st_size


def test_nobody_else_can_read_it(place: Path) -> None:
    """Keys are in it: the archive has mode 0600, the directories 0700."""
    archive = Path(run(Archive("caddy", (str(place / "data"),)))["outcome"]["archive"])
    assert [path.stat().st_mode & 0o777 for path in (archive, archive.parent, archive.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]


def test_nothing_to_back_up_is_a_failure_unless_allowed(place: Path) -> None:
    """An empty backup would be found out when it is needed; on a machine that has nothing yet it is fine."""
    nothing = (str(place / "absent"),)
    assert run(Archive("caddy", nothing))["verdict"] == "failed"
    assert run(Archive("caddy", nothing, may_be_empty=True))["verdict"] == "changed"
    assert not (place / "backups").exists()


def test_a_failed_one_leaves_nothing_that_looks_whole(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When tar fails half-way no archive appears under its name."""
    whole = System.run

    def broken(self: System, argv: Any, **options: Any) -> Any:
        return whole(self, ["sh", "-c", "exit 2"] if "--create" in argv else argv, **options)

    monkeypatch.setattr(System, "run", broken)
    assert run(Archive("caddy", (str(place / "data"),)))["verdict"] == "failed"
    assert not list((place / "backups").rglob("*.tar.gz"))


def test_old_ones_go(place: Path) -> None:
    """Only the latest are kept."""
    made = [run(Archive("caddy", (str(place / "data"),), keep=2))["outcome"]["archive"] for _ in range(3)]
    assert sorted(map(str, (place / "backups/caddy").iterdir())) == made[1:]


def test_a_path_in_a_users_directory_is_packed_from_what_was_opened(place: Path) -> None:
    """It has its own name in the archive, whatever characters are in it, and links in it are packed as links."""
    folder = place / r"up&loads,1\2"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "data").mkdir()
    (folder / "data/key").write_text("private")
    (folder / "data/link").symlink_to(folder / "data/key")
    done = run(Archive("caddy", (str(folder / "data"), str(place / "data"))))
    assert done["verdict"] == "changed", done
    with tarfile.open(done["outcome"]["archive"]) as archive:
        inside = str(folder / "data").lstrip("/")
        assert {inside, inside + "/key", str(place / "data/key").lstrip("/")} <= set(archive.getnames())
        assert archive.getmember(inside + "/link").linkname == str(folder / "data/key")


def test_an_archive_that_failed_or_was_cut_off_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an archive is removed at once, and one of an agent that was killed by the next archive."""
    packed = System.run

    def fail_to_read_back(system: System, argv: Any, **options: Any) -> Any:
        return packed(system, ["false"] if "--list" in argv else argv, **options)

    monkeypatch.setattr(System, "run", fail_to_read_back)
    assert run(Archive("caddy", (str(place / "data"),)))["verdict"] == "failed"
    folder = place / "backups" / "caddy"
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(System, "run", packed)
    (folder / "20260101T000000Z.tar.gz.partial").touch()
    archive = run(Archive("caddy", (str(place / "data"),)))["outcome"]["archive"]
    assert [str(path) for path in folder.iterdir()] == [archive]
