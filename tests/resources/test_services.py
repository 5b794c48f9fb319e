"""Services: what systemd says is read right, and restart-on-change is state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Resource, Task
from orchestr.agent.serve import labels_by_kind
from orchestr.resources.files import Directory, File
from orchestr.resources.services import Service
from orchestr.resources.systemd import seconds_of, unit_name
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_tools import SimulatedSystemd, SimulatedUnit

CONFIG = "/etc/app.conf"
APP = Service("app", config=(CONFIG,))


class Machine:
    """A host with systemd, a running and enabled app.service and its configuration."""

    def __init__(self, **unit: Any) -> None:
        self.host = MemoryHost(clock=100_000.0)
        self.host.add_file(CONFIG, "one\n")
        self.host.nodes["/etc/systemd/system"] = Node("directory")
        self.systemd = SimulatedSystemd(self.host)
        self.app = self.add("app.service", **{"active": "active", "file_state": "enabled", **unit})
        self.host.clock += 10

    def add(self, name: str, **options: Any) -> SimulatedUnit:
        return self.systemd.add(name, **options)

    def run(self, *resources: Resource, check: bool = False) -> list[dict[str, Any]]:
        system = MemorySystem(self.host, read_only=check)
        tasks = [Task(resource) for resource in resources]
        system.labels = labels_by_kind(tasks)
        return [converge(task, system, check, number > 0) for number, task in enumerate(tasks)]

    def verdict(self, resource: Resource, check: bool = False) -> str:
        return str(self.run(resource, check=check)[0]["verdict"])

    def write(self, path: str, text: str) -> None:
        MemorySystem(self.host).write_bytes(path, text.encode())
        self.host.clock += 1

    def restart_by_hand(self) -> None:
        self.systemd._restart(self.app)


def test_a_service_that_runs_what_is_on_disk_is_left_alone() -> None:
    """Never stamped, but started after its files were last changed: nothing to do, nothing written."""
    machine = Machine()
    assert machine.verdict(APP) == "ok" and machine.app.starts == 1 and machine.host.writes == 0


def test_a_file_changed_since_the_start_restarts_it_once() -> None:
    """Whoever changed the file and whenever: one restart, then none."""
    machine = Machine()
    machine.write(CONFIG, "two\n")
    assert machine.verdict(APP, check=True) == "changed"
    assert [machine.verdict(APP), machine.verdict(APP)] == ["changed", "ok"] and machine.app.starts == 2


def test_a_stamped_service_does_not_mind_a_touched_file() -> None:
    """Same content, newer ctime (chmod, copy back): it runs with what is there, so no restart."""
    machine = Machine()
    machine.write(CONFIG, "two\n")
    machine.run(APP)
    machine.write(CONFIG, "two\n")
    assert machine.verdict(APP) == "ok" and machine.app.starts == 2


def test_a_stamp_counts_only_for_the_start_it_was_made_for() -> None:
    """Changed, then restarted by hand: it runs with the new content although the stamp has the old one."""
    machine = Machine()
    machine.write(CONFIG, "two\n")
    machine.run(APP)
    machine.write(CONFIG, "three\n")
    assert machine.verdict(APP, check=True) == "changed"
    machine.restart_by_hand()
    assert machine.verdict(APP) == "ok"


def test_a_damaged_stamp_is_no_stamp() -> None:
    """A stamp that is not JSON, or not an object, is ignored."""
    for text in ("{", "[]", '"x"'):
        machine = Machine()
        machine.host.add_file("/var/lib/orchestr/services/app.service.json", text)
        assert machine.verdict(APP) == "ok"


def test_a_plan_foresees_the_restart() -> None:
    """A file that a task before would change makes the service differ in the plan, its diff says why."""
    machine = Machine()
    results = machine.run(File(CONFIG, "two\n"), APP, check=True)
    assert [result["verdict"] for result in results] == ["changed", "changed"]
    assert results[1]["diff"] == "- config: changed since it started\n+ config: in use"
    assert [r["verdict"] for r in machine.run(File(CONFIG, "one\n", mode=0o600), APP, check=True)] == ["changed", "ok"]


def test_a_directory_of_configuration_counts_with_all_its_files() -> None:
    """A file added to or changed below a directory restarts the service; the plan sees it coming."""
    machine = Machine()
    folder = "/etc/app.d"
    machine.host.nodes[folder] = Node("directory")
    app = Service("app", config=(folder,))
    assert machine.verdict(app) == "ok"
    new = File(folder + "/new.conf", "x")
    assert machine.run(new, app, check=True)[1]["verdict"] == "changed"
    assert [result["verdict"] for result in machine.run(new, app)] == ["changed", "changed"]
    assert machine.verdict(app) == "ok"


def test_a_reload_where_it_can_be_reloaded() -> None:
    """`reload_on_change` reloads in place, and is remembered for the same start; without ExecReload it restarts."""
    app = Service("app", config=(CONFIG,), reload_on_change=True)
    machine = Machine(can_reload=True)
    machine.write(CONFIG, "two\n")
    assert [machine.verdict(app), machine.verdict(app)] == ["changed", "ok"]
    assert (machine.app.reloads, machine.app.starts) == (1, 1)
    other = Machine(can_reload=False)
    other.write(CONFIG, "two\n")
    other.run(app)
    assert (other.app.reloads, other.app.starts) == (0, 2)


@pytest.mark.parametrize("reloaded_by_hand", [False, True])
def test_a_changed_unit_file_restarts_the_service(reloaded_by_hand: bool) -> None:
    """A drop-in of the administrator's is loaded and takes effect, also after somebody else's daemon-reload."""
    machine = Machine(can_reload=True)
    drop_in = File("/etc/systemd/system/app.service.d/limits.conf", "[Service]\nLimitNOFILE=9\n")
    folder = Directory("/etc/systemd/system/app.service.d")
    app = Service("app", reload_on_change=True)
    assert [r["verdict"] for r in machine.run(folder, drop_in, app, check=True)] == ["changed"] * 3
    machine.run(folder, drop_in)
    if reloaded_by_hand:
        MemorySystem(machine.host).run(["systemctl", "daemon-reload"])
    assert [machine.verdict(app), machine.verdict(app)] == ["changed", "ok"]
    assert (machine.app.starts, machine.app.reloads) == (2, 0)


def test_a_package_that_brought_a_new_unit_file_is_not_restarted() -> None:
    """A unit file under /lib that systemd has not loaded yet is loaded; restarting is the package's business."""
    machine = Machine(definition="older")
    machine.app.definition = "older"
    result = machine.run(Service("app"))[0]
    assert (result["verdict"], result["diff"]) == (
        "changed",
        "- definition: changed since it started\n+ definition: in use",
    )
    assert machine.app.starts == 1


