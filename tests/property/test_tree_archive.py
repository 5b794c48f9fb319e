"""A packed tree of a hostile host: what the check lets pass stays within the directory that it is unpacked in."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.door import UnsafePath
from orchestr.agent.resource import Resource, Task
from orchestr.agent.system import Reader, System
from orchestr.blobs import BlobStore
from orchestr.engine.download import Download
from orchestr.resources.files import Blob, Directory, File
from orchestr.resources.lines import Line
from orchestr.resources.tree_archive import BLOCK, NOBODY, TreeCheck, TreeRefused, checked
from orchestr.resources.trees import PACK, UNPACK, Tree, TreePlaced
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.simulated_trees import MemoryVolumes, SimulatedTrees

NAMES = st.sampled_from(
    ["./", ".", "./a", "./a/", "./a/b", "./a/b/c", "./b", "./b/x", "./c", "a", "/tmp/x", "./../x", "./a/../../x", ""]
).flatmap(lambda name: st.sampled_from([name, name + "//b", name + "/./b", name + "\n", "./é", "./" + "n" * 120]))
TARGETS = st.sampled_from(
    ["./a", "a", "b", "/etc", "/etc/passwd", "..", "../..", "./c", "a/b", "./b/x", "x" * 200, "a/..", "../a/..", "../b"]
)
KINDS = st.sampled_from([b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"\0", b"x", b"S", b"D", b"V"])
MODES = st.sampled_from([0o644, 0o755, 0o4755, 0o2755, 0o1777, 0])


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A tar stream of members that are mostly harmless, in any order, with a few bytes changed now and then."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member("./", b"5", 0o755))
        for _ in range(draw(st.integers(0, 5))):
            kind = draw(st.one_of(st.sampled_from([b"0", b"2", b"5"]), KINDS))
            info = member(draw(NAMES), kind, draw(MODES), draw(TARGETS) if kind in (b"1", b"2") else "")
            info.size = draw(st.integers(0, 600)) if kind == b"0" else 0
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    data = bytearray(out.getvalue())
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data)


def member(name: str, kind: bytes = b"0", mode: int = 0o644, target: str = "", **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, target
    for field, value in {"uid": os.getuid(), "gid": os.getgid(), **fields}.items():
        setattr(info, field, value)
    return info


def packed(*members: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info in (member("./", b"5", 0o755), *members):
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def is_let_pass(data: bytes, piece_bytes: int = 700, check: TreeCheck | None = None) -> bool:
    pieces = (data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes))
    try:
        return b"".join(checked(pieces, check)) == data
    except TreeRefused:
        return False


@given(data=archives(), piece_bytes=st.integers(1, 2000))
@settings(max_examples=400, deadline=None)
def test_what_passes_stays_within_its_directory(data: bytes, piece_bytes: int) -> None:
    """What tar makes of a stream that passed are files, directories and links, all within, and nothing setuid.

    No link of it leads a task of root's out.
    """
    check = TreeCheck()
    passed = is_let_pass(data, piece_bytes, check)
    assert passed == is_let_pass(data, len(data) + 1)
    if not passed:
        return
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer) / "in" / "ner"
        inner.mkdir(parents=True)
        done = subprocess.run([*UNPACK, str(inner)], input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert os.listdir(outer) == ["in"] and os.listdir(Path(outer) / "in") == ["ner"]
        for path in [inner, *inner.rglob("*")]:
            status = path.lstat()
            kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
            assert any(is_kind(status.st_mode) for is_kind in kinds)
            assert not status.st_mode & 0o6000 or stat.S_ISDIR(status.st_mode)
        give_away(check, inner)
        for path in inner.rglob("*"):
            with suppress(OSError):
                assert Path(Reader().real_path(str(path))).is_relative_to(inner)


def give_away(check: TreeCheck, place: Path) -> None:
    """Do what `TreePlaced` does with links out of the tree."""
    for name in check.outward if os.geteuid() == 0 else ():
        os.chown(os.path.join(os.fsencode(place), name), NOBODY, NOBODY, follow_symlinks=False)


REFUSED: dict[str, tuple[bytes, str]] = {
    "a block device": (packed(member("./disk", b"4", 0o666, devmajor=8)), "block device"),
    "a character device": (packed(member("./mem", b"3")), "character device"),
    "a FIFO": (packed(member("./pipe", b"6")), "FIFO"),
    "setuid": (packed(member("./sh", mode=0o4755)), "setuid"),
    "setgid": (packed(member("./sh", mode=0o2755)), "setuid or setgid"),
    "an absolute name": (packed(member("/etc/x")), "not a name in the tree"),
    "a name above": (packed(member("./../x")), "not a name in the tree"),
    "a file below a link": (packed(member("./a", b"2", target="/etc"), member("./a/x")), "not in a directory"),
    "a link in place of a directory": (packed(member("./a/", b"5"), member("./a", b"2", target="/etc")), "twice"),
    "a hard link out": (packed(member("./a", b"1", target="/etc/shadow")), "hard link out"),
    "a hard link through a link": (
        packed(member("./a", b"2", target="/etc"), member("./b", b"1", target="./a/shadow")), "hard link out",
    ),
    "an unknown kind": (packed(member("./a", b"V")), "unknown kind"),
    "the format of pax": (packed(member("./" + "é" * 200), form=tarfile.PAX_FORMAT), "damaged header"),
    "another order": (packed(member("./b"), member("./a")), "not in order"),
    "no owner": (packed(member("./a", uid=(1 << 32) - 1)), "impossible owner"),
    "something behind the end": (packed() + packed(), "behind its end"),
    "nothing": (b"", "ends in the middle"),
    "zeros": (bytes(BLOCK), "ends in the middle"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_data_needs_is_refused(name: str) -> None:
    """It is named before any byte of it goes on."""
    data, why = REFUSED[name]
    passed: list[bytes] = []
    with pytest.raises(TreeRefused, match=why):
        passed.extend(checked(data[at : at + BLOCK] for at in range(0, len(data), BLOCK)))
    assert len(b"".join(passed)) <= max(len(data) - BLOCK, 0) or "end" in why


def test_a_real_tree_passes(tmp_path: Path) -> None:
    """What GNU tar packs of data with long names, odd names, holes and links of both kinds is let pass as it is."""
    (tmp_path / "inner" / "empty").mkdir(parents=True)
    (tmp_path / "inner").chmod(0o2750)
    for name in ("z", "a", "inner.txt", "inner-1", "Z", "é", os.fsdecode(b"no text \xff\n"), "long " * 45):
        (tmp_path / name).write_text(name * 200, errors="surrogateescape")
    os.link(tmp_path / "a", tmp_path / "inner" / "same")
    (tmp_path / "inner" / "link").symlink_to("/nowhere/at all/" + "x" * 150)
    deep = tmp_path / "/".join(["deep " * 10] * 8)
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    with (tmp_path / "holes").open("wb") as stream:
        for number in range(40):  # more than the header and one block of the map hold
            stream.seek(number << 17)
            stream.write(b"data")
    data = subprocess.run([*PACK, str(tmp_path), "."], capture_output=True, check=True).stdout
    assert len(data) < 10 << 17
    check = TreeCheck()
    check.feed(data)
    check.end()
    assert is_let_pass(data, 1001)


def test_the_controller_hands_nothing_on_that_it_refuses(tmp_path: Path) -> None:
    """The host hears why, and no other host can get the content."""
    said: list[dict[str, Any]] = []
    store = BlobStore(tmp_path)
    download, data = Download(store, said.append), packed(member("./disk", b"4"))
    for is_tree, why in ((True, "block device"), (False, "")):
        download.begin(1, len(data), is_tree=is_tree)
        download.take(1, data)
        download.end(1, hashlib.sha256(data).hexdigest(), len(data))
        assert why in said[-1]["why"] and bool(said[-1]["why"]) == is_tree
        assert bool(store._held) != is_tree


def test_a_host_unpacks_nothing_that_it_refuses() -> None:
    """The check is made once more where root unpacks it."""
    host, data = MemoryHost(), packed(member("./sh", mode=0o4755))
    SimulatedTrees(host)
    MemoryVolumes(host)
    system = MemorySystem(host, fetch=lambda digest, size_bytes: iter([data]))
    placed = TreePlaced(Tree("data", path="/opt/data"), Blob(hashlib.sha256(data).hexdigest(), len(data)))
    with pytest.raises(TreeRefused, match="setuid"):
        placed.perform(system)
    assert system.stat("/opt/data") is None and not system.list_directory("/opt/data.arriving")


# -- links out of a tree, and tasks that write below it later ---------------------------------------------------------
class Placing(System):
    """This machine, without a Docker engine, with a controller that sends one blob."""

    def __init__(self, data: bytes) -> None:
        super().__init__(fetch=lambda digest, size_bytes: iter([data]))

    def http(self, url: str, **options: Any) -> tuple[int, bytes]:
        raise ConnectionRefusedError


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of root's, on a way that only root can write to, with a file and room for a tree beside it."""
    folder = Path(tempfile.mkdtemp(prefix="orchestr-trees-", dir="/var/tmp"))
    folder.chmod(0o755)
    (folder / "etc").mkdir(mode=0o700)
    (folder / "etc" / "passwd").write_text("root\n")
    yield folder
    shutil.rmtree(folder)


