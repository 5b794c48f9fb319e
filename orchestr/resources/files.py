"""Files, directories and links: their content, owner and mode."""

from __future__ import annotations

from orchestr.agent.digest import sha256_of
from orchestr.agent.door import UnsafePath
from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, attribute_diff, registered
from orchestr.agent.secret import REDACTED, Secret, redact, reveal
from orchestr.agent.system import LONGEST_REMOVAL_S, FileStat, Reader, System
from orchestr.resources.modes import canonical_mode, mode_bits, secret_mode
from orchestr.resources.names import check_account, check_line, check_path, is_account
from orchestr.resources.places import expect_directory, require_directory_place, require_file_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Dict, Mapping, Optional, Tuple, Union


SLOWEST = 64 * 1024.0  # bytes a second of a line that content is still waited for on
DIFF_LIMIT = 64 * 1024  # bytes of content up to which a diff shows lines


@record
@registered("blob")
class Blob:
    """Content too large to travel with the task: fetched by digest when the host lacks it."""

    sha256: str
    size_bytes: int


def _check_owner(resource: "Union[File, Directory]") -> None:
    if not is_account(resource.owner) or not is_account(resource.group):
        check_account(resource.owner, "the owner of %s," % resource.path)
        check_account(resource.group, "the group of %s," % resource.path)


def owner_state(resource: "Union[File, Directory]") -> Dict[str, Union[str, int]]:
    """Return the mode and owner attributes every kind of file shares."""
    return {"mode": "%04o" % resource.bits, "owner": resource.owner, "group": resource.group}


def observed_owner(reader: Reader, resource: "Union[File, Directory]") -> Dict[str, Union[str, int]]:
    """Return mode, owner and group as they are, the names as the resource writes them when they mean the same id."""
    status = reader.stat(resource.path)
    assert status is not None
    owner_is_same = reader.user_id(resource.owner) == status.uid
    group_is_same = reader.group_id(resource.group) == status.gid
    return {
        "mode": "%04o" % status.mode,
        "owner": resource.owner if owner_is_same else str(status.uid),
        "group": resource.group if group_is_same else str(status.gid),
    }


def ids(system: Reader, resource: "Union[File, Directory]") -> Tuple[int, int]:
    """Return (uid, gid) of the resource's owner and group. Raises ResourceError for an unknown name."""
    uid, gid = system.user_id(resource.owner), system.group_id(resource.group)
    if uid is None or gid is None:
        account = "user %r" % resource.owner if uid is None else "group %r" % resource.group
        raise ResourceError("there is no %s on this host" % account, "create it before %s" % resource.path)
    return uid, gid


