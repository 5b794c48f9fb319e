"""Directories with data on their way from one host to another: packed here, unpacked there, the old one kept.

The content travels through the controller, as a tar stream that is stored on no host: killed anywhere, it is packed
again. A tree is at its place whole or not at all. Until the one it was taken from is put aside (`TreeRetired`), that
one counts; nothing removes a tree. Marks of moves under way are in ``/var/lib/orchestr/trees`` (0700).
Source: tar(1) of GNU, format gnu: owners by number, modes, times to the second, links, holes; no ACL, no attributes.
Links out of a tree become NOBODY's (`tree_archive`).
"""

from __future__ import annotations

import os

from orchestr.agent.offer import offer
from orchestr.agent.record import record
from orchestr.agent.resource import Action, ResourceError, Survey, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.images import verified
from orchestr.resources.docker.names import check_object_name
from orchestr.resources.files import Blob, real_path
from orchestr.resources.names import check_part, check_path
from orchestr.resources.tree_archive import NOBODY, TreeCheck, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Tuple

MARKS = "/var/lib/orchestr/trees"
PACK = ("tar", "--create", "--format=gnu", "--numeric-owner", "--sort=name", "--sparse", "--directory")
UNPACK = ("tar", "--extract", "--numeric-owner", "--same-owner", "--same-permissions", "--directory")
LONGEST_S = 24 * 3600.0
UNUSED_S = 120.0  # from the stop of a service to the end of its container
PAUSE_S = 0.5


@record
@registered("tree")
class Tree:
    """A directory (``path``), or a volume of the engine (``volume``), under a name for messages and marks."""

    name: str
    path: str = ""
    volume: str = ""

    def __post_init__(self) -> None:
        check_part(self.name, "the name of the tree")
        if bool(self.path) == bool(self.volume):
            raise ValueError("the tree %s is either a path or a volume" % self.name)
        if self.path:
            check_path(self.path, "the tree %s," % self.name)
        else:
            check_object_name("volume", self.volume)

    def place(self, reader: Reader) -> str:
        """Return where it is on this host, links followed; "" for a volume that is not there."""
        if not self.volume:
            return real_path(reader, self.path)
        return str((docker.get(reader, "/volumes/" + self.volume) or {}).get("Mountpoint") or "")

    def has_content(self, reader: Reader) -> bool:
        """Return True if it has any content: an empty directory has none."""
        directory = self.place(reader)
        return bool(directory) and bool(reader.list_directory(directory))

    def users(self, reader: Reader) -> List[str]:
        """Return the names of running containers that have it mounted. Raises EngineSilent."""
        mine, names = {self.place(reader), self.path, self.volume} - {""}, []
        for container in docker.get(reader, "/containers/json") or ():
            mounts = container.get("Mounts") or ()
            if any(mount.get("Source") in mine or mount.get("Name") in mine for mount in mounts):
                names.append(",".join(container.get("Names") or ("?",)).lstrip("/"))
        return names

    def mark(self, kind: str) -> str:
        return "%s/%s.%s" % (MARKS, self.name, kind)

    @property
    def leaving(self) -> str:
        """The mark of a tree that is being taken: it counts, whoever else has a copy."""
        return self.mark("leaving")

    @property
    def arrived(self) -> str:
        """The mark of a copy, which holds its sha256."""
        return self.mark("arrived")


@record
@registered("tree_survey")
class TreeSurvey(Survey):
    """Which of these trees are on this host, which are under way, which are in use, for the plays after it.

    Observes: directories, volumes, marks, the engine's running containers. Changes: nothing.
    """

    name: str
    trees: Tuple[Tree, ...]

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        return {"node": _node(reader), "trees": {tree.name: _describe(reader, tree) for tree in self.trees}}


def _node(reader: Reader) -> str:
    """Return this host's id in its swarm, "" outside of one."""
    try:
        return str(((docker.get(reader, "/info") or {}).get("Swarm") or {}).get("NodeID") or "")
    except ResourceError:  # no engine (yet)
        return ""


