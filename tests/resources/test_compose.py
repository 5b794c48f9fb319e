"""Compose projects: what is seen, what is done, and to which services."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.resources.compose.project import ComposeProject, ComposeService
from orchestr.resources.files import File
from orchestr.transport.memory import MemorySystem, Node
from tests.resources.engine_double import EngineDouble

PROJECT = ComposeProject(
    "/opt/shop",
    services=(
        ComposeService("web", definition="d1", env_files=(".env",), config=("settings",)),
        ComposeService("proxy", definition="d2", reload_files=("proxy/",), reload_command=("proxy", "reload")),
    ),
)
STAMP = "/var/lib/orchestr/compose/shop.json"


@pytest.fixture
def engine() -> EngineDouble:
    """An engine on a host with the project's files, and nothing running."""
    engine = EngineDouble()
    engine.host.nodes["/opt/shop"] = Node("directory", mode=0o755)
    engine.host.nodes["/opt/shop/proxy"] = Node("directory", mode=0o755)
    engine.host.add_file("/opt/shop/compose.yaml", "services: {}\n")
    engine.host.add_file("/opt/shop/.env", "A=1\n")
    engine.host.add_file("/opt/shop/settings", "right\n")
    engine.host.add_file("/opt/shop/proxy/rules", "old\n")
    engine.host.commands[("docker", "exec")] = ""
    return engine


@pytest.fixture
def running(engine: EngineDouble) -> EngineDouble:
    """The same with the project brought up, nothing in the log."""
    assert run(engine)["verdict"] == "changed"
    engine.host.log.clear()
    engine.host.writes = 0
    return engine


def run(engine: EngineDouble, project: ComposeProject = PROJECT) -> dict[str, Any]:
    return converge(Task(project), engine.system, False, False)


def write(engine: EngineDouble, path: str, text: str) -> None:
    engine.system.write_bytes(path, text.encode())


def plan(engine: EngineDouble, *before: File) -> dict[str, Any]:
    """Plan some files, then the project, on a host that must not be written to."""
    system = MemorySystem(engine.host, read_only=True)
    pending = False
    for file in before:
        pending = converge(Task(file), system, True, pending)["verdict"] == "changed" or pending
    return converge(Task(PROJECT), system, True, pending)


def test_a_new_project_is_brought_up_whole(engine: EngineDouble) -> None:
    """With nothing there, one `up` names every service, after the files were checked."""
    result = run(engine)
    assert result["diff"] == "- web: absent\n+ web: running\n- proxy: absent\n+ proxy: running"
    assert engine.ran("compose") == [
        ("compose", "config", "--quiet"),
        ("compose", "up", "--detach", "--no-deps", "web", "proxy"),
    ]


def test_a_converged_project_costs_no_process_and_no_write(running: EngineDouble) -> None:
    """A second run looks over the socket only."""
    assert run(running)["verdict"] == "ok"
    assert running.host.log == [] and running.host.writes == 0


def test_several_projects_cost_one_listing(running: EngineDouble) -> None:
    """All compose projects of a host are read with one question to the engine."""
    running.asked.clear()
    system = running.system
    for _ in range(3):
        PROJECT.observe(system)
    assert len([path for path in running.asked if path.startswith("/containers/json")]) == 1


def test_only_a_stopped_service_is_started(running: EngineDouble) -> None:
    """One container that ended is started; the others are not named to compose."""
    running.containers["shop-web-1"]["State"].update(Status="exited", ExitCode=137)
    result = run(running)
    assert result["diff"] == "- web: exited (137)\n+ web: running"
    assert running.ran("compose", "up") == [("compose", "up", "--detach", "--no-deps", "web")]


def test_a_changed_file_recreates_only_the_service_that_reads_it(running: EngineDouble) -> None:
    """A new .env recreates the service it belongs to, and the diff names the file."""
    write(running, "/opt/shop/.env", "A=2\n")
    result = run(running)
    assert result["diff"] == "- web: running, started with other configuration (.env)\n+ web: running"
    assert running.ran("compose", "up") == [("compose", "up", "--detach", "--no-deps", "web")]
    assert run(running)["verdict"] == "ok"


