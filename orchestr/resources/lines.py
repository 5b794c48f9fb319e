"""Single lines, and marked blocks of lines, in files that others write too."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, NotObservable, Resource, ResourceError, State, attribute_diff, registered
from orchestr.agent.secret import REDACTED, Secret, reveal
from orchestr.agent.system import Reader, System
from orchestr.resources.files import digest_on_disk, plain_path, real_path, text_diff
from orchestr.resources.modes import mode_bits, secret_mode
from orchestr.resources.names import check_line, check_path
from orchestr.resources.places import require_file, require_file_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Tuple, Union


_MARK = b"\xef\xbb\xbf"  # some editors begin UTF-8 with it


def read_lines(reader: Reader, path: str, may_be_missing: bool) -> List[str]:
    """Return a file's lines with their ends (bytes that are not UTF-8 survive a round trip).

    In check mode these are the lines after the changes to lines so far. Raises NotObservable when there is no such
    file, or when it is about to get another content.
    """
    predicted = _predict(reader, path)
    if "text" in predicted:
        return _lines_of(predicted["text"])
    require_file(reader, path)  # before it is read: a FIFO would never end
    if path in reader.predicted and reader.predicted[path] != digest_on_disk(reader, path):
        raise NotObservable("%s will be changed by a task before this one" % path)
    data = reader.read_bytes(path)
    if data is None and not may_be_missing:
        raise NotObservable("there is no file %s" % path, "create it first, or set create")
    return _lines_of(_text_of(data or b"", path))


def _text_of(data: bytes, path: str) -> str:
    """Return a file's text without its byte order mark. Raises ResourceError where lines could not be told apart."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        raise ResourceError("%s is not UTF-8 (UTF-16, or binary), so no line of it is edited" % path, "write it whole")
    if b"\r" in data and b"\n" not in data:
        raise ResourceError("the lines of %s end in carriage returns alone, so none is edited" % path, "write it whole")
    return data[len(_mark_in(data)) :].decode("utf-8", "surrogateescape")


def _mark_in(data: bytes) -> bytes:
    """Return the byte order mark that a file begins with, b"" without one."""
    return _MARK if data.startswith(_MARK) else b""


def _data_of(reader: Reader, path: str, lines: List[str]) -> bytes:
    """Return the content of a file with these lines, with the byte order mark it has now."""
    return _mark_in(reader.read_bytes(path, len(_MARK)) or b"") + _encode(lines)