def _describe(reader: Reader, tree: Tree) -> Dict[str, bool]:
    try:
        has, is_used = tree.has_content(reader), bool(tree.users(reader))
    except ResourceError:
        has, is_used = not tree.volume and tree.has_content(reader), False
    leaving, arrived = reader.stat(tree.leaving) is not None, reader.stat(tree.arrived) is not None
    return {"has": has, "is_used": is_used, "leaving": leaving, "arrived": arrived}


@record
@registered("tree_measure")
class TreeMeasure(Survey):
    """How much a tree holds, how much room there is beside it, and whether it can be renamed and taken at all.

    Observes: du, df, mountpoint, find. Changes: nothing.
    """

    name: str
    tree: Tree

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        try:
            directory = self.tree.place(reader)
        except ResourceError:
            directory = ""
        size = (
            _number(reader, ["du", "-s", "-B1", directory]) if directory and reader.stat(directory) is not None else 0
        )
        beside = directory or "/var/lib/docker"
        while reader.stat(beside) is None and beside.strip("/"):
            beside = beside.rpartition("/")[0] or "/"
        free = _number(reader, ["df", "--output=avail", "-B1", beside])
        is_mount = bool(directory) and reader.query(["mountpoint", "-q", directory]).ok
        measured = {"size_bytes": size, "free_bytes": free, "is_mount": is_mount, "place": directory}
        return {**measured, **_refused(reader, directory)}


def _refused(reader: Reader, directory: str) -> Dict[str, str]:
    """Return the first entry of a tree that `tree_archive` refuses, as ``refused``, {} without one."""
    if not directory:
        return {}
    kinds = "( -type b -o -type c -o -type p -o -type f -perm /6000 )".split()
    done = reader.query(["find", directory, *kinds, "-print", "-quit"], timeout_s=3600.0)
    return {"refused": done.stdout.strip()} if done.ok and done.stdout.strip() else {}


def _number(reader: Reader, argv: List[str]) -> int:
    """Return the first number that a command says, -1 when it says none."""
    done = reader.query(argv, timeout_s=3600.0)
    return next((int(word) for word in done.stdout.split() if word.isdigit()), -1) if done.ok else -1


@record
@registered("tree_taken")
class TreeTaken(Action):
    """A tree packed and sent to the controller, where it is until the run ends. Outcome: its sha256 and size.

    The controller refuses one that holds more than files, directories and links (`tree_archive`).

    Observes: nothing. Changes: marks the tree as leaving. Never touches: the tree. Waits for containers that still use
    it to end.
    """

    offers_tree: ClassVar[bool] = True
    longest_s: ClassVar[float] = 2 * LONGEST_S
    tree: Tree
    size_bytes: int = 0

    @property
    def label(self) -> str:
        return self.tree.name

    def is_done(self, reader: Reader) -> bool:
        return False

    def perform(self, system: System) -> None:
        if not self.tree.has_content(system):
            raise ResourceError("%s is not there (any more)" % self.tree.name, "run the same command again")
        system.make_directory(MARKS, mode=0o700)
        system.write_bytes(self.tree.leaving, b"")
        _await_unused(system, self.tree)
        with system.pinned(self.tree.place(system)) as directory:
            sha256, size_bytes = offer(system, [*PACK, directory, "."], self.size_bytes, LONGEST_S)
        self.publish(system, {"sha256": sha256, "size_bytes": size_bytes})
        system.say("%s: %.1f MB are on their way" % (self.tree.name, size_bytes / 1e6))


