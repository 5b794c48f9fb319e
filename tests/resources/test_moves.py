"""An application's database between two forms, on an engine in memory: nothing is lost, killed wherever it may be."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.resources.docker.engine import SOCKET
from orchestr.resources.moves import databases, forms
from orchestr.resources.moves.databases import (
    ApplicationLoaded,
    ApplicationSaved,
    Database,
    DowntimeEnded,
    MoveForgotten,
)
from orchestr.resources.moves.forms import COMPOSE, STACK, FormRemoved, ServicesStopped
from orchestr.resources.moves.survey import ApplicationSurvey
from orchestr.secret import Secret
from orchestr.transport.memory import MemoryHost, MemorySystem

PASSWORD = "the-root-password-of-this-test"
NAME = "chat"
DIRECTORY = "/opt/chat"
NETWORK = "chat_overlay"
SERVERS = ("user_server", "gateway_server")
MYSQL = Database(
    NAME,
    "mysql",
    "mysql:8.0",
    Secret(f"[client]\npassword={PASSWORD}\n"),
    NETWORK,
    save=("mysqldump", "--defaults-extra-file=/login", "-h", "mysql", "--databases", "chen_im"),
    load=("mysql", "--defaults-extra-file=/login", "-h", "mysql"),
    probe=("mysql", "--defaults-extra-file=/login", "-h", "mysql", "-e", "SELECT 1"),
    complete="Dump completed",
    suffix="sql",
)
ENDING = "-- Dump completed on 2026-11-23\n"
STOPPED, SOURCE, AWAITED = forms.stopped_at_path(NAME), forms.source_path(NAME), forms.awaited_path(NAME)
KEPT = f"{databases.KEPT}/{NAME}"
SURVEY = ApplicationSurvey(NAME, (("mysql", "sql", "chat_mysql-data"),), ("/im/data",))


class Killed(BaseException):
    """The agent's process is gone."""


class Mortal(MemorySystem):
    """A System that is killed at its n-th write."""

    def __init__(self, host: MemoryHost, writes_left: int) -> None:
        super().__init__(host, run_id="r1")
        self.writes_left = writes_left

    def _written(self) -> None:
        if self.writes_left == 0:
            raise Killed
        self.writes_left -= 1
        super()._written()