def _encode(lines: List[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def _lines_of(text: str) -> List[str]:
    *whole, rest = text.split("\n")  # splitlines would split at more
    return [line + "\n" for line in whole] + ([rest] if rest else [])


def predict_lines(reader: Reader, path: str, lines: List[str]) -> None:
    """Note, in check mode, the lines that the file would have."""
    import hashlib

    _predict(reader, path)["text"] = "".join(lines)
    reader.predicted[path] = hashlib.sha256(_data_of(reader, path, lines)).hexdigest()


def _predict(reader: Reader, path: str) -> Dict[str, str]:
    made: Dict[str, str] = reader.once(("predicted lines", path), dict)
    return made


def require_editable(reader: Reader, path: str, is_secret: bool) -> None:
    """Raise ResourceError when a file cannot be replaced, or would show a secret to everybody."""
    require_file_place(reader, path)
    status = reader.stat(path)
    if is_secret and status is not None and status.mode & 0o007:
        raise ResourceError("%s would hold a secret and everybody can read it" % path, "give it mode 0600 before")


def edit_lines(
    system: System, path: str, edit: Callable[[List[str]], List[str]], may_be_missing: bool, new_mode: int
) -> None:
    """Replace a file's lines by ``edit(lines)``; owner, mode, ACL and extended attributes stay.

    A new file is root's, with ``new_mode``. Raises NotObservable for a missing one that must not be made, and OSError
    when somebody else changed the file meanwhile: what was read from one file never ends in another.
    """
    path = real_path(system, path)
    require_file(system, path)
    content = system.read_file(path)
    if content is None:
        if not may_be_missing:
            raise NotObservable("there is no file %s" % path, "create it first, or set create")
        system.write_bytes(path, _encode(edit([])), mode=new_mode)
        return
    data, status = content
    system.rewrite(path, _mark_in(data) + _encode(edit(_lines_of(_text_of(data, path)))), status)


def insert(lines: List[str], index: int, texts: List[str]) -> List[str]:
    """Return ``lines`` with ``texts`` before ``index``, in the file's line ends; a missing last one stays missing."""
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    new, before, after = [text + end for text in texts], lines[:index], lines[index:]
    if before and not before[-1].endswith("\n"):
        before[-1] += end
        new[-1] = texts[-1]
    return before + new + after


def bare(line: str) -> str:
    """Return a line without its end."""
    return line[:-1].rstrip("\r") if line.endswith("\n") else line


def place_after(lines: List[str], pattern: str) -> int:
    """Return the index after the last line that matches ``pattern``; the end without one."""
    index = _last(lines, _compile(pattern)) if pattern else None
    return len(lines) if index is None else index + 1


def _compile(pattern: str) -> "re.Pattern[str]":
    """Return a regular expression. Raises ValueError."""
    import re  # slow to import, and most lines are looked for as they are

    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError("%r is not a regular expression: %s" % (pattern, error)) from None


def _last(lines: List[str], pattern: "re.Pattern[str]") -> Optional[int]:
    matches = [number for number, line in enumerate(lines) if pattern.search(bare(line))]
    return matches[-1] if matches else None


@record
@registered("line")
class Line(Resource):
    """One line of a file: it stands in place of the last line that the regular expression ``match`` finds.

    A line that ``match`` does not find itself is as wanted once it is there, whatever else matches.
    Without ``match``, or when nothing matches, it is added after the last line that ``insert_after`` (a regular
    expression) finds, else at the end. ``present=False`` removes every line that matches (or equals it).
    Observes: that line. Changes: only that line, the file written atomically. Never touches: the other lines, their
    ends (CRLF, or a missing one at the end), owner and mode. ``create`` makes a missing file
    with ``mode`` (0644; 0600 for a Secret).
    """

    path: str
    line: Union[str, Secret] = ""
    match: str = ""
    present: bool = True
    insert_after: str = ""
    create: bool = False
    mode: Optional[Union[int, str]] = None

    touches: ClassVar[Tuple[str, ...]] = ("files", "services")

    def __post_init__(self) -> None:
        check_path(self.path)
        if not {"\n", "\r", "\0"}.isdisjoint(self._text):
            raise ValueError("a Line holds no line break and no NUL; for several lines there is Block (%s)" % self.path)
        if not self.line and not self.match:
            raise ValueError("a Line needs a line or a match (%s)" % self.path)
        for pattern in filter(None, (self.match, self.insert_after)):
            _compile(pattern)
        mode = secret_mode(self.mode, 0o644, isinstance(self.line, Secret), self.path)
        object.__setattr__(self, "mode", mode)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return {("path", plain_path(self.path), "line " + (self.match or self._text)): self.desired}

    def require(self, reader: Reader, change: Change) -> None:
        require_editable(reader, real_path(reader, self.path), isinstance(self.line, Secret))

    @property
    def label(self) -> str:
        return "%s:%s" % (self.path, self.match or self.line)

    @property
    def _text(self) -> str:
        return str(reveal(self.line))

    def desired(self) -> Optional[State]:
        return {"line": self.line} if self.present else None

    def observe(self, reader: Reader) -> Optional[State]:
        lines = read_lines(reader, real_path(reader, self.path), self.create or not self.present)
        index = self._index_in(lines)
        if index is None:
            return None
        text = bare(lines[index])
        return {"line": Secret(text) if isinstance(self.line, Secret) else text}

    def _index_in(self, lines: List[str]) -> Optional[int]:
        """Return the index of the line that is, or is to become, this one."""
        index = _last(lines, _compile(self.match)) if self.match else None
        if not self.present and self.match:
            return index
        equal = [number for number, line in enumerate(lines) if bare(line) == self._text]
        # A line that its own pattern does not find has taken its place: no other one gives way to it again.
        if equal and (index is None or not _compile(self.match).search(self._text)):
            return equal[-1]
        return index

    def _after(self, lines: List[str]) -> List[str]:
        """Return the lines as they should be."""
        if not self.present:
            gone = self._is_gone
            return [line for line in lines if not gone(bare(line))]
        index = self._index_in(lines)
        if index is None:
            return insert(lines, place_after(lines, self.insert_after), [self._text])
        end = lines[index][len(bare(lines[index])) :]
        return [*lines[:index], self._text + end, *lines[index + 1 :]]

    def _is_gone(self, text: str) -> bool:
        return _compile(self.match).search(text) is not None if self.match else text == self._text

    def _lines(self, reader: Reader) -> List[str]:
        return read_lines(reader, real_path(reader, self.path), self.create)

    def apply(self, system: System, change: Change) -> None:
        assert self.mode is not None
        edit_lines(system, self.path, self._after, self.create, mode_bits(self.mode))

    def predict(self, reader: Reader, change: Change) -> None:
        predict_lines(reader, real_path(reader, self.path), self._after(self._lines(reader)))

    def diff(self, reader: Reader, change: Change) -> str:
        before = [] if change.before is None else ["- %s" % change.before["line"]]
        after = [] if change.after is None else ["+ %s" % change.after["line"]]
        return "\n".join(before + after)


@record
@registered("block")
class Block(Resource):
    """Lines between ``# BEGIN orchestr MARKER`` and ``# END orchestr MARKER`` in a file that others write too.

    ``comment`` is how a comment line starts in that file. A missing block is added after the last line that
    ``insert_after`` (a regular expression) finds, else at the end. Observes: the lines between. Changes: the block
    only, the file written atomically. Never touches: lines outside of it, owner and mode. ``create`` makes a missing
    file with ``mode`` (0644; 0600 for a Secret). ``present=False`` removes the block with its marks.
    """

    path: str
    marker: str = ""
    content: Union[str, Secret] = ""
    present: bool = True
    insert_after: str = ""
    create: bool = False
    mode: Optional[Union[int, str]] = None
    comment: str = "#"

    touches: ClassVar[Tuple[str, ...]] = ("files", "services")

    def __post_init__(self) -> None:
        check_path(self.path)
        check_line(self.marker + self.comment, "the marker of the block of %s," % self.path)
        if not self.marker or not self.comment:
            raise ValueError("a Block needs a marker, and a comment to put it in (%s)" % self.path)
        if {self._begin, self._end} & set(self._wanted):
            raise ValueError("the content of block %s of %s holds its own marks" % (self.marker, self.path))
        if self.insert_after:
            _compile(self.insert_after)
        mode = secret_mode(self.mode, 0o644, isinstance(self.content, Secret), self.path)
        object.__setattr__(self, "mode", mode)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return {("path", plain_path(self.path), "block " + self.marker): self.desired}

    def require(self, reader: Reader, change: Change) -> None:
        require_editable(reader, real_path(reader, self.path), isinstance(self.content, Secret))

    @property
    def label(self) -> str:
        return "%s:%s" % (self.path, self.marker)

    @property
    def _begin(self) -> str:
        return "%s BEGIN orchestr %s" % (self.comment, self.marker)

    @property
    def _end(self) -> str:
        return "%s END orchestr %s" % (self.comment, self.marker)

    @property
    def _wanted(self) -> List[str]:
        text = str(reveal(self.content)).rstrip("\n")
        return [line.rstrip("\r") for line in text.split("\n")] if text else []

    def desired(self) -> Optional[State]:
        return self._state(self._wanted) if self.present else None

    def _state(self, lines: List[str]) -> Dict[str, Any]:
        text = "\n".join(lines)
        return {"content": Secret(text) if isinstance(self.content, Secret) else text}

    def observe(self, reader: Reader) -> Optional[State]:
        lines = self._lines(reader)
        begin, end = self._bounds(lines)
        return None if begin == end else self._state([bare(line) for line in lines[begin + 1 : end - 1]])

    def _lines(self, reader: Reader) -> List[str]:
        return read_lines(reader, real_path(reader, self.path), self.create or not self.present)

    def _bounds(self, lines: List[str]) -> Tuple[int, int]:
        """Return the indexes of the first mark and after the last; two equal ones where there is no block."""
        texts = [bare(line) for line in lines]
        counts = texts.count(self._begin), texts.count(self._end)
        if counts == (0, 0):
            index = place_after(lines, self.insert_after)
            return index, index
        begin, end = (texts.index(self._begin), texts.index(self._end) + 1) if counts == (1, 1) else (0, 0)
        if begin >= end:
            raise ResourceError(
                "the marks of block %s in %s are damaged" % (self.marker, self.path),
                "remove what is left of the block, with the lines %r and %r" % (self._begin, self._end),
            )
        return begin, end

    def _after(self, lines: List[str]) -> List[str]:
        begin, end = self._bounds(lines)
        kept = lines[:begin] + lines[end:]
        if end == len(lines) and end > begin and begin and not lines[-1].endswith("\n"):
            kept[-1] = bare(kept[-1])
        return insert(kept, begin, [self._begin, *self._wanted, self._end]) if self.present else kept

    def apply(self, system: System, change: Change) -> None:
        assert self.mode is not None
        edit_lines(system, self.path, self._after, self.create or not self.present, mode_bits(self.mode))

    def predict(self, reader: Reader, change: Change) -> None:
        predict_lines(reader, real_path(reader, self.path), self._after(self._lines(reader)))

    def diff(self, reader: Reader, change: Change) -> str:
        if change.after is None or change.before is None:
            shown = REDACTED if isinstance(self.content, Secret) else "\n+ ".join(self._wanted)
            return attribute_diff(change) if change.after is None else "+ " + shown
        return text_diff(str(reveal(change.before["content"])), self.content)
