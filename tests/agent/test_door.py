"""The door: no path leads root over something that a user of the host controls."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent import door, filesystem, host_files
from orchestr.agent.converge import converge
from orchestr.agent.door import UnsafePath
from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.agent.system import Reader, System
from orchestr.resources.authorized_keys import edit_keys, read_keys
from orchestr.resources.files import Directory, File
from orchestr.resources.lines import Block, Line

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a second user is needed")

MALLORY = 4242
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 30


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory of root's that everybody can enter, with a home of a user and a file of root's in it."""
    folder = Path(tempfile.mkdtemp(prefix="orchestr-door-"))
    folder.chmod(0o755)
    (folder / "mallory").mkdir()
    os.chown(folder / "mallory", MALLORY, MALLORY)
    (folder / "shadow").write_text("root's own\n")
    (folder / "shadow").chmod(0o600)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(base: Path) -> Path:
    return base / "mallory"


def own(*paths: Path) -> None:
    for path in paths:
        os.chown(path, MALLORY, MALLORY, follow_symlinks=False)


def run(resource: Resource) -> dict[str, Any]:
    return converge(Task(resource), System(), False, False)


# -- links ------------------------------------------------------------------------------------------------------------
READS: list[Callable[[Reader, str], object]] = [
    lambda reader, path: reader.read_bytes(path),
    lambda reader, path: reader.digest(path),
    lambda reader, path: reader.list_directory(path),
    lambda reader, path: reader.stat(path + "/x"),
    lambda reader, path: reader.real_path(path),
]


@pytest.mark.parametrize("read", READS)
def test_a_link_of_a_user_is_not_followed(read: Callable[[Reader, str], object], base: Path, home: Path) -> None:
    """The message says which link, where it leads and whose directory it is in, and there is a next step."""
    (home / "link").symlink_to(base)
    with pytest.raises(UnsafePath) as caught:
        read(Reader(), str(home / "link"))
    assert str(caught.value).startswith(f"{home}/link is a link to {base}, and {home} of user 4242")
    assert "name the path it leads to" in caught.value.next_step


def test_links_of_root_are_followed(base: Path) -> None:
    """/var/run works, and what an administrator linked: relative, absolute, several in a row, over `..`."""
    (base / "target").mkdir()
    (base / "target" / "f").write_text("x")
    (base / "one").symlink_to("two")
    (base / "two").symlink_to(base / "target")
    (base / "target" / "up").symlink_to("../one/f")
    reader = Reader()
    assert reader.read_text(str(base / "one/f")) == reader.read_text(str(base / "one/up")) == "x"
    assert reader.list_directory(str(base / "one")) == ["f", "up"]
    assert reader.real_path(str(base / "one/up")) == str(base / "target/f")
    System().write_bytes(str(base / "one/g"), b"y")
    assert (base / "target/g").read_text() == "y"


def test_a_link_in_a_directory_for_everybody_is_not_followed(base: Path) -> None:
    """In /tmp anybody can make names, sticky or not, also names that look like root's."""
    (base / "tmp").mkdir()
    for mode in (0o1777, 0o777, 0o775):
        (base / "tmp").chmod(mode)
        link = base / "tmp" / f"link{mode}"
        link.symlink_to(base)
        with pytest.raises(UnsafePath):
            Reader().list_directory(str(link))


def test_a_link_of_another_in_a_directory_of_roots_is_not_followed(base: Path) -> None:
    """Root put it there for somebody else: it came with data that was moved."""
    (base / "link").symlink_to(base / "mallory")
    own(base / "link")
    for read in READS:
        with pytest.raises(UnsafePath, match="and it belongs to user 4242: the link is not followed"):
            read(Reader(), str(base / "link"))