def test_a_service_of_a_unit_file_that_is_to_come() -> None:
    """A plan that first writes the unit file says the service would start; the run starts it."""
    machine = Machine()
    new = [File("/etc/systemd/system/new.service", "[Service]\n"), Service("new")]
    assert [result["verdict"] for result in machine.run(*new, check=True)] == ["changed", "changed"]
    assert [result["verdict"] for result in machine.run(*new)] == ["changed", "changed"]
    unit = machine.systemd.units["new.service"]
    assert (unit.active, unit.file_state) == ("active", "enabled")


def test_a_unit_that_is_not_there_is_a_clear_error_or_nothing_to_stop() -> None:
    """Wanting it to run fails by name (unknown in a plan with changes before it); wanting it stopped is fulfilled."""
    machine = Machine()
    assert "no unit nope.service" in machine.run(Service("nope"))[0]["error"]["message"]
    assert machine.run(File("/etc/x", "x"), Service("nope"), check=True)[1]["verdict"] == "unknown"
    assert machine.verdict(Service("nope", running=False, enabled=False)) == "ok"


def test_a_service_that_dies_fails_with_its_journal() -> None:
    """Started and dead: the error has the journal's end and no stamp is left."""
    machine = Machine(active="inactive", dies=True)
    error = machine.run(APP)[0]["error"]
    assert (
        "app.service does not stay up: failed (exit-code)" in error["message"] and "no bread today" in error["stderr"]
    )
    assert "journalctl -u app.service" in error["next_step"]
    assert "/var/lib/orchestr/services/app.service.json" not in machine.host.nodes


