"""An application's databases on their way from one form to the other, as dumps, and the end of a move.

A dump travels through ``/var/lib/orchestr/moves/APPLICATION`` of the host that runs the services. Killed anywhere, a
move goes on from where it was: a dump appears whole or not at all, and the old form is removed only after all of them.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Action, ResourceError, registered
from orchestr.agent.secret import Secret, reveal
from orchestr.agent.system import CommandFailed, Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker.names import check_object_name, check_project_name, check_reference
from orchestr.resources.moves.forms import (
    COMPOSE,
    PAUSE_S,
    SERVICE,
    START_S,
    FormRemoved,
    awaited_path,
    containers,
    has_form,
    note_stop,
    source_path,
    state_directory,
    stop_services,
    stopped_at_path,
)
from orchestr.resources.names import check_part, check_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Dict, Optional, Sequence, Tuple

KEPT = "/var/backups/orchestr"
KEEP = 3  # dumps of a database among the backups
LONGEST_S = 24 * 3600.0


def dump_path(application: str, service: str, suffix: str) -> str:
    """Return the file with the whole dump of a database, which waits to be loaded."""
    return "%s/%s.%s" % (state_directory(application), service, suffix)


@record
@registered("application_database")
class Database:
    """A database of an application: the service it is, and how its image's own programs save and load it.

    ``login`` is the text of the file that the programs find at ``/login`` in their container (0600, of root), which is
    in ``network``. ``save`` writes the dump to its output, ``load`` reads it, ``probe`` ends well when the server
    answers. ``complete`` stands in the last 200 bytes of a whole dump, whose file ends in ``.suffix``.
    """

    application: str
    service: str
    image: str
    login: Secret
    network: str
    save: Tuple[str, ...]
    load: Tuple[str, ...]
    probe: Tuple[str, ...]
    complete: str
    suffix: str = "dump"

    def __post_init__(self) -> None:
        check_project_name(self.application)
        check_object_name("service", self.service)
        check_object_name("network", self.network)
        check_reference(self.image)
        check_part(self.suffix, "the suffix of the dump of %s," % self.service)
        check_words((*self.save, *self.load, *self.probe), self.service)
        if not (self.save and self.load and self.probe):
            raise ValueError("%s needs programs that save, load and probe it" % self.service)

    @property
    def dump(self) -> str:
        """The file of its dump."""
        return dump_path(self.application, self.service, self.suffix)

    @property
    def login_path(self) -> str:
        """The file of the login on the host, which is there only while a program runs."""
        return "%s/%s.login" % (state_directory(self.application), self.service)

    def run(self, system: System, words: Sequence[str], redirect: str, path: str) -> None:
        """Run a program of the image, its input or output (``<``, ``>``) a file."""
        system.write_bytes(self.login_path, str(reveal(self.login)).encode("utf-8"), mode=0o600)
        argv = ["docker", "run", "--rm", "-i", "--network", self.network, "-v", self.login_path + ":/login:ro"]
        argv += ["--entrypoint", words[0], self.image, *words[1:]]
        script = 'umask 077; file=$1; shift; exec "$@" %s "$file"' % redirect
        try:
            system.run(["sh", "-c", script, "sh", path, *argv], timeout_s=LONGEST_S)
        finally:
            system.remove(self.login_path)

    def await_server(self, system: System) -> None:
        """Return when the server answers. Raises CommandFailed when it does not within START_S."""
        failure: Optional[CommandFailed] = None
        for _ in system.attempts(START_S, PAUSE_S):
            try:
                return self.run(system, self.probe, ">", "/dev/null")
            except CommandFailed as error:
                failure = error
        assert failure is not None
        raise failure

    @property
    def backups(self) -> str:
        """The directory of its dumps among the backups."""
        return "%s/%s" % (KEPT, self.application)

    @property
    def arriving(self) -> str:
        """The file of a dump on its way to the backups, maybe of another file system; whole once ``dump`` is gone."""
        return "%s/%s.%s.partial" % (self.backups, self.service, self.suffix)

    def waits(self, reader: Reader) -> bool:
        """Return True if a dump is not among the backups yet."""
        return reader.stat(self.dump) is not None or reader.stat(self.arriving) is not None

    def keep_dump(self, system: System) -> None:
        """Put a dump that waits with the backups, of which the latest KEEP stay."""
        if not self.waits(system):
            return
        system.make_directory(self.backups, mode=0o700)
        if system.stat(self.dump) is not None:
            system.run(["mv", self.dump, self.arriving])
        system.rename(self.arriving, "%s/%s-%d.%s" % (self.backups, self.service, system.now(), self.suffix))
        kept: Dict[int, str] = {}
        for name in system.list_directory(self.backups):
            moment = name[len(self.service) + 1 : -len(self.suffix) - 1]
            if moment.isdigit() and name == "%s-%s.%s" % (self.service, moment, self.suffix):
                kept[int(moment)] = name
        for moment_s in sorted(kept)[:-KEEP]:
            system.remove("%s/%s" % (self.backups, kept[moment_s]))


@record
@registered("application_saved")
class ApplicationSaved(Action):
    """The databases dumped, the services that write stopped before it, and the old form (``source``) gone after it.

    ``writers`` are these services. Observes: whether the old form is there. Changes: stops the writers, writes the
    dumps, removes the old form's containers. Never touches: its volumes.
    """

    longest_s: ClassVar[float] = 2 * LONGEST_S
    application: str
    source: str
    directory: str
    networks: Tuple[str, ...] = ()
    databases: Tuple[Database, ...] = ()
    writers: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        FormRemoved(self.application, self.source, self.directory, self.networks)  # checks them
        for service in self.writers:
            check_object_name("service", service)

    @property
    def label(self) -> str:
        return "%s from %s" % (self.application, self.source)

    def is_done(self, reader: Reader) -> bool:
        return not has_form(reader, self.application, self.source)

    def perform(self, system: System) -> None:
        system.make_directory(state_directory(self.application), mode=0o700)
        path = source_path(self.application)
        is_another = (system.read_text(path) or "").strip() != self.source  # the way back of a move not ended
        system.write_bytes(path, self.source.encode("ascii"))
        note_stop(system, self.application, is_new=is_another)
        system.say("stopping %s: it is down from here" % self.application)
        if stop_services(system, self.application, self.source, self.writers):
            for database in self.databases:  # the writers may have written since the dump of an earlier attempt
                system.remove(database.dump)
        for database in self.databases:
            if system.stat(database.dump) is None:
                self._dump(system, database)
        FormRemoved(self.application, self.source, self.directory, self.networks).perform(system)

    def _dump(self, system: System, database: Database) -> None:
        for container in containers(system, self.application) if self.source == COMPOSE else ():
            if container["Labels"].get(SERVICE) == database.service and container["State"] != "running":
                docker_api.call(system, "POST", "/containers/%s/start" % container["Id"])
        database.await_server(system)
        part = database.dump + ".part"
        try:
            database.run(system, database.save, ">", part)
            if database.complete not in system.run(["tail", "-c", "200", part]).stdout:
                raise ResourceError(
                    "the dump of %s is not complete" % database.service, "see the log of %s" % database.service
                )
            system.rename(part, database.dump)
        except BaseException:
            system.remove(part)  # a full disk is not made fuller
            raise


@record
@registered("application_loaded")
class ApplicationLoaded(Action):
    """A saved database in the new form's server; the dump is kept under /var/backups/orchestr/APPLICATION (0600).

    Observes: whether a dump waits. Changes: loads it, which replaces the tables in it, and removes all but the latest
    KEEP of its dumps. Never touches: other databases.
    """

    longest_s: ClassVar[float] = 2 * LONGEST_S
    database: Database

    @property
    def label(self) -> str:
        return "%s: %s" % (self.database.application, self.database.service)

    def is_done(self, reader: Reader) -> bool:
        return not self.database.waits(reader)

    def perform(self, system: System) -> None:
        if system.stat(self.database.dump) is not None:
            self.database.await_server(system)
            self.database.run(system, self.database.load, "<", self.database.dump)
        self.database.keep_dump(system)


@record
@registered("application_move_forgotten")
class MoveForgotten(Action):
    """No move under way.

    Observes: whether one was begun. Changes: puts its dumps with the backups. Never touches: databases.
    """

    application: str
    databases: Tuple[Database, ...] = ()

    def __post_init__(self) -> None:
        check_project_name(self.application)

    @property
    def label(self) -> str:
        return self.application

    def is_done(self, reader: Reader) -> bool:
        return reader.stat(source_path(self.application)) is None

    def perform(self, system: System) -> None:
        for database in self.databases:
            database.keep_dump(system)
        system.remove(state_directory(self.application))


@record
@registered("application_downtime")
class DowntimeEnded(Action):
    """The end of a move, and its outcome: how long the application was down, in seconds.

    Observes: whether a move was begun. Changes: tells, and forgets the move. Never touches: a dump that waits.
    """

    application: str

    def __post_init__(self) -> None:
        check_project_name(self.application)

    @property
    def label(self) -> str:
        return self.application

    def is_done(self, reader: Reader) -> bool:
        paths = (source_path(self.application), stopped_at_path(self.application), awaited_path(self.application))
        return all(reader.stat(path) is None for path in paths)

    def perform(self, system: System) -> None:
        stopped_at = stopped_at_path(self.application)
        if system.stat(stopped_at) is not None:
            seconds = system.now() - float(system.read_text(stopped_at) or system.now())
            extent = "down" if system.stat(source_path(self.application)) is not None else "partly down"
            self.publish(system, {"downtime_s": round(seconds, 1), "what": extent})
            system.say("%s is up again; it was %s for %.0f s" % (self.application, extent, seconds))
        system.remove(state_directory(self.application))