@record
@registered("tree_placed")
class TreePlaced(Action):
    """A tree that was taken elsewhere, at its place here; earlier content is kept beside it (``.kept-TIME``).

    Observes: whether exactly this content has arrived. Changes: unpacks it beside its place, then renames it. Never
    touches: the replaced tree, but for its name.
    """

    longest_s: ClassVar[float] = 2 * LONGEST_S
    tree: Tree
    blob: Blob

    @property
    def label(self) -> str:
        return self.tree.name

    def is_done(self, reader: Reader) -> bool:
        digest = (reader.read_text(self.tree.arrived) or "").strip()
        return digest == self.blob.sha256 != "" and self.tree.has_content(reader)

    def perform(self, system: System) -> None:
        if self.tree.volume:
            docker_api.call(system, "POST", "/volumes/create", body={"Name": self.tree.volume})
        _await_unused(system, self.tree)
        directory = self.tree.place(system)
        beside = directory + ".arriving"
        system.remove(beside)
        system.make_directory(beside, mode=0o700, must_be_new=True)  # a user may have put links into an old one
        has_ended: List[bool] = []
        check = TreeCheck()
        stream = checked(_verify(system, self.blob, has_ended), check)
        with system.pinned(beside, private=True) as pinned:
            system.run([*UNPACK, pinned], input=stream, timeout_s=LONGEST_S)
        if not has_ended:
            raise ResourceError("tar took only a part of %s" % self.tree.name, "run the same command again")
        for name in check.outward:
            system.set_owner("%s/%s" % (beside, os.fsdecode(name[2:])), NOBODY, NOBODY)
        system.run(["sync", "--file-system", beside])  # durable before the source is put aside
        _put_aside(system, directory, "kept")
        system.rename(beside, directory)
        system.make_directory(MARKS, mode=0o700)
        system.write_bytes(self.tree.arrived, self.blob.sha256.encode("ascii"))


@record
@registered("tree_retired")
class TreeRetired(Action):
    """A tree out of use, because another host has its content: kept beside its place (``.moved-TIME``).

    Observes: whether anything is at its place, and marks. Changes: renames it. Never touches: its content.
    """

    tree: Tree

    @property
    def label(self) -> str:
        return self.tree.name

    def is_done(self, reader: Reader) -> bool:
        marks = (self.tree.leaving, self.tree.arrived)
        return not self.tree.has_content(reader) and all(reader.stat(mark) is None for mark in marks)

    def perform(self, system: System) -> None:
        directory = self.tree.place(system)
        status, empty = system.stat(directory) if directory else None, directory + ".empty"
        if status is not None and system.list_directory(directory):
            _await_unused(system, self.tree)
            if self.tree.volume:  # the engine wants the directory
                system.make_directory(empty, mode=status.mode, uid=status.uid, gid=status.gid)
            _put_aside(system, directory, "moved")
        if directory and system.stat(empty) is not None and system.stat(directory) is None:
            system.rename(empty, directory)
        system.remove(self.tree.arrived)
        system.remove(self.tree.leaving)


@record
@registered("tree_stays")
class TreeStays(Action):
    """A tree that was to leave and stays after all.

    Observes: the mark of one that leaves. Changes: removes it. Never touches: the tree.
    """

    tree: Tree

    @property
    def label(self) -> str:
        return self.tree.name

    def is_done(self, reader: Reader) -> bool:
        return reader.stat(self.tree.leaving) is None

    def perform(self, system: System) -> None:
        system.remove(self.tree.leaving)


def _put_aside(system: System, directory: str, why: str) -> None:
    """Rename a directory with content to a name with the time; remove an empty one."""
    if system.stat(directory) is None:
        return
    if not system.list_directory(directory):
        system.remove_empty(directory)
        return
    import time

    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(system.now()))
    aside, number = "%s.%s-%s" % (directory, why, moment), 1
    while system.stat(aside) is not None:
        number += 1
        aside = "%s.%s-%s-%d" % (directory, why, moment, number)
    system.rename(directory, aside)
    system.say("the previous content of %s is kept as %s" % (directory, aside))


def _await_unused(system: System, tree: Tree) -> None:
    """Return when no running container has it mounted. Raises ResourceError when one does not end within UNUSED_S."""
    users: List[str] = []
    for _ in system.attempts(UNUSED_S, PAUSE_S):
        try:
            users = tree.users(system)
        except docker.EngineSilent:
            return
        if not users:
            return
    raise ResourceError(
        "%s is in use by %s, and would be copied half written" % (tree.name, ", ".join(users)),
        "stop that container (docker stop), then run the same command again",
    )


def _verify(system: System, blob: Blob, has_ended: List[bool]) -> Iterator[bytes]:
    """Yield a blob as `images.verified` does, and say when all of it was taken."""
    yield from verified(system, blob)
    has_ended.append(True)