def test_a_service_that_dies_and_is_started_again_does_not_stay_up() -> None:
    """Active at each look (a short RestartSec, RestartMode=direct), and not the same process."""
    machine = Machine(active="inactive", type="simple", flaps=True)
    error = machine.run(APP)[0]["error"]
    assert error["message"] == "app.service does not stay up: it ended and was started again"
    assert "no bread today" in error["stderr"]


def test_a_service_that_goes_on_crashing_is_not_ok() -> None:
    """Active when it is looked at, started again just now and many times before: a plan says so, a run restarts it."""
    machine = Machine()
    machine.systemd._restart(machine.app)
    machine.app.restarts = 7
    result = machine.run(Service("app"), check=True)[0]
    assert result["diff"] == "- state: crashing (started again 7 times)\n+ state: running"
    assert machine.verdict(Service("app", running=None)) == "ok"
    assert [machine.verdict(Service("app")) for _ in range(2)] == ["changed", "ok"]
    machine.app.restarts = 7
    machine.host.clock += 3600
    assert machine.verdict(Service("app")) == "ok", "it has been up for an hour"


@pytest.mark.parametrize(
    ("active", "sub", "shown"),
    [
        ("failed", "failed", "failed (exit-code)"),
        ("inactive", "dead", "stopped"),
        ("activating", "auto-restart", "crashing (waits to be started again)"),
    ],
)
def test_what_does_not_run_is_started(active: str, sub: str, shown: str) -> None:
    """Failed, stopped and crash-looping services differ by name of their state and are started."""
    machine = Machine()
    machine.app.active, machine.app.sub, machine.app.result = active, sub, "exit-code"
    result = machine.run(Service("app"))[0]
    assert result["diff"] == f"- state: {shown}\n+ state: running" and machine.app.active == "active"


@pytest.mark.parametrize("file_state", ["static", "indirect", "generated", "transient"])
def test_whether_it_starts_at_boot_is_not_asked_of_units_that_cannot_say(file_state: str) -> None:
    """Static and generated units are neither enabled nor disabled by themselves: nothing differs."""
    machine = Machine(file_state=file_state)
    assert machine.verdict(Service("app", enabled=True)) == "ok"
    assert machine.verdict(Service("app", enabled=False)) == "ok"


def test_a_sysv_script_is_enabled_by_its_links() -> None:
    """For a unit generated from /etc/init.d the runlevel links say whether it starts at boot."""
    machine = Machine(file_state="generated", source="/etc/init.d/app")
    assert machine.verdict(Service("app", enabled=True), check=True) == "changed"
    machine.host.nodes["/etc/rc3.d/S01app"] = Node("link", target="../init.d/app")
    assert machine.verdict(Service("app", enabled=True), check=True) == "ok"


def test_masked_is_a_state() -> None:
    """Masking stops it for good, unmasking brings it back enabled and running."""
    machine = Machine()
    assert [machine.verdict(Service("app", masked=True)) for _ in range(2)] == ["changed", "ok"]
    assert (machine.app.load, machine.app.active) == ("masked", "inactive")
    assert [machine.verdict(Service("app")) for _ in range(2)] == ["changed", "ok"]
    assert (machine.app.load, machine.app.active, machine.app.file_state) == ("loaded", "active", "enabled")


