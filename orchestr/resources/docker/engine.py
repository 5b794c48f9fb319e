"""The Docker engine: reading it over its socket, and having it run.

Source: Docker Engine API, https://docs.docker.com/engine/api/. Paths carry no version: the engine then speaks its own,
and every engine from 20.10 on has these paths (29 refuses v1.40).
"""

from __future__ import annotations

from itertools import takewhile

from orchestr.agent.light_json import dumps, loads
from orchestr.agent.record import record
from orchestr.agent.resource import Change, NotObservable, Resource, ResourceError, State, registered
from orchestr.agent.secret import cut_head
from orchestr.agent.system import Reader, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

SOCKET = "/var/run/docker.sock"
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
START_WAIT_S = 60.0
PLUGIN_DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    "/root/.docker/cli-plugins",
)
INSTALL_ENGINE = "install it: the role docker does, or by hand: apt-get install docker.io"
INSTALL_COMPOSE = "install the plugin: apt-get install docker-compose-v2 (Ubuntu) or docker-compose (Debian 13)"


class EngineSilent(NotObservable):
    """The engine does not answer on its socket."""


def get(reader: Reader, path: str, query: Optional[Mapping[str, Any]] = None) -> Any:
    """Return the decoded JSON of ``GET path``; None when the engine says 404.

    ``query`` values that are not text travel as JSON, which is how the API wants its filters.
    Raises EngineSilent, ResourceError with the engine's own message.
    """
    status, body = _answer(reader, path + query_text(query))
    if status == 404:
        return None
    if status >= 400:
        raise ResourceError("docker says %d to %s: %s" % (status, path, message_of(body)))
    return loads(body.decode("utf-8"))


def await_engine(system: System) -> None:
    """Return when an engine that was just started answers. Raises ResourceError when it does not in START_WAIT_S."""
    next_step = ""
    for _ in system.attempts(START_WAIT_S, 0.2):
        try:
            get(system, "/version")
            return
        except EngineSilent as silent:
            next_step = silent.next_step
    raise ResourceError("Docker was started but does not answer", next_step, _why(system, ""))


def log_tail(reader: Reader, container_id: str, lines: int = 30, kind: str = "containers") -> str:
    """Return the last lines a container (or of ``kind`` tasks: a task) wrote, stdout and stderr; never raises."""
    query = {"stdout": "1", "stderr": "1", "tail": str(lines)}
    try:
        status, body = _answer(reader, "/%s/%s/logs%s" % (kind, container_id, query_text(query)))
    except (OSError, EngineSilent):
        return ""
    return demultiplexed(body).decode("utf-8", "replace").strip() if status == 200 else ""


def demultiplexed(body: bytes) -> bytes:
    """Return the payload of a log stream: 8 byte headers (stream, 0, 0, 0, size) when there is no terminal."""
    if body[:1] not in (b"\0", b"\1", b"\2") or body[1:4] != b"\0\0\0":
        return body
    parts, position = [], 0
    while position + 8 <= len(body):
        size = int.from_bytes(body[position + 4 : position + 8], "big")
        parts.append(body[position + 8 : position + 8 + size])
        position += 8 + size
    return b"".join(parts)


def engine_version(reader: Reader) -> str:
    """Return the engine's version, "26.1.5". Raises EngineSilent."""
    return str(reader.once(("docker", "version"), lambda: get(reader, "/version"))["Version"]).split("+")[0]


def tagged(reader: Reader, reference: str) -> Optional[Dict[str, Any]]:
    """Return the engine's list entry of the image a reference names, None when there is none.

    A reference with a digest (``redis:7@sha256:…``) names that content, whatever the tag means by now.
    """
    listed: List[Dict[str, Any]] = reader.once(("images", "list"), lambda: get(reader, "/images/json"))
    name, key = (by_digest(reference), "RepoDigests") if "@" in reference else (familiar(reference), "RepoTags")
    return next((item for item in listed if name in (item.get(key) or ())), None)


def by_digest(reference: str) -> str:
    """Return a reference that has a digest as the engine lists it: without its tag.

    >>> by_digest("docker.io/library/redis:7@sha256:aa")
    'redis@sha256:aa'
    """
    name, _, digest = reference.partition("@")
    return "%s@%s" % (familiar(name).rpartition(":")[0], digest)


def familiar(reference: str) -> str:
    """Return a reference as the engine lists it: no default registry, always a tag.

    >>> familiar("docker.io/library/redis")
    'redis:latest'
    """
    for prefix in ("docker.io/library/", "docker.io/"):
        if reference.startswith(prefix):
            reference = reference[len(prefix) :]
            break
    return reference if ":" in reference.rpartition("/")[2] else reference + ":latest"


def _answer(reader: Reader, path: str) -> Tuple[int, bytes]:
    try:
        return reader.http(path, socket_path=SOCKET, timeout_s=30.0)
    except OSError as error:
        raise silent(reader, error) from error