@record
@registered("file")
class File(Resource):
    """A regular file with this content (text or Secret, or a Blob sent on demand), mode, owner and group.

    ``mode`` (``0o640``, ``"0640"`` or ``"u=rw,g=r"``) is 0644 by default, 0600 for a Secret, which others may not read.
    Observes: type, sha256, mode, owner. Changes: the whole file, atomically.
    Never touches: anything else in the directory. ``present=False`` removes it.
    """

    path: str
    content: Union[str, Secret, Blob] = ""
    mode: Optional[Union[int, str]] = None
    owner: str = "root"
    group: str = "root"
    present: bool = True

    touches: ClassVar[Tuple[str, ...]] = ("files", "services")

    @property
    def label(self) -> str:
        return self.path

    def __post_init__(self) -> None:
        check_path(self.path)
        _check_owner(self)
        mode = secret_mode(self.mode, 0o644, isinstance(self.content, Secret), self.path)
        object.__setattr__(self, "mode", mode)

    @property
    def bits(self) -> int:
        """Return the mode as a number."""
        assert self.mode is not None
        return mode_bits(self.mode)

    @property
    def longest_s(self) -> float:  # type: ignore[override]
        """Return the time that content of its size takes over a slow line."""
        return Resource.longest_s + self.size_bytes / SLOWEST

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return owned_path(self.path, self)

    def _bytes(self) -> bytes:
        assert not isinstance(self.content, Blob)
        text = self.content.reveal() if isinstance(self.content, Secret) else self.content
        return text.encode("utf-8")

    @property
    def sha256(self) -> str:
        """Return the digest of the desired content."""
        return self.content.sha256 if isinstance(self.content, Blob) else sha256_of(self._bytes())

    @property
    def size_bytes(self) -> int:
        """Return the size of the desired content."""
        return self.content.size_bytes if isinstance(self.content, Blob) else len(self._bytes())

    def desired(self) -> Optional[State]:
        if not self.present:
            return None
        return dict(owner_state(self), type="file", sha256=self.sha256)

    def observe(self, reader: Reader) -> Optional[State]:
        status = reader.stat(self.path)
        if status is None:
            return None
        if status.type != "file":
            return {"type": status.type}
        is_alike = status.size_bytes == self.size_bytes  # of another size it is another content, however long it is
        digest = digest_on_disk(reader, self.path) if is_alike else "of %d bytes" % status.size_bytes
        return dict(observed_owner(reader, self), type="file", sha256=digest)

    def require(self, reader: Reader, change: Change) -> None:
        require_file_place(reader, self.path)

    def apply(self, system: System, change: Change) -> None:
        if not self.present:
            system.remove(self.path)
            return
        uid, gid = ids(system, self)
        if change.touches("sha256", "exists"):
            if isinstance(self.content, Blob):
                system.write_blob(
                    self.path, self.content.sha256, self.content.size_bytes, mode=self.bits, uid=uid, gid=gid
                )
            else:
                system.write_bytes(self.path, self._bytes(), mode=self.bits, uid=uid, gid=gid)
            return
        system.adopt(self.path, self.sha256, mode=self.bits, uid=uid, gid=gid)

    def predict(self, reader: Reader, change: Change) -> None:
        reader.predicted[self.path] = self.sha256 if self.present else None

    def diff(self, reader: Reader, change: Change) -> str:
        rest = Change(change.before, change.after, tuple(n for n in change.differing if n != "sha256"))
        lines = [attribute_diff(rest)] if rest.differing else []
        if change.touches("sha256") and not isinstance(self.content, Blob):
            lines.append(content_diff(reader, self.path, self.content))
        elif change.touches("sha256"):
            lines.append("+ sha256: %s" % self.sha256[:12])
        return "\n".join(line for line in lines if line)


def owned_path(path: str, resource: Resource) -> Mapping[Tuple[str, ...], object]:
    """Return the path that a resource decides wholly, as `Resource.owned` does."""
    return {("path", plain_path(path)): resource.desired}


def plain_path(path: str) -> str:
    """Return an absolute path without ``.``, ``..`` and doubled slashes, links not followed."""
    if path[:1] == "/" and path[-1:] != "/" and "//" not in path and "/." not in path:
        return path
    import posixpath

    return posixpath.normpath("/" + path.lstrip("/"))


def real_path(reader: Reader, path: str) -> str:
    """Return the path behind the links at the end of ``path``, so that their target is edited and no link replaced."""
    return reader.real_path(path)


def digest_of_content(reader: Reader, path: str) -> Optional[str]:
    """Return `Reader.digest` of a file that a program reads; of a link that a user made, its target's name.

    Nothing is read for a user through such a link, and to lead it elsewhere still counts as a change.
    """
    try:
        return reader.digest(path)
    except UnsafePath:
        status = reader.stat(path)
        if status is None or status.type != "link":
            raise
        return "link to %s" % status.target


def stat_of_content(reader: Reader, path: str) -> Optional[FileStat]:
    """Return the stat of a file, behind a link that is safe to follow; of another link, its own."""
    try:
        return reader.stat(real_path(reader, path))
    except UnsafePath:
        return reader.stat(path)


def digest_on_disk(reader: Reader, path: str) -> Optional[str]:
    """Return the sha256 of a file as it is, also where check mode predicts another."""
    if path not in reader.predicted:
        return reader.digest(path)
    predicted = reader.predicted.pop(path)
    try:
        return reader.digest(path)
    finally:
        reader.predicted[path] = predicted


def content_diff(reader: Reader, path: str, content: Union[str, Secret]) -> str:
    """Return a diff of a file's content, or why none is shown."""
    before = reader.read_bytes(path, DIFF_LIMIT + 1) or b""
    if len(before) > DIFF_LIMIT or len(reveal(content)) > DIFF_LIMIT or b"\0" in before:
        return "~ content differs (too large or binary to show)"
    return text_diff(before.decode("utf-8", "replace"), content)


