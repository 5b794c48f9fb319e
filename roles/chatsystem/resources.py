"""ChatSystem's data on its way between a compose project and a stack: what is there, saved, loaded, and the downtime.

The database travels as a dump through ``/var/lib/orchestr/moves/chatsystem`` (0700) of the host that runs the services;
the other volumes and the uploads are moved, where they have to be, by the role data_moves. Killed anywhere, a move goes
on from where it was: the dump appears whole or not at all, and the old form is removed only after it.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Action, ResourceError, Survey, registered
from orchestr.agent.secret import Secret, reveal
from orchestr.agent.system import CommandFailed, Reader, System
from orchestr.resources.docker import api as docker_api
from orchestr.resources.docker import engine as docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

PROJECT = "chatsystem"
MOVES = "/var/lib/orchestr/moves/chatsystem"
DUMP, SOURCE, STOPPED, LOGIN = (MOVES + "/" + name for name in ("mysql.sql", "source", "stopped_at", "login.cnf"))
AWAITED = MOVES + "/awaited"  # which trees a move has begun with: {name: [host it is on, host it belongs on]}
SERVICE = "com.docker.compose.service"
KEPT = "/var/backups/orchestr/chatsystem"
LONGEST_S = 24 * 3600.0
START_S = 180.0  # from a container's start to MySQL's first answer, and from a removal to its end
PAUSE_S = 0.5
COMPOSE, STACK = "compose", "stack"
NODE_LABEL, UPLOADS = "orchestr.role.", "/im/data"


def containers(reader: Reader) -> List[Dict[str, Any]]:
    """Return the compose project's containers, stopped ones as well."""
    query = {"all": "1", "filters": {"label": ["com.docker.compose.project=" + PROJECT]}}
    return docker.get(reader, "/containers/json", query) or []


def stack_services(reader: Reader) -> List[Dict[str, Any]]:
    """Return the stack's services as this host, a manager, knows them; none elsewhere."""
    info = docker.get(reader, "/info") or {}
    if not (info.get("Swarm") or {}).get("ControlAvailable"):
        return []
    return docker_api.listed(reader, "/services", {"label": ["com.docker.stack.namespace=" + PROJECT]})


def _places(reader: Reader) -> Dict[str, Tuple[str, str]]:
    """Return node label → (id, hostname) of the first node that carries it, as this host, a manager, knows them."""
    info = docker.get(reader, "/info") or {}
    nodes = docker_api.listed(reader, "/nodes", {}) if (info.get("Swarm") or {}).get("ControlAvailable") else []
    found: Dict[str, Tuple[str, str]] = {}
    for node in nodes:
        for label in (node.get("Spec") or {}).get("Labels") or {}:
            name = str((node.get("Description") or {}).get("Hostname") or "")
            found.setdefault(label.partition(NODE_LABEL)[2], (str(node["ID"]), name))
    return found


def _uploads(reader: Reader) -> str:
    """Return which directory of this host a running file_server keeps its uploads in, "" when none runs here."""
    for each in docker.get(reader, "/containers/json") or ():
        labels = each.get("Labels") or {}
        if PROJECT in (labels.get("com.docker.compose.project"), labels.get("com.docker.stack.namespace")):
            for mount in each.get("Mounts") or ():
                if mount.get("Destination") == UPLOADS:
                    return str(mount.get("Source") or "")
    return ""


def _is_there(reader: Reader, form: str) -> bool:
    return bool(containers(reader) if form == COMPOSE else stack_services(reader))


@record
@registered("chatsystem_data")
class DataSurvey(Survey):
    """In which form ChatSystem is on this host, and how much its database holds, for the plays after it.

    Outcome also: where a swarm binds its services to, and which trees an unfinished move is about.
    Observes: the engine's containers, services, nodes and volumes, an unfinished move. Changes: nothing.
    """

    name: str = PROJECT

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        import json

        pending = (reader.read_text(SOURCE) or "").strip()
        try:
            form = COMPOSE if containers(reader) else STACK if stack_services(reader) else ""
            size = self._size_bytes(reader) if form else 0
            places, uploads = _places(reader) if form == STACK else {}, _uploads(reader)
        except docker.EngineSilent:  # none yet; a swarm that cannot answer is an error, not a host without anything
            form, size, places, uploads = "", 0, {}, ""
        # The database has come over already: from here on the new form's is the one that counts.
        is_loaded = bool(pending) and form not in ("", pending) and reader.stat(DUMP) is None
        return {
            "form": form,
            "pending": pending,
            "is_loaded": is_loaded,
            "is_stopped": reader.stat(STOPPED) is not None,
            "awaited": json.loads(reader.read_text(AWAITED) or "{}"),
            "database_bytes": size,
            "places": places,
            "uploads": uploads,
        }

    def _size_bytes(self, reader: Reader) -> int:
        volume = docker.get(reader, "/volumes/%s_mysql-data" % PROJECT) or {}
        done = reader.query(["du", "-s", "-B1", volume["Mountpoint"]]) if volume.get("Mountpoint") else None
        return int(done.stdout.split()[0]) if done is not None and done.ok else 0