def test_a_changed_definition_recreates_only_its_service(running: EngineDouble) -> None:
    """A definition that changed in the inventory concerns its own service alone."""
    changed = replace(PROJECT, services=(PROJECT.services[0], replace(PROJECT.services[1], definition="d3")))  # type: ignore[type-var]
    assert "proxy: running, started with other configuration (definition)" in run(running, changed)["diff"]
    assert running.ran("compose", "up") == [("compose", "up", "--detach", "--no-deps", "proxy")]


def test_a_file_repaired_in_the_same_plan_is_no_change_of_the_project(running: EngineDouble) -> None:
    """An .env edited by hand that an earlier task will repair leaves the project as it is."""
    write(running, "/opt/shop/.env", "A=hacked\n")
    repair = File("/opt/shop/.env", "A=1\n", mode=0o600)
    assert plan(running, repair)["verdict"] == "ok"
    assert plan(running)["verdict"] == "changed"


def test_a_planned_file_change_is_a_planned_recreation(running: EngineDouble) -> None:
    """A plan that will rewrite a file the service reads says that the service will be recreated."""
    result = plan(running, File("/opt/shop/.env", "A=3\n"))
    assert result["diff"] == "- web: running, started with other configuration (.env)\n+ web: running"


@pytest.mark.parametrize("name", ["compose.yaml", ".env"])
def test_a_hand_written_project_is_recreated_by_its_files(engine: EngineDouble, name: str) -> None:
    """Services known by name alone depend on the whole compose file, and on the .env that compose reads unasked."""
    project = ComposeProject("/opt/shop", ("web",))
    run(engine, project)
    assert run(engine, project)["verdict"] == "ok"
    write(engine, f"/opt/shop/{name}", "changed: {}\n")
    assert f"started with other configuration ({name})" in run(engine, project)["diff"]


def test_a_project_without_services_is_refused() -> None:
    """Forgetting the services must not make orphans of all containers."""
    with pytest.raises(ValueError, match="told its services"):
        ComposeProject("/opt/shop")


def test_dying_between_the_file_and_the_start_is_noticed(running: EngineDouble) -> None:
    """A run that ends after writing the override but before `up` leaves a difference for the next one."""
    write(running, "/opt/shop/.env", "A=2\n")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    whole = running.host.commands[("docker", "compose")]
    running.host.commands[("docker", "compose")] = die
    with pytest.raises(KeyboardInterrupt):
        run(running)
    running.host.commands[("docker", "compose")] = whole
    assert run(running)["verdict"] == "changed"
    assert running.ran("compose", "up") == [("compose", "up", "--detach", "--no-deps", "web")]


def test_a_recreation_that_was_cut_short_is_cleared_away(running: EngineDouble) -> None:
    """Compose cannot recreate a container beside one it made under a temporary name and never started."""
    old = running.containers["shop-web-1"]
    half_made, state = old["Id"][:12] + "_shop-web-1", {"Status": "created", "ExitCode": 0}
    running.containers[half_made] = {**old, "Id": "f" * 64, "Name": half_made, "State": state}
    assert "web: 1 created, 1 running" in run(running)["diff"]
    assert running.host.log[1] == ("docker", "rm", "--force", half_made)
    assert set(running.containers) == {"shop-web-1", "shop-proxy-1"}


def test_a_container_not_started_by_orchestr_is_replaced(running: EngineDouble) -> None:
    """A container without our label may have been started with anything."""
    running.add("shop", "web")
    assert "web: running, not started by orchestr" in run(running)["diff"]


def test_a_container_recreated_by_hand_is_noticed(running: EngineDouble) -> None:
    """`docker compose up` by hand with an edited compose file leaves our label but another definition."""
    digest = running.containers["shop-web-1"]["Labels"]["orchestr.digest"]
    running.add("shop", "web", digest=digest, config_hash="edited")
    assert "web: running, started by hand with another definition or image" in run(running)["diff"]