def test_a_circle_of_links_ends(base: Path) -> None:
    """As with the kernel, after forty."""
    (base / "a").symlink_to("b")
    (base / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        Reader().read_bytes(str(base / "a"))


# -- other names and files --------------------------------------------------------------------------------------------
def test_another_name_of_roots_file_is_not_used(base: Path, home: Path) -> None:
    """Where the kernel lets users make hard links to files of others, that gains them nothing."""
    os.link(base / "shadow", home / "f")
    with pytest.raises(UnsafePath, match="one of several names of a file of user root"):
        Reader().read_bytes(str(home / "f"))
    with pytest.raises(UnsafePath):
        System().set_owner(str(home / "f"), MALLORY, MALLORY)
    assert (base / "shadow").stat().st_uid == 0


def test_only_a_file_as_wanted_is_given_away(base: Path, home: Path) -> None:
    """A file that took its place a moment ago, of anybody's, stays with its owner."""
    (home / "f").write_text("hello")
    system = System()
    os.rename(base / "shadow", home / "f")
    with pytest.raises(OSError, match="changed by somebody else"):
        system.adopt(str(home / "f"), "0" * 64, mode=0o644, uid=MALLORY, gid=MALLORY)
    assert (home / "f").stat().st_uid == 0


def test_a_user_cannot_go_on_writing_to_a_file_that_becomes_roots(home: Path) -> None:
    """It gets a new one in its place; a descriptor that the user kept leads to the old."""
    (home / "f").write_text("x")
    own(home / "f")
    with (home / "f").open("a") as kept:
        assert run(File(str(home / "f"), "x", mode=0o644))["verdict"] == "changed"
        kept.write("evil")
    assert ((home / "f").read_text(), (home / "f").stat().st_uid) == ("x", 0)


def test_a_mode_alone_is_set_on_the_same_file(base: Path) -> None:
    """A container that has it mounted sees the new mode."""
    before = (base / "shadow").stat().st_ino
    assert run(File(str(base / "shadow"), "root's own\n", mode=0o640))["verdict"] == "changed"
    assert ((base / "shadow").stat().st_ino, (base / "shadow").stat().st_mode & 0o777) == (before, 0o640)


def test_a_file_without_an_end_does_not_fill_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read whole has a limit, whatever size a user's file says."""
    monkeypatch.setattr(host_files, "READ_LIMIT", 1 << 20)
    with (home / "f").open("w") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than the 1 MiB"):
        Reader().read_bytes(str(home / "f"))
    assert Reader().read_bytes(str(home / "f"), 10) == b"\0" * 10


def test_the_digest_of_a_file_without_an_end_is_not_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A File of another size is told by its size; any other digest has a limit."""
    with (home / "f").open("w") as stream:
        stream.truncate(1 << 42)
    assert converge(Task(File(str(home / "f"), "x")), System(), True, False)["verdict"] == "changed"
    monkeypatch.setattr(host_files, "DIGEST_LIMIT", 1 << 20)
    monkeypatch.setattr(host_files, "READ_LIMIT", 1 << 20)
    with pytest.raises(OSError, match="too large to compare"):
        Reader().digest(str(home / "f"))


def test_an_agent_that_is_not_root_follows_its_own_users_links(base: Path, home: Path) -> None:
    """There is nobody to be led astray; a link of another user is still refused."""
    (base / "open").write_text("x")
    (home / "link").symlink_to(base / "open")
    os.seteuid(MALLORY)
    try:
        assert Reader().read_text(str(home / "link")) == "x"
        os.seteuid(0)
        os.seteuid(MALLORY + 1)
        with pytest.raises(UnsafePath):
            Reader().read_text(str(home / "link"))
    finally:
        os.seteuid(0)


def test_no_descriptor_is_left_open(base: Path, home: Path) -> None:
    """Neither where it works nor where it is refused."""
    (home / "link").symlink_to(base)
    reader = Reader()
    reader.read_text(str(base / "shadow"))
    before = os.listdir("/proc/self/fd")
    for path in ("shadow", "absent/f", "shadow/f", "mallory/link/shadow"):
        for read in READS:
            try:
                read(reader, str(base / path))
            except OSError:
                pass
    System().remove(str(home / "link"))
    assert os.listdir("/proc/self/fd") == before


# -- keys of an account -----------------------------------------------------------------------------------------------
def keep(lines: list[str]) -> list[str]:
    return [*lines, KEY]


@pytest.mark.parametrize("name", [".ssh", "authorized_keys"])
def test_keys_are_not_read_through_a_users_link(name: str, base: Path, home: Path) -> None:
    """Root's files do not come into an authorized_keys that the user reads."""
    (base / "authorized_keys").write_text("root's own\n")
    if name == ".ssh":
        (home / ".ssh").symlink_to(base)
    else:
        (home / ".ssh").mkdir()
        own(home / ".ssh")
        (home / ".ssh" / name).symlink_to(base / "shadow")
    with pytest.raises(UnsafePath):
        read_keys(Reader(), str(home), MALLORY)
    with pytest.raises(Exception, match="link"):
        edit_keys(System(), str(home), keep, MALLORY, MALLORY)
    assert (base / "authorized_keys").read_text() == (base / "shadow").read_text() == "root's own\n"


def test_keys_that_the_account_cannot_read_are_none(base: Path, home: Path) -> None:
    """A file of root's that the user could rename to there is replaced, and nothing of it is kept."""
    (home / ".ssh").mkdir(mode=0o700)
    own(home / ".ssh")
    os.rename(base / "shadow", home / ".ssh/authorized_keys")
    assert read_keys(Reader(), str(home), MALLORY) == []
    edit_keys(System(), str(home), keep, MALLORY, MALLORY)
    assert (home / ".ssh/authorized_keys").read_text() == KEY + "\n"


def test_roots_own_link_to_its_keys_stays(base: Path) -> None:
    """An administrator may keep them elsewhere: the file there is edited."""
    (base / "root" / ".ssh").mkdir(parents=True)
    (base / "keys").write_text("# mine\n")
    (base / "root/.ssh/authorized_keys").symlink_to("../../keys")
    edit_keys(System(), str(base / "root"), keep, 0, 0)
    assert (base / "root/.ssh/authorized_keys").is_symlink()
    assert (base / "keys").read_text() == f"# mine\n{KEY}\n" and (base / "keys").stat().st_mode & 0o777 == 0o600


# -- edits in place ---------------------------------------------------------------------------------------------------
def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an ACL as in system.posix_acl_access: (tag, rights, id), as the kernel orders them."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY, USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0xFFFFFFFF, 1, 2, 4, 16, 32
DAEMON_WRITES = acl((USER_OBJ, 6, NOBODY), (USER, 6, 1), (GROUP_OBJ, 0, NOBODY), (MASK, 6, NOBODY), (OTHER, 0, NOBODY))


def set_acl(path: Path, value: bytes, name: str = "system.posix_acl_access") -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"this file system has no ACL: {error}")