def test_all_services_of_a_play_are_read_by_one_process() -> None:
    """Twenty converged services cost one systemctl."""
    machine = Machine()
    for number in range(20):
        machine.add(f"s{number}.service", active="active", file_state="enabled")
    machine.host.log.clear()
    results = machine.run(*[Service(f"s{number}") for number in range(20)])
    assert {result["verdict"] for result in results} == {"ok"} and len(machine.host.log) == 1


def test_an_older_systemctl_without_timestamps_is_understood() -> None:
    """Before systemd 248 there is no --timestamp: it is asked again without, and its whole seconds are read."""
    machine = Machine()
    answer = machine.systemd.answer

    def old(system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        if "--timestamp=us+utc" in words:
            return 1, "", "systemctl: unrecognized option '--timestamp=us+utc'"
        found = answer(system, words, input)
        return "\n".join(
            line.split(".")[0] + " UTC" if line.startswith("Inactive") else line for line in str(found).split("\n")
        )

    machine.host.commands[("systemctl",)] = old
    assert machine.verdict(APP) == "ok"


def test_the_stamp_holds_digests_and_nothing_of_the_files() -> None:
    """What is written beside the service is its start and digests, in a file of root's alone."""
    machine = Machine()
    machine.write(CONFIG, "canary\n")
    machine.run(APP)
    node = machine.host.nodes["/var/lib/orchestr/services/app.service.json"]
    stamp = json.loads(node.data)
    assert set(stamp) == {"config", "unit", "invocation"} and stamp["invocation"] == machine.app.invocation
    assert node.mode == 0o600 and machine.host.nodes["/var/lib/orchestr"].mode == 0o700


def test_names_and_moments_as_systemd_writes_them() -> None:
    """A bare name is a service; timestamps are read with and without fractions, none is 0."""
    assert [unit_name(name) for name in ("nginx", "a.timer", "a@1", "org.x")] == [
        "nginx.service",
        "a.timer",
        "a@1.service",
        "org.x.service",
    ]
    assert seconds_of("Sat 2026-11-21 01:10:24.317203 UTC") == pytest.approx(1795223424.317203)
    assert (seconds_of("Sat 2026-11-21 01:10:24 UTC"), seconds_of(""), seconds_of("n/a")) == (1795223424.0, 0.0, 0.0)


def test_a_unit_that_runs_once_is_not_kept_running() -> None:
    """A oneshot is refused by its type, in a plan as well, and not started; one that remains is taken."""
    machine = Machine(active="inactive", type="oneshot")
    for check in (True, False):
        error = machine.run(Service("app", enabled=None), check=check)[0]["error"]
        assert "Type=oneshot" in error["message"] and "RemainAfterExit=yes" in error["next_step"]
    assert machine.app.starts == 0
    assert machine.run(Service("app", running=None, enabled=None))[0]["verdict"] == "ok"
    machine = Machine(active="inactive", type="oneshot", remains="yes")
    assert [machine.run(Service("app", enabled=None))[0]["verdict"] for _ in range(2)] == ["changed", "ok"]


def test_a_unit_file_of_this_run_may_run_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd learns its type by the daemon-reload: refused by its type after its first start."""
    machine = Machine(active="inactive", load="not-found", type="")
    machine.write("/etc/systemd/system/app.service", "[Service]\nType=oneshot\n")
    reload = machine.systemd._load_definitions

    def load() -> Any:
        machine.app.load, machine.app.type = "loaded", "oneshot"
        return reload()

    monkeypatch.setattr(machine.systemd, "_load_definitions", load)
    assert "Type=oneshot" in machine.run(Service("app", enabled=None))[0]["error"]["message"]


def test_a_condition_that_does_not_hold_is_named() -> None:
    """Systemctl start ends well without starting such a unit."""
    machine = Machine(active="inactive", condition="no")
    error = machine.run(Service("app", enabled=None))[0]["error"]
    assert error["message"] == "app.service did not start: a condition of its unit does not hold"
    assert "systemctl status app.service" in error["next_step"]
