"""A container's inputs: their digests at its start, and the stamp of files loaded since.

The digests stand in a label of the container, so that a run that dies between writing a file and restarting still
restarts next time. Files that a *running* container has read since (a reload) cannot be a label; they stand in a stamp,
``/var/lib/orchestr/compose/PROJECT.json``, valid only for that one start of that one container.

A container that somebody else restarted (a person, the engine after a crash, the machine) read the content of its files
then, which the label does not say: only files older than that start are known to have been read as they are now.
"""

from __future__ import annotations

import os

from orchestr.agent.light_json import dumps, loads
from orchestr.agent.system import FileStat, Reader, System
from orchestr.resources.files import digest_of_content, digest_on_disk, stat_of_content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Mapping, Optional, TypeAlias  # novm

STAMP_DIRECTORY = "/var/lib/orchestr/compose"
DIGEST_LENGTH = 16  # hex characters kept of each digest: told apart by people, not defended against forgers
#: Service name → {digest, config_hash, image} of its last start by orchestr; container id → {started, loaded}: the
#: engine's StartedAt when orchestr last saw to it, and the digest of the reloadable files it then had loaded.
Stamp: TypeAlias = "Mapping[str, Mapping[str, str]]"
MISSING = FileStat("other", 0, 0, 0, 0, changed_ns=1 << 63, modified_ns=1 << 63)
CLOCK_GRAIN_NS = 50_000_000  # a file's ctime may lag behind the clock by a tick


def label_text(inputs: Mapping[str, str]) -> str:
    """Return inputs as the label's text: ``definition=1a2b… .env=3c4d…``; names quoted where they hold spaces."""
    from urllib.parse import quote

    return " ".join("%s=%s" % (quote(name, safe="/.-_@+"), value) for name, value in inputs.items())


def changed_inputs(before: str, after: str) -> List[str]:
    """Return the names of the inputs that differ between two label texts."""
    from urllib.parse import unquote

    old, new = (dict(part.rpartition("=")[::2] for part in text.split()) for text in (before, after))
    return sorted(unquote(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def combined_digest(reader: Reader, paths: Iterable[str]) -> str:
    """Return one digest over the content of files and directories; missing ones count as such."""
    from hashlib import sha256

    files = [path for root in paths for path in files_below(reader, root)]
    lines = ["%s %s\n" % (path, digest_of_content(reader, path)) for path in files]
    return sha256("".join(lines).encode("utf-8")).hexdigest()[:DIGEST_LENGTH]


def files_below(reader: Reader, path: str) -> List[str]:
    """Return ``path`` itself, or for a directory the files in it, sorted; in check mode with those still to come."""
    status = reader.stat(path)
    below = path.rstrip("/") + "/"
    planned = [name for name in reader.predicted if name.startswith(below)]
    if (status is None or status.type != "directory") and not planned:
        return [path]
    names = {below + name for name in reader.list_directory(path) if not name.startswith(".orchestr-")}
    nested = {inner for name in names for inner in files_below(reader, name)}
    return sorted(nested | set(planned))


def missing(reader: Reader, paths: Iterable[str]) -> Optional[str]:
    """Return the first of these paths where there is nothing."""
    return next((path for path in paths if reader.stat(path) is None), None)


def unchanged_since(reader: Reader, paths: Iterable[str], moment_ns: int) -> bool:
    """Return True if none of these files (nor, in check mode, a planned one) changed in any way after ``moment_ns``."""
    names = _with_files_below(reader, paths)
    if any(name in reader.predicted for name in names):
        return False
    return all(item.changed_ns + CLOCK_GRAIN_NS <= moment_ns for item in _stats(reader, names))


def unwritten_since(reader: Reader, paths: Iterable[str], moment_ns: int) -> bool:
    """Return True if their content did not change; only for harmless repetitions, as mtime can be set by hand."""
    names = _with_files_below(reader, paths)
    if any(reader.predicted[name] != digest_on_disk(reader, name) for name in names if name in reader.predicted):
        return False
    return all(item.modified_ns + CLOCK_GRAIN_NS <= moment_ns for item in _stats(reader, names))


def _with_files_below(reader: Reader, paths: Iterable[str]) -> List[str]:
    return [name for path in paths for name in (path, *files_below(reader, path))]


def _stats(reader: Reader, names: Iterable[str]) -> List[FileStat]:
    """Return the status of the files, of links and their targets; a missing file counts as always new."""
    statuses = [status for name in names for status in (reader.stat(name), stat_of_content(reader, name))]
    return [item or MISSING for item in statuses]


def stamp_path(project: str) -> str:
    return "%s/%s.json" % (STAMP_DIRECTORY, project)


def read_stamp(reader: Reader, project: str) -> Stamp:
    """Return a project's stamp; empty when there is no (readable) one."""
    try:
        stamp = loads(reader.read_text(stamp_path(project)) or "{}")
    except ValueError:
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(system: System, project: str, entries: Stamp) -> None:
    """Replace the stamp, when it says something new."""
    path = stamp_path(project)
    text = dumps(entries, indent=1, sort_keys=True) + "\n"
    if system.read_text(path) == text:
        return
    for directory in (os.path.dirname(STAMP_DIRECTORY), STAMP_DIRECTORY):
        if system.stat(directory) is None:
            system.make_directory(directory, mode=0o700)
    system.write_bytes(path, text.encode("utf-8"), mode=0o600)