@pytest.mark.parametrize(
    "make", [lambda path: Line(path, "a=2", match="^a="), lambda path: Block(path, "m", "x")], ids=["line", "block"]
)
def test_an_acl_stays_and_its_mask_is_no_right_of_the_group(make: Callable[[str], Resource], base: Path) -> None:
    """One user is let in by the ACL, the owning group is not, before and after."""
    file = base / "f"
    file.write_text("a=1\n")
    set_acl(file, DAEMON_WRITES)
    assert run(make(str(file)))["verdict"] == "changed"
    assert os.getxattr(file, "system.posix_acl_access") == DAEMON_WRITES
    assert run(make(str(file)))["verdict"] == "ok"


def test_the_acl_of_a_directory_does_not_widen_an_edited_file(base: Path) -> None:
    """A file without one is edited in a directory that gives one to every new file: it has none afterwards."""
    file = base / "f"
    file.write_text("a=1\n")
    file.chmod(0o640)
    set_acl(base, DAEMON_WRITES, "system.posix_acl_default")
    assert run(Line(str(file), "a=2", match="^a="))["verdict"] == "changed"
    assert "system.posix_acl_access" not in os.listxattr(file) and file.stat().st_mode & 0o777 == 0o640


def test_an_edit_is_of_the_file_that_was_read(base: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is exchanged between reading and writing keeps its content: nothing goes from one to the other."""
    (home / "f").write_text("a=1\n")
    own(home / "f")
    rewrite = System.rewrite

    def exchange(*words: Any) -> None:
        (home / "g").write_text("theirs\n")
        os.rename(home / "g", home / "f")
        rewrite(*words)

    monkeypatch.setattr(System, "rewrite", exchange)
    done = run(Line(str(home / "f"), "a=2", match="^a="))
    assert "was changed by somebody else" in done["error"]["message"]
    assert (home / "f").read_text() == "theirs\n"


def test_a_secret_does_not_go_into_a_file_that_others_read(base: Path) -> None:
    """A Line refuses; the file is as it was."""
    (base / "f").write_text("a=1\n")
    (base / "f").chmod(0o644)
    assert run(Line(str(base / "f"), Secret("a=canary"), match="^a="))["verdict"] == "failed"
    assert (base / "f").read_text() == "a=1\n"


# -- directories ------------------------------------------------------------------------------------------------------
def test_a_directory_exchanged_by_a_link_is_left(base: Path, home: Path) -> None:
    """Neither mode nor owner of root's directory change."""
    (base / "roots").mkdir(mode=0o700)
    (home / "d").symlink_to(base / "roots")
    with pytest.raises(OSError, match="link"):
        System().make_directory(str(home / "d"), mode=0o755, uid=MALLORY, gid=MALLORY)
    with pytest.raises(OSError, match="link"):
        System().set_mode(str(home / "d"), 0o755)
    assert run(Directory(str(home / "d"), owner=str(MALLORY)))["verdict"] == "failed"
    status = (base / "roots").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o700)