@record
@registered("chatsystem_client")
class Client:
    """How MySQL is asked: the image that has its client, root's option file, and the network it is in."""

    image: str
    login: Secret
    network: str
    database: str

    def run(self, system: System, words: Sequence[str], redirect: str, path: str) -> None:
        """Run a program of the image, its input or output (``<``, ``>``) a file, its login in one that goes again."""
        system.write_bytes(LOGIN, str(reveal(self.login)).encode("utf-8"), mode=0o600)
        argv = ["docker", "run", "--rm", "-i", "--network", self.network, "-v", LOGIN + ":/login.cnf:ro"]
        argv += ["--entrypoint", words[0], self.image, "--defaults-extra-file=/login.cnf", "-h", "mysql", *words[1:]]
        script = 'umask 077; file=$1; shift; exec "$@" %s "$file"' % redirect
        try:
            system.run(["sh", "-c", script, "sh", path, *argv], timeout_s=LONGEST_S)
        finally:
            system.remove(LOGIN)

    def await_server(self, system: System) -> None:
        """Return when MySQL answers. Raises CommandFailed when it does not within START_S."""
        failure: Optional[CommandFailed] = None
        for _ in system.attempts(START_S, PAUSE_S):
            try:
                return self.run(system, ["mysql", "-e", "SELECT 1"], ">", "/dev/null")
            except CommandFailed as error:
                failure = error
        assert failure is not None
        raise failure


@record
@registered("chatsystem_data_saved")
class DataSaved(Action):
    """The database dumped, the servers stopped before it, and the old form (``source``) gone after it.

    Observes: whether the old form is there. Changes: stops the servers, writes the dump, removes the old form's
    containers. Never touches: its volumes.
    """

    client: Client
    source: str
    servers: Tuple[str, ...] = ()
    directory: str = "/opt/chatsystem"

    @property
    def label(self) -> str:
        return "from " + self.source

    def is_done(self, reader: Reader) -> bool:
        return not _is_there(reader, self.source)

    def perform(self, system: System) -> None:
        system.make_directory(MOVES, mode=0o700)
        is_another = (system.read_text(SOURCE) or "").strip() != self.source  # the way back of a move not ended
        system.write_bytes(SOURCE, self.source.encode("ascii"))
        if is_another or system.stat(STOPPED) is None:
            system.write_bytes(STOPPED, ("%.3f" % system.now()).encode("ascii"))
        system.say("stopping the servers: ChatSystem is down from here")
        if self._stop_servers(system):  # they may have written since the dump of an earlier attempt
            system.remove(DUMP)
        if system.stat(DUMP) is None:
            self._dump(system)
        FormRemoved(self.source, self.client.network, self.directory).perform(system)

    def _stop_servers(self, system: System) -> bool:
        """Stop those that write; tell whether there was any."""
        if self.source == COMPOSE:
            mine = [each for each in containers(system) if each["Labels"].get(SERVICE) in self.servers]
            running = [each for each in mine if each["State"] == "running"]
            for each in running:
                docker_api.call(system, "POST", "/containers/%s/stop" % each["Id"], {"t": "15"}, timeout_s=60)
            return bool(running)
        return _services_removed(system, self.servers)

    def _dump(self, system: System) -> None:
        for each in containers(system) if self.source == COMPOSE else ():
            if each["Labels"].get(SERVICE) == "mysql" and each["State"] != "running":
                docker_api.call(system, "POST", "/containers/%s/start" % each["Id"])
        self.client.await_server(system)
        part = DUMP + ".part"
        options = ["--single-transaction", "--routines", "--triggers", "--events", "--databases", self.client.database]
        self.client.run(system, ["mysqldump", *options], ">", part)
        if "Dump completed" not in system.run(["tail", "-c", "200", part]).stdout:
            raise ResourceError("the dump of %s is not complete" % self.client.database, "see MySQL's log")
        system.run(["mv", part, DUMP])


@record
@registered("chatsystem_form_removed")
class FormRemoved(Action):
    """One form of ChatSystem (``compose`` or ``stack``) gone.

    Observes: whether it is there. Changes: removes its containers and networks. Never touches: its volumes.
    """

    form: str
    network: str
    directory: str = "/opt/chatsystem"

    @property
    def label(self) -> str:
        return self.form

    def is_done(self, reader: Reader) -> bool:
        return not _is_there(reader, self.form)

    def perform(self, system: System) -> None:
        if self.form == COMPOSE:
            system.run(["docker", "compose", "--project-directory", self.directory, "down"], timeout_s=300)
            return
        ids = [each["ID"] for each in stack_services(system)]
        system.run(["docker", "stack", "rm", PROJECT], timeout_s=300)
        network = "/networks/" + self.network
        _await(system, lambda: not stack_services(system), "the stack's services do not go")
        _await(system, lambda: not _has_running_task(system, ids), "the stack's containers do not end")
        _await(system, lambda: docker.get(system, network) is None, "the network %s does not go" % self.network)