def text_diff(before: str, content: Union[str, Secret]) -> str:
    """Return a unified diff; with a Secret, old lines that are no longer there are hidden whole.

    An old line may hold an old secret that nobody can recognise any more, so it is never shown.
    """
    if isinstance(content, Secret) and not content.parts:
        return "~ content differs " + REDACTED
    from difflib import unified_diff

    lines = []
    new = str(reveal(content)).splitlines()
    for line in list(unified_diff(before.splitlines(), new, "before", "after", lineterm="", n=1))[2:]:
        mark, text = line[:1], line[1:]
        lines.append(line if mark == "@" else "%s %s" % (mark, _shown(mark, text, content)))
    return "\n".join(lines)


def _shown(mark: str, text: str, content: Union[str, Secret]) -> str:
    if not isinstance(content, Secret):
        return text
    # A secret of several lines (a key) never stands whole in one line, so its lines are hidden one by one.
    return REDACTED if mark == "-" else redact(text, [line for part in content.parts for line in part.splitlines()])


@record
@registered("directory")
class Directory(Resource):
    """A directory with this mode (see File), owner and group; ``present=False`` removes it with all it holds.

    Observes: type, mode, owner. Changes: these, and makes missing parents (0755). Never touches: the entries inside.
    """

    path: str
    mode: Union[int, str] = 0o755
    owner: str = "root"
    group: str = "root"
    present: bool = True

    touches: ClassVar[Tuple[str, ...]] = ("files",)

    @property
    def longest_s(self) -> float:  # type: ignore[override]
        """Return the time that the removal of any tree may take."""
        return Resource.longest_s if self.present else LONGEST_REMOVAL_S

    def __post_init__(self) -> None:
        check_path(self.path)
        _check_owner(self)
        object.__setattr__(self, "mode", canonical_mode(self.mode))

    @property
    def label(self) -> str:
        return self.path

    @property
    def bits(self) -> int:
        """Return the mode as a number."""
        return mode_bits(self.mode)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return owned_path(self.path, self)

    def desired(self) -> Optional[State]:
        return dict(owner_state(self), type="directory") if self.present else None

    def observe(self, reader: Reader) -> Optional[State]:
        status = reader.stat(self.path)
        if status is None:
            return None
        if status.type != "directory":
            return {"type": status.type}
        return dict(observed_owner(reader, self), type="directory")

    def require(self, reader: Reader, change: Change) -> None:
        require_directory_place(reader, self.path, not self.present)

    def predict(self, reader: Reader, change: Change) -> None:
        expect_directory(reader, self.path, self.present)

    def apply(self, system: System, change: Change) -> None:
        if not self.present:
            system.remove(self.path)
            return
        uid, gid = ids(system, self)
        system.make_directory(self.path, mode=self.bits, uid=uid, gid=gid)


@record
@registered("link")
class Link(Resource):
    """A symbolic link at ``path`` to ``target`` (symlink(7)); ``present=False`` removes it.

    Observes: type and target. Changes: the link, in one step, in place of a link or file there. Never touches: what it
    leads to, nor a directory at ``path``.
    """

    path: str
    target: str = ""
    present: bool = True

    touches: ClassVar[Tuple[str, ...]] = ("files", "services")

    def __post_init__(self) -> None:
        check_path(self.path)
        check_line(self.target, "the target of %s," % self.path)
        if self.present and not self.target:
            raise ValueError("the link %s needs a target" % self.path)

    @property
    def label(self) -> str:
        return self.path

    def desired(self) -> Optional[State]:
        return {"type": "link", "target": self.target} if self.present else None

    def observe(self, reader: Reader) -> Optional[State]:
        status = reader.stat(self.path)
        if status is None:
            return None
        return {"type": status.type, "target": status.target}

    def require(self, reader: Reader, change: Change) -> None:
        kind = "link" if change.before is None else change.before["type"]
        if kind == "file" and not self.present:
            raise ResourceError("%s is a file, not a link" % self.path, "move it away first")
        require_file_place(reader, self.path, may_be_link=True)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return owned_path(self.path, self)

    def apply(self, system: System, change: Change) -> None:
        if self.present:
            system.symlink(self.target, self.path)
        else:
            system.remove(self.path)