class EngineDouble:
    """An application in one form, its MySQL, and what happened to it, in order. ``rows`` is what the database holds."""

    def __init__(self, form: str = COMPOSE) -> None:
        self.host = MemoryHost()
        self.host.http = _Routes(self)
        self.host.add_file("/usr/sbin/dockerd", "", mode=0o755)
        for words, answer in (("sh", self._client), ("mv", self._moved), ("tail", self._tail), ("du", "4096\t/v\n")):
            self.host.commands[(words,)] = answer
        self.host.commands[("docker", "compose")] = self._down
        self.host.commands[("docker", "stack", "rm")] = self._stack_removed
        names = ("mysql", *SERVERS)
        self.containers = dict.fromkeys(names, "running") if form == COMPOSE else {}
        self.services = set(names) if form == STACK else set()
        self.ending: dict[str, int] = {}  # services that are removed: how often their tasks are still seen
        self.is_manager, self.is_up, self.is_complete, self.lingers = form == STACK, True, True, 2
        self.rows = ["one"]
        self.loaded: list[str] = []
        self.events: list[str] = []

    def system(self, writes_left: int = -1) -> Mortal:
        return Mortal(self.host, writes_left)

    def has(self, service: str) -> bool:
        return self.containers.get(service) == "running" or service in self.services

    # -- the engine -----------------------------------------------------------------------------------------------
    def answer(self, method: str, path: str, query: dict[str, Any]) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        if path == "/containers/json":
            label = "com.docker.compose.service"
            return 200, [{"Id": name, "Labels": {label: name}, "State": it} for name, it in self.containers.items()]
        if parts[0] == "containers":
            self.containers[parts[1]] = {"stop": "exited", "start": "running"}[parts[2]]
            self.events.append(f"{parts[2]} {parts[1]}")
            return 204, None
        if path == "/info":
            return 200, {"Swarm": {"ControlAvailable": self.is_manager}}
        if path == "/nodes":
            labels = {"orchestr.role.chat_storage": "true"}
            return 200, [{"ID": "n3", "Spec": {"Labels": labels}, "Description": {"Hostname": "lab3"}}]
        if path == "/services":
            return 200, [{"ID": name, "Spec": {"Name": f"chat_{name}"}} for name in sorted(self.services)]
        if parts[0] == "services":
            self.services.remove(parts[1])
            self.ending[parts[1]] = self.lingers
            return 200, None
        if path == "/tasks":
            return 200, self._tasks(query["filters"]["service"])
        if parts[0] == "networks":
            return (200, {}) if self.containers or self.services else (404, {"message": "not found"})
        assert path == "/volumes/chat_mysql-data", path
        return 200, {"Mountpoint": "/v"}

    def _tasks(self, names: list[str]) -> list[Any]:
        for name in names:
            self.ending[name] -= 1
            if self.ending[name] == 0:
                self.events.append(f"stop {name}")
        states = {name: "running" if self.ending[name] > 0 else "shutdown" for name in names}
        return [{"ServiceID": name, "Status": {"State": state}} for name, state in states.items()]

    # -- commands -------------------------------------------------------------------------------------------------
    def _client(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        login = self.host.nodes[MYSQL.login_path]
        assert login.mode == 0o600 and PASSWORD in login.data.decode() and PASSWORD not in repr(words)
        path, program = words[4], words[words.index("--entrypoint") + 1]
        if not self.has("mysql"):
            return 1, "", "ERROR 2005 (HY000): Unknown server host 'mysql'"
        if program == "mysqldump":
            self.events.append("dump")
            assert not any(map(self.has, SERVERS)), "the servers still write"
            system.write_bytes(path, ("\n".join(self.rows) + "\n" + ENDING * self.is_complete).encode())
        elif "<" in words[2]:
            self.events.append("load")
            self.loaded = self.host.text(path).splitlines()[:-1]
        return None

    def _moved(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> None:
        assert words[2].rpartition("/")[0] in self.host.nodes
        self.host.nodes[words[2]] = self.host.nodes.pop(words[1])

    def _tail(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> str:
        return self.host.text(words[-1])[-int(words[2]) :]

    def _down(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> None:
        assert words == ("docker", "compose", "--project-directory", DIRECTORY, "down")  # with no --volumes
        self.events.append("removed")
        self.containers.clear()

    def _stack_removed(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> None:
        self.events.append("removed")
        self.ending.update(dict.fromkeys(self.services, self.lingers))
        self.services.clear()

    # -- what is there --------------------------------------------------------------------------------------------
    def dump(self) -> list[str] | None:
        node = self.host.nodes.get(MYSQL.dump)
        return None if node is None else node.data.decode().splitlines()

    def kept(self) -> list[str]:
        """Return what the dumps among the backups hold."""
        paths = sorted(path for path in self.host.nodes if path.startswith(KEPT + "/"))
        return [self.host.text(path) for path in paths]


class _Routes(dict[str, Any]):
    def __init__(self, double: EngineDouble) -> None:
        super().__init__()
        self._double = double

    def get(self, key: str, default: Any = None) -> Any:
        path = key.removeprefix(f"{SOCKET}:")
        if path == key or not self._double.is_up:
            return default

        def answer(method: str, body: bytes) -> tuple[int, bytes]:
            where, _, query = path.partition("?")
            parsed = {name: values[0] for name, values in parse_qs(unquote(query)).items()}
            parsed.update({name: json.loads(text) for name, text in parsed.items() if name == "filters"})
            status, found = self._double.answer(method, where, parsed)
            return status, json.dumps(found).encode()

        return answer


def run(double: EngineDouble, resource: Any, check: bool = False, writes_left: int = -1) -> dict[str, Any]:
    system = MemorySystem(double.host, read_only=True, run_id="r1") if check else double.system(writes_left)
    return converge(Task(resource), system, check, False)


def saved(source: str) -> Any:
    return ApplicationSaved(NAME, source, DIRECTORY, (NETWORK,), (MYSQL,), SERVERS)


FORMS = pytest.mark.parametrize("form", [COMPOSE, STACK])


# -- out of the old form ----------------------------------------------------------------------------------------------
@FORMS
def test_the_servers_end_before_the_dump_and_the_rest_after_it(form: str) -> None:
    """Nothing is written after the dump, nothing is removed before it; a plan says so and touches nothing."""
    double = EngineDouble(form)
    assert run(double, saved(form), check=True)["verdict"] == "changed" and double.events == []
    assert run(double, saved(form))["verdict"] == "changed"
    assert sorted(double.events[:2]) == ["stop gateway_server", "stop user_server"]
    # A stack is gone when its containers have ended: until then what they have mounted is not at rest.
    assert double.events[2:] == ["dump", "removed", *(["stop mysql"] if form == STACK else [])]
    assert double.dump() == ["one", ENDING.strip()]
    assert run(double, saved(form))["verdict"] == "ok"


@FORMS
def test_killed_anywhere_the_next_run_goes_on_and_has_everything(form: str) -> None:
    """Wherever it ends, the database is there or whole in the dump; another run brings the move to the same end."""
    deaths = 0
    while True:
        double = EngineDouble(form)
        try:
            run(double, saved(form), writes_left=deaths)
        except Killed:
            assert double.has("mysql") or double.dump() == ["one", ENDING.strip()]
            stopped_at = double.host.nodes.get(STOPPED)
            if double.containers or double.services:
                assert run(double, saved(form))["verdict"] == "changed"
            assert double.dump() == ["one", ENDING.strip()], f"killed at write {deaths}"
            assert not double.containers and not double.services
            if stopped_at is not None:
                assert double.host.nodes[STOPPED].data == stopped_at.data, "the downtime began with the first"
            deaths += 1
            continue
        break
    assert deaths > 8


@FORMS
def test_servers_that_ran_again_in_between_mean_a_new_dump(form: str) -> None:
    """What was written between two attempts is in the dump of the second."""
    double = EngineDouble(form)
    del double.host.commands[("docker", "compose")], double.host.commands[("docker", "stack", "rm")]
    assert run(double, saved(form))["verdict"] == "failed" and double.dump() == ["one", ENDING.strip()]
    double.rows.append("two")
    double.containers.update({"user_server": "running"} if form == COMPOSE else {})
    double.services.update({"user_server"} if form == STACK else ())
    double.host.commands[("docker", "compose")] = double._down
    double.host.commands[("docker", "stack", "rm")] = double._stack_removed
    assert run(double, saved(form))["verdict"] == "changed"
    assert double.dump() == ["one", "two", ENDING.strip()]


@FORMS
def test_a_dump_without_its_end_is_none(form: str) -> None:
    """A dump that mysqldump did not end is refused: the old form stays, and no dump is taken for one."""
    double = EngineDouble(form)
    double.is_complete = False
    result = run(double, saved(form))
    assert result["verdict"] == "failed" and "dump of mysql is not complete" in result["error"]["message"]
    assert double.has("mysql") and double.dump() is None and "removed" not in double.events
    double.is_complete = True
    assert run(double, saved(form))["verdict"] == "changed" and double.dump() == ["one", ENDING.strip()]


def test_a_mysql_that_was_stopped_is_started_to_be_dumped() -> None:
    """A project that was stopped as a whole is no reason to lose its database."""
    double = EngineDouble(COMPOSE)
    double.containers.update(dict.fromkeys(double.containers, "exited"))
    assert run(double, saved(COMPOSE))["verdict"] == "changed"
    assert double.events == ["start mysql", "dump", "removed"]


def test_servers_that_do_not_end_end_the_run() -> None:
    """Nothing is dumped while a server's task still runs; the run says where to look."""
    double = EngineDouble(STACK)
    double.lingers = 1 << 30
    result = run(double, saved(STACK))
    assert result["verdict"] == "failed" and "the services do not end within 180 s" in result["error"]["message"]
    assert double.events == [] and double.has("mysql")


@FORMS
def test_a_mysql_that_never_answers_ends_the_run(form: str) -> None:
    """Its own error is told, and nothing is removed."""
    double = EngineDouble(form)
    double.host.commands[("sh",)] = (1, "", "ERROR 1045 (28000): Access denied for user 'root'")
    result = run(double, saved(form))
    assert result["verdict"] == "failed" and "Access denied" in repr(result["error"])
    assert double.has("mysql") and "removed" not in double.events


def test_the_login_is_in_no_argument_and_does_not_stay() -> None:
    """MySQL's clients read it from a file (0600), which goes again; also after a failure."""
    for is_complete in (True, False):
        double = EngineDouble(COMPOSE)
        double.is_complete = is_complete
        run(double, saved(COMPOSE))
        assert PASSWORD not in repr(double.host.log) and MYSQL.login_path not in double.host.nodes
        assert double.host.nodes[forms.state_directory(NAME)].mode == 0o700


def test_the_dump_is_readable_for_root_alone(tmp_path: Path) -> None:
    """The shell that writes it opens it 0600."""
    double = EngineDouble(COMPOSE)
    run(double, saved(COMPOSE))
    [words] = [words for words in double.host.log if "mysqldump" in words]
    target = tmp_path / "dump"
    subprocess.run([*words[:4], str(target), "echo", "INSERT"], check=True)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("INSERT\n", 0o600)


@FORMS
def test_services_whose_data_moves_end_and_only_they(form: str) -> None:
    """The others run on; the time is noted once; killed anywhere, the next run goes on."""
    stopped = ServicesStopped(NAME, ("user_server",), form)
    for deaths in range(4):
        double = EngineDouble(form)
        with contextlib.suppress(Killed):
            run(double, stopped, writes_left=deaths)
        noted = double.host.nodes.get(STOPPED)
        double.host.clock += 100
        assert run(double, stopped)["verdict"] in ("ok", "changed")
        assert not double.has("user_server") and double.has("mysql") and double.has("gateway_server")
        if noted is not None:
            assert double.host.nodes[STOPPED].data == noted.data
    double = EngineDouble(form)
    run(double, stopped)
    assert double.events == ["stop user_server"] and run(double, stopped)["verdict"] == "ok"
    assert run(double, DowntimeEnded(NAME))["outcome"]["what"] == "partly down"
    assert run(double, DowntimeEnded(NAME))["verdict"] == "ok"


# -- into the new form ------------------------------------------------------------------------------------------------
@pytest.fixture
def moved() -> EngineDouble:
    """A move whose new MySQL runs, with the dump waiting."""
    double = EngineDouble(COMPOSE)
    run(double, saved(COMPOSE))
    double.is_manager, double.services = True, {"mysql"}
    return double


def test_the_dump_is_loaded_once_and_kept(moved: EngineDouble) -> None:
    """The new MySQL has what the old one had; the dump is with the backups, in a directory of root's own."""
    assert run(moved, ApplicationLoaded(MYSQL), check=True)["verdict"] == "changed" and moved.loaded == []
    assert run(moved, ApplicationLoaded(MYSQL))["verdict"] == "changed"
    assert moved.loaded == ["one"] and moved.dump() is None
    assert moved.kept() == ["one\n" + ENDING] and moved.host.nodes[KEPT].mode == 0o700
    assert [path for path in moved.host.nodes if path.startswith(f"{KEPT}/mysql-") and path.endswith(".sql")]
    assert run(moved, ApplicationLoaded(MYSQL))["verdict"] == "ok" and moved.events.count("load") == 1


def test_the_latest_dumps_are_kept(moved: EngineDouble) -> None:
    """Of each database three, however often it moves; dumps of others and what is not orchestr's stay."""
    others = ["mysql-notes.sql", "mysql_two-17.sql", "mysql-5.dump", "other-1.sql"]
    for name in (*others, "mysql-9.sql", "mysql-100.sql", "mysql-99.sql"):
        moved.host.add_file(f"{KEPT}/{name}", "old")
    moved.host.clock = 2000.0
    assert run(moved, ApplicationLoaded(MYSQL))["verdict"] == "changed"
    names = [path.rpartition("/")[2] for path in moved.host.nodes if path.startswith(KEPT + "/")]
    assert sorted(names) == sorted([*others, "mysql-99.sql", "mysql-100.sql", "mysql-2000.sql"])


def test_half_a_dump_does_not_stay() -> None:
    """A full disk is not made fuller by what did not fit."""
    double = EngineDouble(COMPOSE)
    double.is_complete = False
    assert run(double, saved(COMPOSE))["verdict"] == "failed"
    assert not [path for path in double.host.nodes if ".part" in path]


def test_killed_while_loading_it_is_loaded_again() -> None:
    """Until it is among the backups a dump waits to be loaded; then never again."""
    for deaths in range(5):
        double = EngineDouble(COMPOSE)
        run(double, saved(COMPOSE))
        double.is_manager, double.services = True, {"mysql"}
        with pytest.raises(Killed):
            run(double, ApplicationLoaded(MYSQL), writes_left=deaths)
        run(double, ApplicationLoaded(MYSQL))
        assert double.loaded == ["one"] and double.kept() == ["one\n" + ENDING], f"killed at write {deaths}"
        assert not [path for path in double.host.nodes if ".part" in path], f"killed at write {deaths}"


def test_the_downtime_is_from_the_first_stop_to_the_end(moved: EngineDouble) -> None:
    """Its outcome says the seconds, also where attempts failed in between; then there is no move any more."""
    run(moved, ApplicationLoaded(MYSQL))
    began = float(moved.host.text(STOPPED))
    moved.host.clock = began + 42
    result = run(moved, DowntimeEnded(NAME))
    assert (result["verdict"], result["outcome"]["downtime_s"]) == ("changed", pytest.approx(42, abs=1))
    assert not [path for path in moved.host.nodes if path.startswith(forms.state_directory(NAME))]
    again = run(moved, DowntimeEnded(NAME))
    assert again["verdict"] == "ok" and "downtime_s" not in again.get("outcome", {})


def test_a_move_taken_back_keeps_its_dump_with_the_backups(moved: EngineDouble) -> None:
    """What stood of the new form goes, the move is forgotten, the dump is kept and loaded into nothing."""
    assert run(moved, FormRemoved(NAME, STACK, DIRECTORY, (NETWORK,)))["verdict"] == "changed" and not moved.services
    assert run(moved, MoveForgotten(NAME, (MYSQL,)))["verdict"] == "changed"
    assert moved.kept() == ["one\n" + ENDING] and "load" not in moved.events
    assert not [path for path in moved.host.nodes if path.startswith(forms.state_directory(NAME))]
    assert run(moved, MoveForgotten(NAME, (MYSQL,)))["verdict"] == "ok"


def test_a_stack_is_gone_when_its_network_is() -> None:
    """`docker stack rm` returns before the end: what comes next must not meet the old network."""
    double = EngineDouble(STACK)
    double.host.commands[("docker", "stack", "rm")] = ""
    result = run(double, FormRemoved(NAME, STACK, DIRECTORY, (NETWORK,)))
    assert result["verdict"] == "failed" and "do not go within 180 s" in result["error"]["message"]


# -- what is there ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("form", "size"), [(COMPOSE, 4096), (STACK, 4096), ("", 0)])
def test_the_survey_says_the_form_and_the_size(form: str, size: int) -> None:
    """It writes nothing, is never a change, and says what later plays ask it."""
    result = run(EngineDouble(form), SURVEY, check=True)
    assert result["verdict"] == "ok"
    assert {key: result["outcome"][key] for key in ("form", "pending", "database_bytes")} == {
        "form": form,
        "pending": "",
        "database_bytes": size,
    }


def test_the_survey_says_where_services_are_bound_and_what_is_awaited() -> None:
    """A manager tells which node carries which role, and which trees a move has begun with."""
    double = EngineDouble(STACK)
    double.host.add_file(AWAITED, '{"chat_uploads": ["lab1", "lab3"]}')
    outcome = run(double, SURVEY)["outcome"]
    assert outcome["places"] == {"chat_storage": ("n3", "lab3")}
    assert outcome["awaited"] == {"chat_uploads": ["lab1", "lab3"]} and outcome["is_stopped"] is False


def test_the_survey_knows_of_a_move_under_way(moved: EngineDouble) -> None:
    """The form that is left, also when nothing of it is there any more."""
    assert run(moved, SURVEY)["outcome"]["pending"] == COMPOSE


def test_a_swarm_that_cannot_answer_is_not_taken_for_nothing() -> None:
    """Without a majority of managers nobody knows what is deployed: the run fails, and begins nothing beside it."""
    double = EngineDouble(STACK)
    answer = double.answer

    def without_a_leader(method: str, path: str, query: dict[str, Any]) -> tuple[int, Any]:
        if path == "/services":
            return 500, {"message": "rpc error: code = Unknown desc = The swarm does not have a leader."}
        return answer(method, path, query)

    double.answer = without_a_leader  # type: ignore[method-assign]  # the same, but for one question
    result = run(double, SURVEY)
    assert result["verdict"] == "failed" and "does not have a leader" in result["error"]["message"]


def test_a_host_without_an_engine_has_no_form() -> None:
    """A new machine is no failure."""
    double = EngineDouble("")
    double.is_up = False
    result = run(double, SURVEY)
    assert (result["verdict"], result["outcome"]["form"]) == ("ok", "")