@record
@registered("chatsystem_services_stopped")
class ServicesStopped(Action):
    """These services of the stack ended on all nodes, for their data to move; the next deploy brings them back.

    Observes: whether they are in the swarm. Changes: removes them, and notes when. Never touches: other services, data.
    """

    services: Tuple[str, ...]

    @property
    def label(self) -> str:
        return ",".join(self.services)

    def is_done(self, reader: Reader) -> bool:
        names = {each["Spec"]["Name"] for each in stack_services(reader)}
        return not names.intersection("%s_%s" % (PROJECT, name) for name in self.services)

    def perform(self, system: System) -> None:
        system.make_directory(MOVES, mode=0o700)
        if system.stat(STOPPED) is None:
            system.write_bytes(STOPPED, ("%.3f" % system.now()).encode("ascii"))
        system.say("stopping %s" % ", ".join(self.services))
        _services_removed(system, self.services)


@record
@registered("chatsystem_data_loaded")
class DataLoaded(Action):
    """The saved database in the new form's MySQL; the dump is kept under /var/backups/orchestr/chatsystem (0600).

    Observes: whether a dump waits. Changes: loads it, which replaces the tables in it. Never touches: other databases.
    """

    client: Client

    @property
    def label(self) -> str:
        return self.client.database

    def is_done(self, reader: Reader) -> bool:
        return reader.stat(DUMP) is None

    def perform(self, system: System) -> None:
        self.client.await_server(system)
        self.client.run(system, ["mysql"], "<", DUMP)
        _keep_dump(system)


@record
@registered("chatsystem_move_forgotten")
class MoveForgotten(Action):
    """No move under way.

    Observes: whether one was begun. Changes: puts its dump with the backups. Never touches: databases.
    """

    name: str = PROJECT

    @property
    def label(self) -> str:
        return self.name

    def is_done(self, reader: Reader) -> bool:
        return reader.stat(SOURCE) is None

    def perform(self, system: System) -> None:
        _keep_dump(system)
        system.remove(MOVES)


@record
@registered("chatsystem_downtime")
class DowntimeEnded(Action):
    """The end of a move, and its outcome: how long ChatSystem was down, in seconds.

    Observes: whether a move was begun. Changes: tells, and forgets the move. Never touches: a dump that waits.
    """

    name: str = PROJECT

    @property
    def label(self) -> str:
        return self.name

    def is_done(self, reader: Reader) -> bool:
        return all(reader.stat(mark) is None for mark in (SOURCE, STOPPED, AWAITED))

    def perform(self, system: System) -> None:
        if system.stat(STOPPED) is not None:
            seconds = system.now() - float(system.read_text(STOPPED) or system.now())
            what = "down" if system.stat(SOURCE) is not None else "partly down"
            self.publish(system, {"downtime_s": round(seconds, 1), "what": what})
            system.say("ChatSystem is up again; it was %s for %.0f s" % (what, seconds))
        system.remove(MOVES)


def _keep_dump(system: System) -> None:
    if system.stat(DUMP) is not None:
        system.make_directory(KEPT, mode=0o700)
        system.run(["mv", DUMP, "%s/mysql-%d.sql" % (KEPT, system.now())])


def _services_removed(system: System, services: Sequence[str]) -> bool:
    """Remove services of the stack and wait until their tasks have ended; tell whether there was any."""
    names = ["%s_%s" % (PROJECT, name) for name in services]
    found = [each for each in stack_services(system) if each["Spec"]["Name"] in names]
    for each in found:
        docker_api.call(system, "DELETE", "/services/" + each["ID"])
    ids = [each["ID"] for each in found]
    _await(system, lambda: not _has_running_task(system, ids), "the servers do not end")
    return bool(found)


def _has_running_task(reader: Reader, services: Sequence[str]) -> bool:
    if not services:
        return False
    found = docker_api.listed(reader, "/tasks", {"service": list(services)})
    return any(task["Status"]["State"] == "running" for task in found)


def _await(system: System, holds: Callable[[], bool], otherwise: str) -> None:
    """Return when something holds. Raises ResourceError when it does not within START_S."""
    for _ in system.attempts(START_S, PAUSE_S):
        if holds():
            return
    raise ResourceError("%s within %.0f s" % (otherwise, START_S), "look at: docker service ls, docker ps")
