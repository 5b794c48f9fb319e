"""What a packed tree may hold: the members of its tar stream, checked one by one while it passes.

The host it comes from is not trusted, and root unpacks it elsewhere. So a tree holds regular files, directories and
links; no device, no FIFO, no file with setuid or setgid bits, no name outside of it, no hard link out of it.
Every member lies in a directory that came before it, and names come in order, each once: a link is never on the way to
a member.

A symbolic link may lead out of the tree (an absolute one means a path in the container of its service); it is never
followed here. One of root's would be followed later, as an administrator's (`agent.door`), by a task that writes below
the tree: so the ones that lead out are given to NOBODY before the tree is at its place (``outward``), and no task of
orchestr follows them. To the service they are what they were.

Owners are numbers, and stay: only the image of a service knows the ones that its programs run as, and data that its
service cannot read is lost. So a host that packs a tree can give its own data to any number, also to one that is an
account of the host it moves to. It gives nothing else: no setuid or setgid program, no capability, ACL or other
attribute (the format has none), nothing outside of the tree. Numbers that chown(2) takes for "as it is" are refused.
Source: tar(5), "Old GNU" format, which is the one that `trees.PACK` writes; the GNU manual, "Basic Tar Format".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, List, Optional, Set

BLOCK = 512
MAGIC = b"ustar  \0"
FILE, HARD_LINK, LINK, DIRECTORY, SPARSE, LONG_NAME, LONG_LINK = b"0", b"1", b"2", b"5", b"S", b"L", b"K"
REFUSED = {b"3": "a character device", b"4": "a block device", b"6": "a FIFO"}
LONGEST_NAME = 4096  # bytes, PATH_MAX
MOST_LEVELS = 200
MOST_MEMBERS = 50_000_000
MOST_LINKS = 500_000  # symbolic links, whose names are kept
LARGEST_FILE = 1 << 44  # bytes, holes included
LARGEST_ID = (1 << 32) - 2  # -1 is "leave it as it is"
HIGHEST_MODE = 0o7777
SET_ID = 0o6000
NOBODY = 65534  # the owner of links out of a tree


class TreeRefused(OSError):
    """A packed tree holds a member that it may not hold, or is no packed tree."""


class TreeCheck:
    """Give it all pieces of a stream in turn (``feed``), then call ``end``. Both raise TreeRefused."""

    def __init__(self) -> None:
        self._piece = bytearray()  # of a header, or of a long name
        self._wanted = BLOCK  # bytes of it
        self._content_left = 0
        self._is_sparse_map = False
        self._sparse_content = self._long_size = 0  # bytes that follow the map, and of the long name
        self._kind_of_long = b""
        self._long: Dict[bytes, bytes] = {}  # LONG_NAME, LONG_LINK → the text for the next member
        self._zero_blocks = 0
        self._members = 0
        self._chain: List[bytes] = []  # names of the directories that hold the last member
        self._latest: List[bytes] = []  # the last name in each of them
        self._links: Set[bytes] = set()
        self.outward: List[bytes] = []  # names of symbolic links of root's that lead out of the tree

    def feed(self, chunk: bytes) -> None:
        """Check the members in the next piece of the stream."""
        at = 0
        while at < len(chunk):
            if self._content_left:
                step = min(self._content_left, len(chunk) - at)
                self._content_left -= step
            else:
                step = min(self._wanted - len(self._piece), len(chunk) - at)
                self._piece += chunk[at : at + step]
            at += step
            if len(self._piece) == self._wanted:
                piece, self._wanted = bytes(self._piece), BLOCK
                self._piece.clear()
                self._take(piece)

    def end(self) -> None:
        """Check that the stream was whole."""
        if self._piece or self._content_left or self._long or self._zero_blocks < 2:
            raise TreeRefused("the packed tree ends in the middle")

    # -- blocks -------------------------------------------------------------------------------------------------------
    def _take(self, piece: bytes) -> None:
        if self._is_sparse_map:
            self._is_sparse_map = piece[504:505] not in (b"\0", b"0")
            if not self._is_sparse_map:
                self._content_left = self._sparse_content
        elif self._kind_of_long:
            self._take_long(piece)
        elif not piece.strip(b"\0"):
            self._zero_blocks += 1
        elif self._zero_blocks:
            raise TreeRefused("the packed tree goes on behind its end")
        else:
            self._take_header(piece)

    def _take_long(self, piece: bytes) -> None:
        text = piece[: self._long_size]
        if text[-1:] != b"\0" or b"\0" in text[:-1]:
            raise TreeRefused("the packed tree has a damaged name")
        self._long[self._kind_of_long] = text[:-1]
        self._kind_of_long = b""

    def _take_header(self, block: bytes) -> None:
        if block[257:265] != MAGIC or _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
            raise TreeRefused("the packed tree has a damaged header")
        kind, size = block[156:157], _number(block[124:136])
        if kind in (LONG_NAME, LONG_LINK):
            if not 1 < size <= LONGEST_NAME + 1 or kind in self._long:
                raise TreeRefused("the packed tree has a damaged name")
            self._kind_of_long, self._long_size, self._wanted = kind, size, _pad(size)
            return
        name = self._long.pop(LONG_NAME, None)
        link = self._long.pop(LONG_LINK, None)
        name = _text(block[:100]) if name is None else name
        self._check(kind, name, _text(block[157:257]) if link is None else link, block)
        if kind not in (FILE, SPARSE) and size:
            raise _refused(name, "has content, and is no file")
        if kind == SPARSE and block[482:483] not in (b"\0", b"0"):
            self._is_sparse_map, self._sparse_content = True, _pad(size)
        else:
            self._content_left = _pad(size)

    # -- members ------------------------------------------------------------------------------------------------------
    def _check(self, kind: bytes, name: bytes, link: bytes, block: bytes) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise TreeRefused("the packed tree has more than %d members" % MOST_MEMBERS)
        if kind in REFUSED:
            raise _refused(name, "is %s; remove it on the host it comes from" % REFUSED[kind])
        if kind not in (FILE, HARD_LINK, LINK, DIRECTORY, SPARSE):
            raise _refused(name, "is of the unknown kind %r" % kind.decode("latin-1"))
        mode = _number(block[100:108])
        if mode > HIGHEST_MODE:
            raise _refused(name, "has an impossible mode")
        if mode & SET_ID and kind != DIRECTORY:
            raise _refused(name, "has a setuid or setgid bit; remove it on the host it comes from (chmod ug-s)")
        if max(_number(block[108:116]), _number(block[116:124])) > LARGEST_ID:
            raise _refused(name, "has an impossible owner")
        size = _number(block[483:495]) if kind == SPARSE else _number(block[124:136])
        if max(size, _number(block[124:136])) > LARGEST_FILE:
            raise _refused(name, "is larger than a file can be")
        self._check_name(kind, name)
        if kind == LINK:
            self._note_link(name, link, is_roots=not _number(block[108:116]))
        elif kind == HARD_LINK:
            self._check_hard_link(name, link)

    def _check_name(self, kind: bytes, name: bytes) -> None:
        """Check that a member lies in a directory that came before it, behind its other entries."""
        if self._members == 1:
            if kind != DIRECTORY or name not in (b"./", b"."):
                raise _refused(name, "is not the tree itself, which comes first")
            return
        parts = _parts(name[:-1] if kind == DIRECTORY and name.endswith(b"/") else name)
        if parts is None:
            raise _refused(name, "is not a name in the tree")
        level = len(parts) - 1
        if self._chain[:level] != parts[:-1]:
            raise _refused(name, "is not in a directory of the tree")
        if level < len(self._latest) and parts[-1] <= self._latest[level]:
            raise _refused(name, "comes twice, or not in order")
        self._latest[level:] = [parts[-1]]
        self._chain[level:] = [parts[-1]] if kind == DIRECTORY else []

    def _note_link(self, name: bytes, target: bytes, is_roots: bool) -> None:
        if not 0 < len(target) <= LONGEST_NAME:
            raise _refused(name, "is a link to an impossible name")
        self._links.add(name)
        if is_roots and _leads_out(len(self._latest) - 1, target):
            self.outward.append(name)
        if len(self._links) > MOST_LINKS:
            raise TreeRefused("the packed tree has more than %d symbolic links" % MOST_LINKS)

    def _check_hard_link(self, name: bytes, target: bytes) -> None:
        parts = _parts(target)
        if parts is None or any(b"./" + b"/".join(parts[:count]) in self._links for count in range(1, len(parts))):
            raise _refused(name, "is a hard link out of the tree")


def checked(chunks: Iterable[bytes], check: Optional[TreeCheck] = None) -> Iterator[bytes]:
    """Yield the pieces of a packed tree, each after it was checked. Raises TreeRefused before a member passes."""
    check = check or TreeCheck()
    for chunk in chunks:
        check.feed(chunk)
        yield chunk
    check.end()


def _parts(name: bytes) -> Optional[List[bytes]]:
    """Return the components of ``./a/b``, None for any other form of name."""
    parts = name[2:].split(b"/")
    if name[:2] != b"./" or len(name) > LONGEST_NAME or len(parts) > MOST_LEVELS:
        return None
    return None if any(part in (b"", b".", b"..") for part in parts) else parts


def _leads_out(level: int, target: bytes) -> bool:
    """Return True unless a link that is ``level`` directories below the tree leads to a path in it, whatever is there.

    `..` behind a name counts as out: the name may be another link.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = next((number for number, part in enumerate(parts) if part != b".."), len(parts))
    return target.startswith(b"/") or ups > level or b".." in parts[ups:]


def _number(field: bytes) -> int:
    """Return a number in octal digits, or in base 256. Raises TreeRefused for anything else."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        raise TreeRefused("the packed tree has a damaged header")
    return int(digits, 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _pad(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _refused(name: bytes, why: str) -> TreeRefused:
    return TreeRefused("%s of the packed tree %s" % (name.decode("utf-8", "replace")[:200], why))