def place(data: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestr.resources.trees.MARKS", str(path.parent / "marks"))
    TreePlaced(Tree("data", path=str(path)), Blob(hashlib.sha256(data).hexdigest(), len(data))).perform(Placing(data))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are set")


@needs_root
@pytest.mark.parametrize("target", ["{outside}/etc", "../etc", "up/../../etc", "via"])
def test_a_link_that_came_with_data_leads_no_task_out(
    target: str, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a tree of root's a link to root's files looks like an administrator's; no task follows it, and it stays."""
    links = {"conf": target.format(outside=outside), "up": "sub", "via": "../etc"}
    data = packed(*(member(f"./{name}", b"2", target=links[name]) for name in ("conf",)), member("./sub/", b"5"),
                  *(member(f"./{name}", b"2", target=links[name]) for name in ("up", "via")))  # fmt: skip
    place(data, outside / "data", monkeypatch)
    link = outside / "data" / "conf"
    assert os.readlink(link) == links["conf"]
    before = {path: (path.stat().st_mode, path.stat().st_uid) for path in (outside / "etc", outside / "etc/passwd")}
    tasks: list[Resource] = [
        Directory(str(link), mode=0o777, owner="4242"),
        Directory(str(link / "made"), owner="4242"),
        File(str(link / "passwd"), "evil"),
        Line(str(link / "passwd"), "evil"),
    ]
    for resource in tasks:
        result = converge(Task(resource), System(), False, False)
        assert result["verdict"] == "failed" and "link" in result["error"]["message"], resource
    assert {path: (path.stat().st_mode, path.stat().st_uid) for path in before} == before
    assert [path.name for path in (outside / "etc").iterdir()] == ["passwd"]
    assert (outside / "etc" / "passwd").read_text() == "root\n"


@needs_root
def test_a_link_that_came_with_data_leads_no_other_data_out(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree whose place is in another one is not put where a link of that one leads."""
    place(packed(member("./inner", b"2", target=str(outside / "etc"))), outside / "data", monkeypatch)
    with pytest.raises(UnsafePath, match="belongs to user nobody"):
        place(packed(member("./passwd")), outside / "data" / "inner", monkeypatch)
    assert (outside / "etc" / "passwd").read_text() == "root\n"


@needs_root
def test_links_within_a_tree_and_of_services_keep_their_owners(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root's own that lead out are given away."""
    links = {"a": ("b/c", 0), "b/d": ("../a", 0), "e": ("/etc", 1000), "f": ("/etc", 0), "g": ("./b/./c", 0)}
    members = [member("./a", b"2", target="b/c"), member("./b/", b"5")]
    members += [member(f"./{name}", b"2", target=links[name][0], uid=links[name][1]) for name in sorted(links)[1:]]
    place(packed(*members), outside / "data", monkeypatch)
    owners = {name: (outside / "data" / name).lstat().st_uid for name in links}
    assert owners == {"a": 0, "b/d": 0, "e": 1000, "f": NOBODY, "g": 0}


@needs_root
def test_owners_are_numbers_and_nothing_else_comes_along(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number, also one without an account or with one here; no attribute, capability or ACL, whatever is packed."""
    attributes = {"SCHILY.xattr.security.capability": "x", "SCHILY.acl.access": "user::rwx", "SCHILY.xattr.user.a": "b"}
    with pytest.raises(TreeRefused, match="damaged header"):
        info = member("./sh", mode=0o755)
        info.pax_headers = attributes
        place(packed(info, form=tarfile.PAX_FORMAT), outside / "data", monkeypatch)
    place(packed(member("./a", uid=999, gid=1, uname="root", gname="root"), member("./d/", b"5", 0o2770, gid=1 << 24)),
          outside / "data", monkeypatch)  # fmt: skip
    for name, uid, gid in (("a", 999, 1), ("d", 0, 1 << 24)):
        status = (outside / "data" / name).lstat()
        assert (status.st_uid, status.st_gid) == (uid, gid)
        assert not [key for key in os.listxattr(outside / "data" / name) if "selinux" not in key]
