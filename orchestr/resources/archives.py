"""Backups: files and directories of a host, packed into one archive that only root reads."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Action, ResourceError, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.names import check_part, check_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple

BACKUPS = "/var/backups/orchestr"


@record
@registered("archive")
class Archive(Action):
    """Pack ``paths`` into ``/var/backups/orchestr/NAME/TIME.tar.gz`` (0600, directories 0700), read back once.

    Paths that are not there are left out; nothing there at all is a failure unless ``may_be_empty``. The latest
    ``keep`` archives stay. Outcome: ``{"archive": path, "size_bytes": n}``.
    Observes: nothing. Changes: makes the archive. Never touches: the packed files.
    """

    name: str
    paths: Tuple[str, ...] = ()
    may_be_empty: bool = False
    keep: int = 10

    def __post_init__(self) -> None:
        check_part(self.name, "the name of the archive")
        check_paths(self.paths)
        if self.keep < 1:
            raise ValueError("of %s at least one archive is kept, not %d" % (self.name, self.keep))

    @property
    def label(self) -> str:
        return self.name

    @property
    def directory(self) -> str:
        return "%s/%s" % (BACKUPS, self.name)

    def is_done(self, reader: Reader) -> bool:
        return False

    def perform(self, system: System) -> None:
        present = [path for path in self.paths if system.stat(path) is not None]
        if not present:
            if self.may_be_empty:
                return
            raise ResourceError("nothing to back up: none of %s is there" % ", ".join(self.paths))
        for directory in (BACKUPS, self.directory):
            if system.stat(directory) is None:
                system.make_directory(directory, mode=0o700)
        self._pack(system, present)
        self._forget_old(system)

    def _pack(self, system: System, present: "list[str]") -> None:
        import time

        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(system.now()))
        path = "%s/%s.tar.gz" % (self.directory, moment)
        partial = path + ".partial"
        system.write_bytes(partial, b"", mode=0o600)  # tar fills it and keeps its mode
        try:
            with _Members(system, present) as members:
                system.run(["tar", "--create", "--gzip", "--file", partial, *members], timeout_s=3600.0)
            system.run(["tar", "--list", "--gzip", "--file", partial], timeout_s=3600.0)
            system.rename(partial, path)
        except BaseException:
            system.remove(partial)  # a full disk is not made fuller
            raise
        status = system.stat(path)
        size_bytes = status.size_bytes if status else 0
        self.publish(system, {"archive": path, "size_bytes": size_bytes})
        system.say("%s: %d bytes" % (path, size_bytes))

    def _forget_old(self, system: System) -> None:
        """Remove all but the latest archives, and the ones whose agent was killed in the middle."""
        present = system.list_directory(self.directory)
        names = [name for name in present if name.endswith(".tar.gz")]
        for name in (*names[: -self.keep], *(name for name in present if name.endswith(".partial"))):
            system.remove("%s/%s" % (self.directory, name))


class _Members:
    """The words by which tar packs paths under their own names, and cannot be led elsewhere by a user of the host.

    A path on which a user can replace something is packed from the directory that is held open while tar runs.
    """

    def __init__(self, system: System, paths: List[str]) -> None:
        self._system, self._paths = system, paths
        self._held: List[Any] = []

    def __enter__(self) -> List[str]:
        try:
            return self._words()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: Any) -> None:
        while self._held:
            self._held.pop().__exit__(None, None, None)

    def _words(self) -> List[str]:
        exposed = [path for path in self._paths if self._system.is_exposed(path)]
        options, names = ["--directory", "/"], [path.lstrip("/") for path in self._paths if path not in exposed]
        for path in exposed:
            folder, _, name = path.rstrip("/").rpartition("/")
            held = self._system.pinned(folder or "/")
            pinned = held.__enter__().lstrip("/")
            self._held.append(held)
            inside = "".join("\\" + char if char in "\\&," else char for char in folder.lstrip("/"))
            options += ["--transform", "flags=rh;s,^%s/,%s/," % (pinned, inside)]
            names.append(pinned + "/" + name)
        return [*options, "--", *names]