def silent(reader: Reader, error: OSError) -> EngineSilent:
    if not _is_installed(reader):
        return EngineSilent("Docker is not installed", INSTALL_ENGINE)
    if isinstance(error, PermissionError):
        return EngineSilent("this user may not talk to Docker (%s)" % SOCKET, "set ansible_become: true for this host")
    return EngineSilent(
        "the Docker engine does not answer on %s: %s" % (SOCKET, error.strerror or error),
        "start it (systemctl start docker) or see why not: journalctl -u docker -n 50",
    )


def query_text(query: Optional[Mapping[str, Any]]) -> str:
    if not query:
        return ""

    def text(value: Any) -> str:
        return value if isinstance(value, str) else dumps(value, separators=(",", ":"))

    return "?" + "&".join("%s=%s" % (name, _percent_encode(text(value))) for name, value in query.items())


def _percent_encode(text: str) -> str:
    """Return a text as it stands in a query (RFC 3986); urllib.parse takes long to import."""
    return "".join(chr(byte) if byte in UNRESERVED else "%%%02X" % byte for byte in text.encode("utf-8"))


def message_of(body: bytes) -> str:
    try:
        return str(loads(body.decode("utf-8"))["message"])
    except (ValueError, KeyError, TypeError):
        return cut_head(body.decode("utf-8", "replace"), 200)


def _is_installed(reader: Reader) -> bool:
    return reader.which("dockerd") is not None


def version_numbers(text: str) -> Tuple[int, ...]:
    """Return the numbers a version begins with: "v2.26.1-4" → (2, 26, 1)."""
    text = text.strip()
    text = text[1:] if text.startswith("v") else text
    numbers = text[: len(text) - len(text.lstrip("0123456789."))].split(".")
    return tuple(map(int, takewhile(bool, numbers)))


def compose_plugin(reader: Reader) -> Optional[str]:
    """Return the path of the compose v2 plugin, None when there is none."""
    for directory in PLUGIN_DIRECTORIES:
        path = directory + "/docker-compose"
        if reader.stat(path) is not None:
            return path
    return None


def require_compose(reader: Reader) -> str:
    """Return the path of the compose v2 plugin. Raises NotObservable that names the package to install."""
    plugin = compose_plugin(reader)
    if plugin is not None:
        return plugin
    if reader.which("docker-compose") is not None:
        raise NotObservable("docker-compose here is version 1, which is dead; compose v2 is needed", INSTALL_COMPOSE)
    raise NotObservable("the compose v2 plugin of Docker is not installed", INSTALL_COMPOSE)


@record
@registered("docker_engine")
class DockerEngine(Resource):
    """A Docker engine that answers, and compose v2, neither older than given.

    Observes: the engine's answer on its socket, its version, the compose plugin (its version only when the minimum is
    above 2.0, which every plugin is). Changes: starts a stopped engine. Never touches: packages, daemon.json.
    """

    minimum_version: str = "20.10"
    compose_minimum: str = "2.0"

    touches: ClassVar[Tuple[str, ...]] = ("docker", "containers", "images", "services")

    def __post_init__(self) -> None:
        for version in (self.minimum_version, self.compose_minimum):
            if not version_numbers(version):
                raise ValueError("%r is not a version" % version)

    @property
    def label(self) -> str:
        return "docker"

    def desired(self) -> Optional[State]:
        return {"engine": "answers"}

    def observe(self, reader: Reader) -> Optional[State]:
        try:
            version = engine_version(reader)
        except EngineSilent as silent:
            if not _is_installed(reader):
                raise
            return {"engine": "does not answer: %s" % silent}
        self._require("Docker", version, self.minimum_version)
        plugin = require_compose(reader)
        if version_numbers(self.compose_minimum) > (2, 0):
            self._require("compose", _plugin_version(reader, plugin), self.compose_minimum)
        return {"engine": "answers", "version": version}

    def _require(self, program: str, version: str, minimum: str) -> None:
        if version_numbers(version) < version_numbers(minimum):
            raise NotObservable(
                "%s here is %s, and %s or newer is needed" % (program, version, minimum),
                "install a newer version of it",
            )

    def apply(self, system: System, change: Change) -> None:
        started = system.run(["systemctl", "start", "docker"], check=False, timeout_s=120.0)
        if not started.ok:
            raise ResourceError("Docker could not be started", "journalctl -u docker", _why(system, started.stderr))
        await_engine(system)

    def diff(self, reader: Reader, change: Change) -> str:
        return "- engine: stopped\n+ engine: answers"


def _plugin_version(reader: Reader, plugin: str) -> str:
    return str(loads(reader.query([plugin, "docker-cli-plugin-metadata"], check=True).stdout)["Version"])


def _why(system: System, stderr: str) -> str:
    log = system.query(["journalctl", "--unit", "docker", "--lines", "20", "--no-pager", "--output", "cat"]).stdout
    return "\n".join(part for part in (stderr.strip(), log.strip()) if part)