def test_an_image_that_was_pulled_anew_recreates_its_service(running: EngineDouble) -> None:
    """A reference that names another image than the container was made from is a reason to recreate it."""
    project = replace(PROJECT, services=(replace(PROJECT.services[0], image="shop/web"),))  # type: ignore[type-var]
    running.images = [{"Id": "sha256:" + "a" * 64, "RepoTags": ["shop/web:latest"]}]
    run(running, project)
    assert run(running, project)["verdict"] == "ok"
    running.images = [{"Id": "sha256:" + "b" * 64, "RepoTags": ["shop/web:latest"]}]
    assert "web: running, with another image than shop/web is now" in run(running, project)["diff"]


# -- reloading --------------------------------------------------------------------------------------------------------
def test_a_reloadable_file_is_reloaded_without_a_new_container(running: EngineDouble) -> None:
    """A change of a file that can be reloaded runs the reload command in the same container, once."""
    before = running.containers["shop-proxy-1"]["Id"]
    write(running, "/opt/shop/proxy/rules", "new\n")
    result = run(running)
    assert result["diff"] == "- proxy: running, has not loaded its new configuration\n+ proxy: running"
    assert running.host.log == [("docker", "exec", "shop-proxy-1", "proxy", "reload")]
    assert running.containers["shop-proxy-1"]["Id"] == before
    assert run(running)["verdict"] == "ok"


def test_a_refused_reload_fails_and_is_tried_again(running: EngineDouble) -> None:
    """A reload that fails is a failed task with the command's own words, and next time it is not forgotten."""
    write(running, "/opt/shop/proxy/rules", "nonsense\n")
    running.host.commands[("docker", "exec")] = (1, "", "parsing rules: line 1")
    error = run(running)["error"]
    assert "the old one keeps serving" in error["message"] and error["stderr"] == "parsing rules: line 1"
    assert run(running)["verdict"] == "failed"
    running.host.commands[("docker", "exec")] = ""
    assert run(running)["verdict"] == "changed"


def test_a_planned_change_of_a_reloadable_file_is_a_planned_reload(running: EngineDouble) -> None:
    """The plan tells a reload from a recreation."""
    result = plan(running, File("/opt/shop/proxy/rules", "new\n"))
    assert result["diff"] == "- proxy: running, has not loaded its new configuration\n+ proxy: running"
    del running.host.nodes[STAMP]
    assert plan(running, File("/opt/shop/proxy/rules", "new\n"))["diff"] == result["diff"]


def test_a_file_repaired_with_its_old_content_needs_no_reload(running: EngineDouble) -> None:
    """What counts is the content that was loaded, not when the file was written."""
    write(running, "/opt/shop/proxy/rules", "edited\n")
    write(running, "/opt/shop/proxy/rules", "old\n")
    assert run(running)["verdict"] == "ok"


def test_a_container_started_after_the_file_has_read_it(running: EngineDouble) -> None:
    """Without a stamp, a start later than the file's change counts as having read it; an earlier one does not."""
    del running.host.nodes[STAMP]
    assert run(running)["verdict"] == "ok"
    running.host.clock += 10
    write(running, "/opt/shop/proxy/rules", "old\n")
    assert "has not loaded" in run(running)["diff"]


def test_restarting_by_hand_with_an_edited_file_is_noticed(running: EngineDouble) -> None:
    """A container restarted while the file was wrong has loaded the wrong one, though the stamp knows the container."""
    write(running, "/opt/shop/proxy/rules", "edited\n")
    running.host.clock += 10
    running.system.run(["docker", "restart", "shop-proxy-1"])
    running.host.clock += 10
    write(running, "/opt/shop/proxy/rules", "old\n")
    assert "has not loaded its new configuration" in run(running)["diff"]


def test_a_changed_mode_of_a_reloadable_file_is_no_reload_whoever_restarted(running: EngineDouble) -> None:
    """After a restart by hand too, only what was written counts, not a mode that was changed."""
    restart_by_hand(running, "shop-proxy-1")
    running.system.set_mode("/opt/shop/proxy/rules", 0o600)
    assert run(running)["verdict"] == "ok"
    assert plan(running, File("/opt/shop/proxy/rules", "old\n", mode=0o640))["verdict"] == "ok"