def test_a_tree_is_removed_without_what_its_links_lead_to(base: Path, home: Path) -> None:
    """The links go."""
    (home / "d/deep").mkdir(parents=True)
    (home / "d/deep/link").symlink_to(base)
    (home / "d/file").symlink_to(base / "shadow")
    filesystem.remove(str(home / "d"))
    assert not (home / "d").exists() and (base / "shadow").read_text() == "root's own\n"


def test_a_pinned_directory_is_the_one_that_was_opened(base: Path, home: Path) -> None:
    """A command that is given its name sees it also after somebody put another in its place."""
    (home / "d").mkdir()
    (home / "d/mine").touch()
    with Reader().pinned(str(home / "d")) as name:
        (home / "d").rename(home / "e")
        (home / "d").symlink_to(base)
        assert System().run(["ls", name + "/"]).stdout == "mine\n"
    (home / "private").mkdir(mode=0o700)
    own(home / "private")
    with pytest.raises(UnsafePath, match="was exchanged by user 4242"):
        Reader().pinned(str(home / "private"), private=True).__enter__()


def test_a_directory_of_roots_that_was_moved_there_is_not_given_away(base: Path, home: Path) -> None:
    """A user can rename root's private directory within the home: it stays private. An empty one is as good as new."""
    (home / "private").mkdir(mode=0o700)
    (home / "private" / "key").write_text("root's own\n")
    (home / "private").rename(home / ".ssh")
    with pytest.raises(UnsafePath, match="they may have moved it there"):
        edit_keys(System(), str(home), keep, MALLORY, MALLORY)
    assert run(Directory(str(home / ".ssh"), mode=0o755))["verdict"] == "failed"
    assert ((home / ".ssh").stat().st_uid, (home / ".ssh").stat().st_mode & 0o777) == (0, 0o700)
    (home / ".ssh" / "key").unlink()
    assert run(Directory(str(home / ".ssh"), mode=0o755))["verdict"] == "changed"


def test_a_directory_to_unpack_in_is_a_new_one(home: Path) -> None:
    """One that a user made holds links of that user's."""
    (home / "d").mkdir()
    own(home / "d")
    with pytest.raises(FileExistsError):
        System().make_directory(str(home / "d"), mode=0o700, must_be_new=True)


def test_the_short_way_is_for_places_without_links_only(tmp_path: Path) -> None:
    """A link at the end or on the way, a name that is gone, and a path that is not the shortest take the long way."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("content")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/name").symlink_to("file")
    taken = {}
    for name in ("real/file", "real", "link/file", "real/name", "real/none", "real/../real/file", "real//file"):
        seized = door.seize(f"{tmp_path}/{name}")
        taken[name] = seized is not None
        if seized is not None:
            os.close(seized)
    assert [name for name, is_taken in taken.items() if is_taken] == ["real/file", "real", "real/name"]


def test_a_file_with_a_second_name_is_not_opened_the_short_way(tmp_path: Path) -> None:
    """Whose it is has to be looked at, name by name."""
    (tmp_path / "file").write_text("content")
    descriptor = door._open_seized(f"{tmp_path}/file")
    assert descriptor is not None and os.read(descriptor, 99) == b"content"
    os.close(descriptor)
    os.link(tmp_path / "file", tmp_path / "second")
    assert door._open_seized(f"{tmp_path}/second") is None