# -- restarted by others ----------------------------------------------------------------------------------------------
SETTINGS = "/opt/shop/settings"
REPAIR = File(SETTINGS, "right\n", mode=0o600)
MISREAD = "- web: running, may have read other configuration since it was restarted\n+ web: running"


def restart_by_hand(engine: EngineDouble, *names: str) -> None:
    """Restart containers a while after whatever came before, and leave the log as it was."""
    engine.host.clock += 10
    engine.system.run(["docker", "restart", *names])
    engine.host.log.clear()
    engine.host.clock += 10


def test_a_container_restarted_by_hand_with_an_edited_file_is_restarted(running: EngineDouble) -> None:
    """Its label is that of the repaired file, but what it read is another; plan and run agree; then all is ok."""
    write(running, SETTINGS, "wrong\n")
    before = running.containers["shop-web-1"]["Id"]
    restart_by_hand(running, "shop-web-1")
    assert plan(running, REPAIR)["diff"] == MISREAD
    assert converge(Task(REPAIR), running.system, False, False)["verdict"] == "changed"
    assert run(running)["diff"] == MISREAD
    assert running.ran("docker") == [("docker", "restart", "shop-web-1")]
    assert running.containers["shop-web-1"]["Id"] == before
    assert run(running)["verdict"] == "ok"


def test_a_restart_that_was_cut_short_is_made_good(running: EngineDouble) -> None:
    """A run that ends between the repair and the restart leaves the difference; one that ends after it, none."""
    write(running, SETTINGS, "wrong\n")
    restart_by_hand(running, "shop-web-1")
    converge(Task(REPAIR), running.system, False, False)
    assert plan(running)["diff"] == MISREAD
    restart_by_hand(running, "shop-web-1")
    assert plan(running)["verdict"] == "ok"


def test_a_file_repaired_while_its_container_kept_running_restarts_nothing(running: EngineDouble) -> None:
    """A container that orchestr started and nobody restarted has read what its label says."""
    running.host.clock += 10
    write(running, SETTINGS, "wrong\n")
    assert plan(running, REPAIR)["verdict"] == "ok"
    converge(Task(REPAIR), running.system, False, False)
    assert run(running)["verdict"] == "ok"


def test_restarting_everything_by_hand_is_no_difference(running: EngineDouble) -> None:
    """After a restart of the engine or the machine, with files as they were, nothing differs and no process runs."""
    restart_by_hand(running, *running.containers)
    assert run(running)["verdict"] == "ok" and running.host.log == []


def test_an_env_file_is_not_read_by_a_restart(running: EngineDouble) -> None:
    """Env files are read when a container is made: a restart while one was edited did no harm."""
    write(running, "/opt/shop/.env", "A=wrong\n")
    restart_by_hand(running, "shop-web-1")
    write(running, "/opt/shop/.env", "A=1\n")
    assert run(running)["verdict"] == "ok"


def test_only_the_copy_that_was_restarted_is_restarted(running: EngineDouble) -> None:
    """Of several containers of one service those that orchestr started last are left alone."""
    digest = running.containers["shop-web-1"]["Labels"]["orchestr.digest"]
    running.add("shop", "web", digest=digest, config_hash="h:" + digest, number=2)
    project = replace(PROJECT, services=(replace(PROJECT.services[0], replicas=2),))  # type: ignore[type-var]
    project = replace(project, remove_orphans=False)
    write(running, SETTINGS, "right\n")
    assert "may have read other configuration" in run(running, project)["diff"]
    assert running.ran("docker", "restart") == [("docker", "restart", "shop-web-2")]


def test_a_paused_container_that_was_restarted_by_hand_is_restarted_too(running: EngineDouble) -> None:
    """Being found paused hides nothing: it runs again, with what is there now, after one run."""
    write(running, SETTINGS, "wrong\n")
    restart_by_hand(running, "shop-web-1")
    running.containers["shop-web-1"]["State"]["Status"] = "paused"
    write(running, SETTINGS, "right\n")
    assert "- web: paused, may have read" in run(running)["diff"]
    assert running.ran("docker", "restart") == [("docker", "restart", "shop-web-1")]
    assert run(running)["verdict"] == "ok"


# -- health and failures ---------------------------------------------------------------------------------------------
def test_a_service_that_never_gets_healthy_fails_with_its_log(engine: EngineDouble) -> None:
    """The error names the service, what its health check said, and shows its last lines."""
    probe = {"Status": "unhealthy", "Log": [{"Output": "connection refused"}]}
    engine.states["web"] = {"Health": probe}
    engine.logs["shop-web-1"] = "cannot reach the database"
    error = run(engine)["error"]
    assert error["message"] == "the service web is unhealthy"
    assert "connection refused" in error["stderr"] and "cannot reach the database" in error["stderr"]
    assert error["next_step"] == "its log on the host: docker logs shop-web-1"


def test_a_service_still_starting_when_time_is_over_fails(engine: EngineDouble) -> None:
    """Waiting ends after `wait_s`, and says what it was waiting for."""
    engine.states["web"] = {"Health": {"Status": "starting"}}
    error = run(engine, replace(PROJECT, wait_s=30.0))["error"]
    assert error["message"] == "the service web health: starting after 30 s"


def test_a_crash_loop_without_a_health_check_fails(engine: EngineDouble) -> None:
    """A container that runs for a moment, again and again, is not taken for running."""
    engine.states["web"] = {"Status": "restarting", "ExitCode": 1}
    engine.logs["shop-web-1"] = "bad flag"
    error = run(engine)["error"]
    assert "web restarting after" in error["message"] and "bad flag" in error["stderr"]


def test_a_container_caught_while_up_between_two_deaths_fails(engine: EngineDouble) -> None:
    """Being up at the moment of looking is not enough without a health check: it has to stay up."""
    engine.dying.add("shop-web-1")
    engine.logs["shop-web-1"] = "out of memory"
    error = run(engine, replace(PROJECT, wait_s=3600.0))["error"]
    assert "web keeps restarting" in error["message"] and "out of memory" in error["stderr"]


def test_a_container_that_ends_fails_at_once(engine: EngineDouble) -> None:
    """A service that ended and will not be restarted is not waited for."""
    engine.states["web"] = {"Status": "exited", "ExitCode": 2}
    before = engine.host.clock
    assert run(engine)["error"]["message"] == "the service web exited with status 2"
    assert engine.host.clock - before < 10


def test_an_unhealthy_service_is_restarted(running: EngineDouble) -> None:
    """A service found unhealthy is restarted, only it, and must then be healthy."""
    running.containers["shop-web-1"]["State"]["Health"] = {"Status": "unhealthy", "Log": []}
    result = run(running)
    assert result["verdict"] == "changed" and result["diff"] == "- web: unhealthy\n+ web: running"
    assert running.ran("docker", "restart") == [("docker", "restart", "shop-web-1")]


def test_a_service_still_starting_is_no_difference(running: EngineDouble) -> None:
    """A health check that has not answered yet is not a reason to touch the service."""
    running.containers["shop-web-1"]["State"]["Health"] = {"Status": "starting"}
    assert run(running)["verdict"] == "ok"


def test_a_one_off_service_should_end_well(engine: EngineDouble) -> None:
    """A service that runs once is right when it ended with status 0, wrong with any other."""
    project = ComposeProject("/opt/shop", (ComposeService("init", definition="d", runs_once=True),))
    engine.states["init"] = {"Status": "exited", "ExitCode": 0}
    assert run(engine, project)["diff"] == "- init: absent\n+ init: completed"
    assert run(engine, project)["verdict"] == "ok"
    engine.containers["shop-init-1"]["State"]["ExitCode"] = 1
    engine.states["init"] = {"Status": "exited", "ExitCode": 1}
    assert run(engine, project)["error"]["message"] == "the service init exited with status 1"


def test_compose_failing_shows_its_last_word(engine: EngineDouble) -> None:
    """What compose said last is the message; its whole output is kept."""
    said = (1, "", " Container shop-web-1 Creating\nError response from daemon: No such image: shop/web:2")
    whole = engine.host.commands[("docker", "compose")]

    def compose(system: Any, words: tuple[str, ...], input: bytes) -> Any:
        return said if "up" in words else whole(system, words, input)  # type: ignore[operator]

    engine.host.commands[("docker", "compose")] = compose
    assert "No such image: shop/web:2" in run(engine)["error"]["message"]


def test_a_missing_mounted_file_is_refused_before_docker_makes_a_directory_of_it(engine: EngineDouble) -> None:
    """A configuration file that is not there stops the task before anything starts."""
    del engine.host.nodes["/opt/shop/.env"]
    error = run(engine)["error"]
    assert "/opt/shop/.env" in error["message"] and engine.ran("compose") == []


def test_an_override_of_the_users_own_is_left_alone(engine: EngineDouble) -> None:
    """A compose.override.yaml that orchestr did not write is neither replaced nor ignored."""
    engine.host.add_file("/opt/shop/compose.override.yaml", "services: {web: {ports: []}}\n")
    assert "is not one that orchestr wrote" in run(engine)["error"]["message"]
    assert "ports" in engine.host.text("/opt/shop/compose.override.yaml")


# -- less of it -------------------------------------------------------------------------------------------------------
def test_containers_of_removed_services_go(running: EngineDouble) -> None:
    """A container of a service that is no longer in the project is stopped and removed; nothing else is touched."""
    running.add("shop", "old")
    result = run(running)
    assert result["diff"] == "- orphans: shop-old-1\n+ orphans: none"
    assert running.host.log == [("docker", "stop", "shop-old-1"), ("docker", "rm", "shop-old-1")]


def test_other_projects_are_never_touched(running: EngineDouble) -> None:
    """Containers of other projects are no orphans of this one."""
    running.add("other", "web")
    assert run(running)["verdict"] == "ok"


def test_a_project_can_be_stopped_and_removed(running: EngineDouble) -> None:
    """Stopping and removing are states too: each is reached once and then ok."""
    stopped, removed = replace(PROJECT, running=False), replace(PROJECT, present=False)
    assert run(running, stopped)["diff"] == "- web: running\n+ web: stopped\n- proxy: running\n+ proxy: stopped"
    assert run(running, stopped)["verdict"] == "ok"
    assert run(running, removed)["verdict"] == "changed"
    assert running.containers == {} and STAMP not in running.host.nodes
    assert run(running, removed)["verdict"] == "ok"


def test_a_list_that_lags_behind_the_engine_is_awaited(running: EngineDouble) -> None:
    """For a moment after the answer to a stop the engine's list has containers at work: that is no failure."""
    assert run(running)["verdict"] == "ok"
    running.outdated = 3  # what the task looks at before it stops anything, and twice after that
    assert run(running, replace(PROJECT, running=False))["verdict"] == "changed"
    assert running.outdated == 0


def test_with_the_engine_stopped_a_plan_is_unknown_and_a_run_fails_clearly(running: EngineDouble) -> None:
    """No answer from the engine is never taken for an absent project."""
    running.is_up = False
    assert converge(Task(PROJECT), running.system, True, True)["verdict"] == "unknown"
    error = run(running)["error"]
    assert "does not answer" in error["message"] and "systemctl start docker" in error["next_step"]


def test_the_stamp_holds_no_more_than_is_running(running: EngineDouble) -> None:
    """Entries of containers that are gone are dropped when the stamp is written."""
    write(running, "/opt/shop/.env", "A=2\n")
    run(running)
    known = {item["Id"] for item in running.containers.values()} | {"web", "proxy"}
    assert set(json.loads(running.host.text(STAMP))) == known
    assert running.host.nodes[STAMP].mode == 0o600
